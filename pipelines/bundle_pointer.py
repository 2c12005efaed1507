"""Which bundle is in use: a folder, or what a text file names, so that rolling a model out and back is one edit."""

import os
import posixpath
from typing import Final

from pipelines.exits import UsageError
from transforms import storage

_POINTER_BYTES: Final = 4096


def current_bundle(path: str) -> str:
  """The folder of the bundle; a text file that names it is followed, from the folder that it is in.

  Raises:
    UsageError: if such a file does not name one folder.
  """
  if not storage.is_file(path):
    return path
  text = storage.read_bytes(path)[:_POINTER_BYTES].decode('utf-8', 'replace')
  named = [line.strip() for line in text.splitlines() if line.strip()]
  if len(named) != 1:
    raise UsageError(
      f'--bundle is {path}, a file of {len(named)} lines; expected a folder, or a file whose one line names it'
    )
  is_whole = not storage.is_local(named[0]) or os.path.isabs(named[0])
  return named[0] if is_whole else storage.join(posixpath.dirname(path), named[0])
