"""A bounded pool of threads for work that leaves the interpreter lock: OpenCV, zlib, hashing.

One pool a process, however many DoFns share it; `cv2` itself stays on one
thread, so that the threads of the pool do not compete with its own.
"""

import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

T = TypeVar('T')


def usable_cores() -> int:
  """Cores that this process may run on."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


@functools.cache
def decode_threads() -> ThreadPoolExecutor:
  """The pool of this process: one thread a core."""
  cv2.setNumThreads(1)
  return ThreadPoolExecutor(usable_cores(), thread_name_prefix='decode')


def run_in_order(tasks: Iterable[Callable[[], T]], pool: ThreadPoolExecutor, ahead: int) -> Iterator[T]:
  """Runs tasks in the pool and yields their results in the order of the tasks.

  At most `ahead` tasks are started and not yet taken: what they hold bounds
  the memory. The first exception cancels what has not started.
  """
  pending: deque[Future[T]] = deque()
  try:
    for task in tasks:
      pending.append(pool.submit(task))
      if len(pending) >= ahead:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()
  finally:
    for future in pending:
      future.cancel()
