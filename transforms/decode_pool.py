"""Decode processes as seen from the pipeline: a few that live long, and are replaced when a codec takes one down.

They are started by a `python -m` of their own: multiprocessing's spawn would
import the `__main__` of its parent, which on a worker is Beam and all.
"""

import atexit
import functools
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transforms.concurrency import usable_cores
from transforms.decode_worker import READY, Job, receive, receive_exactly, send
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.pixel_layout import Layout

_WORKER: Final = 'transforms.decode_worker'
_START_SECONDS: Final = 120.0
_LARGEST_SAMPLE_BYTES: Final = 8
_LARGEST_HEAD_BYTES: Final = 1 << 16


@functools.cache
def _pool_of(_pid: int) -> 'DecodePool':
  """A pool for each process: one that was forked must not talk to its parent's workers."""
  pool = DecodePool(usable_cores())
  atexit.register(pool.close)
  return pool


def decode_pool() -> 'DecodePool':
  """The pool of this process: one worker a core, started when first needed."""
  return _pool_of(os.getpid())


class DecodePool:
  """Decodes in other processes; safe to call from many threads."""

  def __init__(self, size: int, module: str = _WORKER) -> None:
    """Makes an empty pool.

    Args:
      size: workers at most.
      module: what a worker runs.
    """
    self._free = threading.BoundedSemaphore(size)
    self._idle: list[_Worker] = []
    self._module = module

  def decode(self, codestream: bytes, layout: Layout, limits: Limits) -> NDArray[Any]:
    """Decodes one frame, in its turn.

    Returns:
      What `decode_with_pydicom` returns.

    Raises:
      InputError: what `decode_with_pydicom` raises, `decoder-crashed`,
        `decoder-timeout` or `decoder-memory`; a call that fails by one of the
        first two costs its worker, and no other call.
      RuntimeError: if a worker cannot be started, or shows a defect of ours.
    """
    job = Job(replace(layout, fragments=()), limits.max_decode_seconds, limits.max_decode_bytes)
    with self._free:
      worker = self._idle.pop() if self._idle else _Worker(self._module)
      try:
        return worker.call(job, codestream)
      finally:
        if worker.is_idle:
          self._idle.append(worker)
        else:
          worker.end()

  def close(self) -> None:
    """Ends the workers that are idle; those at work end when their caller does."""
    while self._idle:
      self._idle.pop().end()


class _Worker:
  """One decode process; used by one thread at a time."""

  def __init__(self, module: str) -> None:
    self._connection, other = socket.socketpair()
    with other:
      self._process = subprocess.Popen(
        [sys.executable, '-P', '-m', module],
        stdin=other.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # codecs speak of what they decode
        env=_environment(),
        start_new_session=True,  # an interrupt at the terminal is ours to handle
      )
    self.is_idle = True  # between its answer and the next question
    self._wait_until_ready(module)

  def _wait_until_ready(self, module: str) -> None:
    self._connection.settimeout(_START_SECONDS)
    try:
      receive_exactly(self._connection, len(READY))
    except (EOFError, OSError):
      self.end()
      raise RuntimeError(f'the decode process `python -m {module}` does not start; run it to see why') from None

  def call(self, job: Job, codestream: bytes) -> NDArray[Any]:
    """Sends a job and waits for its answer, as long as the job allows."""
    try:
      return self._exchange(job, codestream)
    except TimeoutError:
      raise InputError('decoder-timeout', f'{job.max_seconds} s') from None
    except (EOFError, OSError, ValueError):  # gone, or what it says makes no sense any more
      raise InputError('decoder-crashed', job.layout.transfer_syntax.name) from None

  def _exchange(self, job: Job, codestream: bytes) -> NDArray[Any]:
    self.is_idle = False
    deadline = time.monotonic() + job.max_seconds
    self._connection.settimeout(job.max_seconds)
    send(self._connection, pickle.dumps(job), codestream)
    self._connection.settimeout(max(0.001, deadline - time.monotonic()))
    head, body = receive(self._connection, _most_bytes(job.layout))
    answer: dict[str, Any] = json.loads(head)
    self.is_idle = True
    return _to_values(answer, body)

  def end(self) -> None:
    """Kills the process, and takes its last word, so that no zombie stays."""
    self._connection.close()
    self._process.kill()
    self._process.wait()


def _most_bytes(layout: Layout) -> int:
  return max(_LARGEST_HEAD_BYTES, layout.rows * layout.columns * layout.samples * _LARGEST_SAMPLE_BYTES)


def _to_values(answer: Mapping[str, Any], body: bytearray) -> NDArray[Any]:
  if 'defect' in answer:
    raise RuntimeError(f'a decode process met {answer["defect"]}, which its codecs must not raise')
  if 'code' in answer:
    raise InputError(answer['code'], answer['detail'])
  return np.frombuffer(body, np.dtype(answer['dtype'])).reshape(answer['shape'])


def _environment() -> dict[str, str]:
  """Ours, with the same modules to be found, and one thread for those libraries that would start many."""
  paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
  return os.environ | {'PYTHONPATH': paths, 'OPENBLAS_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1'}
