"""A process that decodes whole sources, one after the other, for `transforms.careful`.

  python -m transforms.careful_worker

A clock that needs nobody's help ends it where a frame takes too long; a source
that takes too much memory is a row.
"""

import math
import pickle
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2

from transforms.decode import DecodeOptions, decode_source
from transforms.decode_worker import answer_all, limited_memory
from transforms.elements import Frame, HeaderFacts
from transforms.errors import InputError
from transforms.frames_as_bytes import to_bytes

Decode = Callable[[bytes, 'CarefulJob'], Iterator[Frame]]

_CODECS: Final = 2  # times what a codec may take: for the frames as they were, and as they will be
_COPIES: Final = 4  # of the source, inflated ones among them
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


def _answer(data: bytes, job: CarefulJob, decode: Decode) -> tuple[bytes, bytes]:
  most_bytes = _CODECS * job.options.limits.max_decode_bytes + _COPIES * len(data)
  try:
    with limited_memory(most_bytes):
      return to_bytes(decode(data, job))
  except MemoryError:
    return to_bytes([Frame(None, HeaderFacts(), error=InputError('decoder-memory'))])


def main(decode: Decode) -> None:
  """Serves on standard input."""
  cv2.setNumThreads(1)  # there are as many processes as cores

  def answer(head: bytearray, body: bytearray) -> tuple[bytes, bytes | memoryview]:
    return _answer(bytes(body), pickle.loads(head), decode)

  with socket.socket(fileno=0) as connection:
    answer_all(connection, answer)


if __name__ == '__main__':
  from transforms.careful_worker import decode as by_its_name  # what is pickled comes from the module, not from here

  main(by_its_name)
