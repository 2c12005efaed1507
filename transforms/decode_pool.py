"""Decode processes as seen from the pipeline: dangerous codecs run there, a frame at a time."""

import atexit
import functools
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transforms.concurrency import usable_cores
from transforms.decode_worker import Job
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.pixel_layout import Layout
from transforms.worker_processes import WorkerDied, WorkerPool

_WORKER: Final = 'transforms.decode_worker'
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
    self._workers = WorkerPool(size, module)

  def decode(self, codestream: bytes, layout: Layout, limits: Limits) -> NDArray[Any]:
    """Decodes one frame, in its turn.

    Returns:
      What `decode_with_pydicom` returns.

    Raises:
      InputError: what `decode_with_pydicom` raises, `decoder-crashed`,
        `decoder-timeout` or `decoder-memory`; a call that fails by one of the
        first two costs its worker, and no other call. `internal-error` for a
        defect of ours.
      MachineError: if a worker cannot be started.
    """
    job = Job(replace(layout, fragments=()), limits.max_decode_seconds, limits.max_decode_bytes)
    try:
      head, body = self._workers.ask(pickle.dumps(job), codestream, _most_bytes(layout), job.max_seconds)
      return _to_values(json.loads(head), body)
    except TimeoutError:
      raise InputError('decoder-timeout', f'{job.max_seconds} s') from None
    except (WorkerDied, ValueError):  # what it says makes no sense
      raise InputError('decoder-crashed', layout.transfer_syntax.name) from None

  def close(self) -> None:
    """Ends the workers that are idle; those at work end when their caller does."""
    self._workers.close()


def _most_bytes(layout: Layout) -> int:
  return max(_LARGEST_HEAD_BYTES, layout.rows * layout.columns * layout.samples * _LARGEST_SAMPLE_BYTES)


def _to_values(answer: Mapping[str, Any], body: bytearray) -> NDArray[Any]:
  if 'code' in answer:
    raise InputError(answer['code'], answer['detail'])
  return np.frombuffer(body, np.dtype(answer['dtype'])).reshape(answer['shape'])
