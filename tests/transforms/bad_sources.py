"""A decoder that does as the source says, for processes of `careful`: a module of its own, which they can run."""

import os
import signal
import time
from collections.abc import Iterator

import numpy as np

from transforms import careful_worker
from transforms.careful_worker import CarefulJob, main
from transforms.elements import Frame

_STEP_BYTES = 64 << 20
_MANY_STEPS = 200


def decode(data: bytes, job: CarefulJob) -> Iterator[Frame]:
  """What is asked for; without a wish what `careful_worker` makes of it."""
  match data:
    case b'abort':
      os.abort()
    case b'exit':
      os._exit(7)
    case b'late':
      signal.alarm(1)
      time.sleep(600)
    case b'babble':
      os.write(0, b'\xff' * 4096)
      time.sleep(600)
    case b'memory':
      eaten = [np.ones(_STEP_BYTES, np.uint8) for _ in range(_MANY_STEPS)]
      raise AssertionError(f'{len(eaten)} steps, without a limit')
  return careful_worker.decode(data, job)


if __name__ == '__main__':
  main(decode)
