"""A decoder that does as the source says, for processes of `careful`: a module of its own, which they can run."""

import os
import signal
import time
from collections.abc import Iterator

from transforms import careful_worker
from transforms.careful_worker import CarefulJob, main
from transforms.elements import Frame


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
      raise MemoryError
  return careful_worker.decode(data, job)


if __name__ == '__main__':
  main(decode)
