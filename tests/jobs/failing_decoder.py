"""Runs a job whose decoder fails on images that a first pixel marks, here and in all processes that it starts.

`sitecustomize` is what the interpreter imports by itself, in decode processes too.
"""

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parents[2]
ABORTS, RAISES = 77, 66  # grey of the first pixel

_SITECUSTOMIZE = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from transforms import decode

shown = decode.display_frame

def display_frame(values, *rest):
  first = values.flat[0]
  if first == {ABORTS}:
    os.abort()
  if first == {RAISES} or os.environ.get('FAIL_ON_ALL'):
    raise TypeError('Erika Mustermann')
  return shown(values, *rest)

decode.display_frame = display_frame
"""
_MAIN = 'from pipelines.cli import main; raise SystemExit(main())'


def run(arguments: Sequence[str], folder: pathlib.Path, **variables: str) -> 'subprocess.CompletedProcess[str]':
  """A job, with the decoder of this module, to its end."""
  folder.mkdir(exist_ok=True)
  (folder / 'sitecustomize.py').write_text(_SITECUSTOMIZE)
  paths = os.pathsep.join([str(folder), str(ROOT)])
  environment = os.environ | {'PYTHONPATH': paths} | variables
  return subprocess.run(
    [sys.executable, '-c', _MAIN, *arguments], env=environment, capture_output=True, text=True, check=False
  )
