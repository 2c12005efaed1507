"""Sources decoded whole in processes of their own, for a shard that took down the process which decoded it.

Slower than threads, and the same frames; a source that ends its process costs
itself.
"""

import atexit
import functools
import os
import pickle
import signal
from typing import Final

from transforms.boundary import INTERNAL, guarded
from transforms.careful_worker import CarefulJob
from transforms.concurrency import usable_cores
from transforms.decode import DecodeOptions
from transforms.elements import Frame, HeaderFacts
from transforms.errors import InputError
from transforms.frames_as_bytes import from_bytes
from transforms.worker_processes import WorkerDied, WorkerPool

_NAMES: Final = {int(number): number.name for number in signal.Signals}
_WORKER: Final = 'transforms.careful_worker'
_MOST_BYTES: Final = 4 << 30  # of the frames of a source: thousands of them, with an original each


@functools.cache
def _pool_of(_pid: int) -> WorkerPool:
  """Processes for each process: one that was forked must not talk to its parent's."""
  pool = WorkerPool(usable_cores(), _WORKER)
  atexit.register(pool.close)
  return pool


def decode_source_apart(data: bytes, options: DecodeOptions, *, keep_original: bool = False) -> tuple[Frame, ...]:
  """As `transforms.decode.decode_source`, in another process.

  Returns:
    Its frames; where the process did not come to its end, one without number:
    `decoder-timeout` if it was too slow, else `internal-error` with the signal
    or the exit code that ended it.
  """
  return decode_by(_pool_of(os.getpid()), data, options, keep_original)


def decode_by(pool: WorkerPool, data: bytes, options: DecodeOptions, keep_original: bool) -> tuple[Frame, ...]:
  """The same, by processes of a pool."""
  try:
    return _frames(pool, pickle.dumps(CarefulJob(options, keep_original)), data)
  except WorkerDied as died:
    error = _reason(died.exit_code, options)
  except InputError as nonsense:
    error = nonsense
  return (Frame(None, HeaderFacts(), error=error),)


def _frames(pool: WorkerPool, job: bytes, data: bytes) -> tuple[Frame, ...]:
  try:
    answer = pool.ask(job, data, _MOST_BYTES, None)
  except WorkerDied as died:
    if died.exit_code != -signal.SIGKILL:
      raise
    answer = pool.ask(job, data, _MOST_BYTES, None)  # the kernel may have killed it for what a neighbour took
  return guarded(lambda: from_bytes(*answer))


def _reason(exit_code: int, options: DecodeOptions) -> InputError:
  if exit_code == -signal.SIGALRM:
    return InputError('decoder-timeout', f'{options.limits.max_decode_seconds} s')
  ended_by = _NAMES.get(-exit_code, f'signal {-exit_code}') if exit_code < 0 else f'exit code {exit_code}'
  return InputError(INTERNAL, f'decode process ended by {ended_by}')
