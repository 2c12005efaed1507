"""Processes that do dangerous work for this one: a few that live long, and are replaced when the work takes one down.

They are started by a `python -m` of their own: multiprocessing's spawn would
import the `__main__` of its parent, which on a worker is Beam and all.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Final

from transforms.decode_worker import READY, receive, receive_exactly, send
from transforms.errors import MachineError

_START_SECONDS: Final = 120.0
_LAST_SECONDS: Final = 5.0  # from closing its end of the connection to its exit


class WorkerDied(Exception):  # noqa: N818 - what happened
  """A process ended, or made no sense any more, before it answered.

  Attributes:
    exit_code: negative for the signal that ended it.
  """

  def __init__(self, exit_code: int) -> None:
    super().__init__(exit_code)
    self.exit_code = exit_code


class WorkerPool:
  """Asks processes that all run the same module; safe to call from many threads."""

  def __init__(self, size: int, module: str) -> None:
    """Makes an empty pool.

    Args:
      size: processes at most.
      module: what each runs; it serves on its standard input as `transforms.decode_worker` does.
    """
    self._free = threading.BoundedSemaphore(size)
    self._idle: list[_Worker] = []
    self._module = module

  def ask(self, head: bytes, body: bytes, most_bytes: int, max_seconds: float | None) -> tuple[bytearray, bytearray]:
    """Sends a question, in its turn, and waits for the answer.

    Args:
      head: of the question.
      body: what is to be worked on.
      most_bytes: that either part of the answer may have.
      max_seconds: to wait; None for a process that has a clock of its own.

    Raises:
      TimeoutError: if the answer takes longer; the process is ended.
      WorkerDied: if it ended. Neither costs another call anything.
      MachineError: if no process can be started.
    """
    with self._free:
      worker = self._idle.pop() if self._idle else _Worker(self._module)
      try:
        return worker.ask(head, body, most_bytes, max_seconds)
      except (EOFError, ConnectionError):
        raise WorkerDied(worker.end(_LAST_SECONDS)) from None
      except ValueError:  # what it says makes no sense any more
        raise WorkerDied(worker.end()) from None
      finally:
        if worker.is_idle:
          self._idle.append(worker)
        else:
          worker.end()

  def close(self) -> None:
    """Ends the processes that are idle; those at work end when their caller does."""
    while self._idle:
      self._idle.pop().end()


class _Worker:
  """One process; used by one thread at a time."""

  def __init__(self, module: str) -> None:
    try:
      self._connection, other = socket.socketpair()
      with other:
        self._process = _start(module, other.fileno())
    except OSError as error:
      raise MachineError(f'no decode process can be started: {error.strerror}') from error
    self.is_idle = True  # between its answer and the next question
    self._wait_until_ready(module)

  def _wait_until_ready(self, module: str) -> None:
    self._connection.settimeout(_START_SECONDS)
    try:
      receive_exactly(self._connection, len(READY))
    except (EOFError, OSError):
      self.end()
      raise MachineError(f'the decode process `python -m {module}` does not start; run it to see why') from None

  def ask(self, head: bytes, body: bytes, most_bytes: int, max_seconds: float | None) -> tuple[bytearray, bytearray]:
    """Sends a question and waits for the answer."""
    self.is_idle = False
    deadline = None if max_seconds is None else time.monotonic() + max_seconds
    self._connection.settimeout(max_seconds)
    send(self._connection, head, body)
    self._connection.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
    answer = receive(self._connection, most_bytes)
    self.is_idle = True
    return answer

  def end(self, patience_s: float = 0) -> int:
    """Kills the process unless it ends by itself, and takes its last word, so that no zombie stays; its exit code."""
    self._connection.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
      return self._process.wait(patience_s)
    self._process.kill()
    return self._process.wait()


def _start(module: str, connection: int) -> 'subprocess.Popen[bytes]':
  return subprocess.Popen(
    [sys.executable, '-P', '-m', module],
    stdin=connection,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,  # codecs speak of what they decode
    env=_environment(),
    start_new_session=True,  # an interrupt at the terminal is ours to handle
  )


def _environment() -> dict[str, str]:
  """Ours, with the same modules to be found, and one thread for those libraries that would start many."""
  paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
  return os.environ | {'PYTHONPATH': paths, 'OPENBLAS_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1'}
