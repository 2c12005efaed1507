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


def run_in_order(
  tasks: Iterable[Callable[[], T]],
  pool: ThreadPoolExecutor,
  ahead: int,
  rest_of: Callable[[T], Callable[[], T] | None] = lambda _: None,
) -> Iterator[T]:
  """Runs tasks in the pool and yields their results in the order of the tasks.

  At most `ahead` tasks are started and not yet taken: what they hold bounds
  the memory. The first exception cancels what has not started.

  Args:
    tasks: what to run.
    pool: where.
    ahead: see above.
    rest_of: finds in a result the task that is left to be run of the same
      work, whose results come before those of the next task.
  """
  pending: deque[Future[T]] = deque()

  def take() -> Iterator[T]:
    while True:
      result = pending.popleft().result()
      rest = rest_of(result)
      if rest:
        pending.appendleft(pool.submit(rest))
      yield result
      if not rest:
        return

  try:
    for task in tasks:
      pending.append(pool.submit(task))
      if len(pending) >= ahead:
        yield from take()
    while pending:
      yield from take()
  finally:
    for future in pending:
      future.cancel()
