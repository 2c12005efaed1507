"""Silence while libraries are loaded."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

TRACEBACK: Final = 'RADBEAM_TRACEBACK'  # 1 in the environment: show everything


@contextlib.contextmanager
def hushed() -> Iterator[None]:
  """Sends stderr nowhere: TensorFlow's native code speaks while it is loaded, whatever its log level is."""
  if os.environ.get(TRACEBACK) == '1':
    yield
    return
  sys.stderr.flush()
  kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 2)
  try:
    yield
  finally:
    sys.stderr.flush()
    os.dup2(kept, 2)
    os.close(kept)
    os.close(nowhere)
