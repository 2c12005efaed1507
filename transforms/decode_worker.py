"""A decode process: takes codestreams from its standard input, a socket, and answers with stored values.

  python -m transforms.decode_worker

Native codecs crash, hang and eat memory on hostile files. Here they do it alone:
under a limit on memory, a clock that needs nobody's help, and without leaving a
core file. The process ends when the other end of the socket is closed.
"""

import contextlib
import json
import math
import pathlib
import pickle
import resource
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transforms.boundary import guarded
from transforms.errors import InputError
from transforms.pixel_layout import Layout

Decode = Callable[[bytes, Layout], NDArray[Any]]

READY: Final = b'ready'
LENGTHS: Final = struct.Struct('<QQ')  # of a head, and of the bytes that follow it
_GRACE_SECONDS: Final = 5  # the other side kills first, and knows why


@dataclass(frozen=True, slots=True)
class Job:
  """What to decode, and what it may cost."""

  layout: Layout
  max_seconds: float
  max_bytes: int


def receive_exactly(connection: socket.socket, size: int) -> bytearray:
  """So many bytes.

  Raises:
    EOFError: if the other end is closed before.
  """
  data = bytearray(size)
  view = memoryview(data)
  while view:
    count = connection.recv_into(view)
    if not count:
      raise EOFError
    view = view[count:]
  return data


def send(connection: socket.socket, head: bytes, body: bytes | memoryview) -> None:
  """One message."""
  connection.sendall(LENGTHS.pack(len(head), len(body)) + head)
  connection.sendall(body)


def receive(connection: socket.socket, max_body_bytes: int | None = None) -> tuple[bytearray, bytearray]:
  """One message: its head and its body.

  Raises:
    EOFError: if the other end is closed.
    ValueError: if the body is said to be longer than it may be.
  """
  head_bytes, body_bytes = LENGTHS.unpack(receive_exactly(connection, LENGTHS.size))
  if max_body_bytes is not None and max(head_bytes, body_bytes) > max_body_bytes:
    raise ValueError(f'{body_bytes} bytes, at most {max_body_bytes} were expected')
  return receive_exactly(connection, head_bytes), receive_exactly(connection, body_bytes)


def serve(connection: socket.socket, decode: Decode) -> None:
  """Answers what jobs there are until the other end is closed."""

  def answer(head: bytearray, body: bytearray) -> tuple[bytes, bytes | memoryview]:
    job: Job = pickle.loads(head)
    return _answer(job, bytes(body), decode)

  answer_all(connection, answer)


def answer_all(
  connection: socket.socket, answer: Callable[[bytearray, bytearray], tuple[bytes, bytes | memoryview]]
) -> None:
  """Answers one message after the other, until the other end is closed."""
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold pixels
  with contextlib.suppress(OSError):  # this process has to go where memory runs out, and not the one it serves
    pathlib.Path('/proc/self/oom_score_adj').write_text('1000')
  connection.sendall(READY)
  while True:
    try:
      head, body = receive(connection)
    except (EOFError, ConnectionError):
      return
    send(connection, *answer(head, body))


def _answer(job: Job, codestream: bytes, decode: Decode) -> tuple[bytes, bytes | memoryview]:
  try:
    values = np.ascontiguousarray(guarded(lambda: _limited(job, codestream, decode)))
  except (InputError, MemoryError) as error:
    return _head(_as_input_error(error)), b''
  return json.dumps({'dtype': values.dtype.str, 'shape': values.shape}).encode(), values.data.cast('B')


def _as_input_error(error: InputError | MemoryError) -> InputError:
  is_memory = isinstance(error, MemoryError) or isinstance(error.__context__, MemoryError)
  return InputError('decoder-memory') if is_memory or not isinstance(error, InputError) else error


def _head(error: InputError) -> bytes:
  return json.dumps({'code': error.code, 'detail': error.detail}).encode()


def _limited(job: Job, codestream: bytes, decode: Decode) -> NDArray[Any]:
  """Decodes under the limits: of address space, since resident memory cannot be limited by a process itself."""
  signal.alarm(math.ceil(job.max_seconds) + _GRACE_SECONDS)  # its default ends the process, native code or not
  try:
    with limited_memory(job.max_bytes):
      return decode(codestream, job.layout)
  finally:
    signal.alarm(0)


@contextlib.contextmanager
def limited_memory(more_bytes: int) -> Iterator[None]:
  """Lets the process take so many bytes of address space beside what it has."""
  _, hard = resource.getrlimit(resource.RLIMIT_AS)
  resource.setrlimit(resource.RLIMIT_AS, (_address_space_bytes() + more_bytes, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _address_space_bytes() -> int:
  with open('/proc/self/statm', encoding='ascii') as file:
    return int(file.read().split()[0]) * resource.getpagesize()


def main(decode: Decode) -> None:
  """Serves on standard input."""
  with socket.socket(fileno=0) as connection:
    serve(connection, decode)


if __name__ == '__main__':
  from transforms.pydicom_codecs import decode_with_pydicom
  from transforms.pydicom_plugins import add_plugins

  add_plugins()
  main(decode_with_pydicom)
