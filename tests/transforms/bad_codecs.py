"""A codec that does as the codestream says, for workers of `decode_pool`: a module of its own, which they can run."""

import ctypes
import os
import socket
import time

import numpy as np
from numpy.typing import NDArray

from transforms.decode_worker import main
from transforms.errors import InputError
from transforms.pixel_layout import Layout

_STEP_BYTES = 64 << 20
_MANY_STEPS = 200


def decode(codestream: bytes, layout: Layout) -> NDArray[np.uint16]:
  """What is asked for; without a wish an image of the codestream's first byte."""
  match codestream:
    case b'crash':
      ctypes.string_at(0)
    case b'exit':
      os._exit(0)
    case b'hang':
      time.sleep(600)
    case b'eat':
      eaten = [np.ones(_STEP_BYTES, np.uint8) for _ in range(_MANY_STEPS)]
      raise AssertionError(f'{len(eaten)} steps, without a limit')
    case b'babble':
      socket.socket(fileno=os.dup(0)).sendall(b'\xff' * 4096)
    case b'refuse':
      raise InputError('decode-failed', 'as told')
    case b'defect':
      raise KeyError('a name that nobody may see')
  return np.full((layout.rows, layout.columns), codestream[0], np.uint16)


if __name__ == '__main__':
  main(decode)
