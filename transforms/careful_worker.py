"""A process that decodes whole sources, one after the other, for `transforms.careful`.

  python -m transforms.careful_worker

A clock that needs nobody's help ends it where a frame takes too long.
"""

import math
import pickle
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from transforms.decode import DecodeOptions, decode_source
from transforms.decode_worker import answer_all
from transforms.elements import Frame
from transforms.frames_as_bytes import to_bytes

Decode = Callable[[bytes, 'CarefulJob'], Iterator[Frame]]

_GRACE_SECONDS: Final = 30  # codecs run in processes of their own below this one, and are to be told apart


@dataclass(frozen=True, slots=True)
class CarefulJob:
  """What to make of a source."""

  options: DecodeOptions
  keep_original: bool


def decode(data: bytes, job: CarefulJob) -> Iterator[Frame]:
  """The frames of a source; each may take the seconds that the limits allow a codec, and some more."""
  seconds = math.ceil(job.options.limits.max_decode_seconds) + _GRACE_SECONDS
  signal.alarm(seconds)  # its default ends the process, native code or not
  try:
    for frame in decode_source(data, job.options, keep_original=job.keep_original):
      yield frame
      signal.alarm(seconds)
  finally:
    signal.alarm(0)


def main(decode: Decode) -> None:
  """Serves on standard input."""

  def answer(head: bytearray, body: bytearray) -> tuple[bytes, bytes | memoryview]:
    return to_bytes(decode(bytes(body), pickle.loads(head)))

  with socket.socket(fileno=0) as connection:
    answer_all(connection, answer)


if __name__ == '__main__':
  from transforms.careful_worker import decode as by_its_name  # what is pickled comes from the module, not from here

  main(by_its_name)
