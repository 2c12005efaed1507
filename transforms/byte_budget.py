"""A bound on the bytes that a process holds at a time, however many threads read."""

import functools
import threading
from collections import deque
from typing import Final

IN_FLIGHT_BYTES: Final = 512 << 20
SMALL_BYTES: Final = (
  4 << 20
)  # not counted: one such member a thread, and batches of a stream that are bounded themselves


class Lease:
  """Bytes taken from a budget, given back once: by `release`, or when nobody holds the lease any more."""

  def __init__(self, budget: 'ByteBudget', size_bytes: int) -> None:
    self._budget = budget
    self._size_bytes = size_bytes

  def shrink(self, size_bytes: int) -> None:
    """Gives back what is beyond `size_bytes`."""
    spare = max(0, self._size_bytes - size_bytes)
    self._size_bytes -= spare
    self._budget._give_back(spare)

  def release(self) -> None:
    """Gives everything back."""
    self.shrink(0)

  __del__ = release


class ByteBudget:
  """Whoever asks first is served first; what is larger than the budget gets all of it, alone.

  A thread must not ask while it holds a lease: two that do may wait for each
  other.
  """

  def __init__(self, size_bytes: int) -> None:
    self._size_bytes = size_bytes
    self._left = size_bytes
    self._changed = threading.Condition(threading.RLock())  # a lease may be collected while this thread is in here
    self._waiting: deque[object] = deque()

  def acquire(self, size_bytes: int) -> Lease:
    """Waits until there is room."""
    taken = min(size_bytes, self._size_bytes)
    ticket = object()
    with self._changed:
      self._waiting.append(ticket)
      try:
        self._changed.wait_for(lambda: self._waiting[0] is ticket and self._left >= taken)
        self._left -= taken
      finally:
        self._waiting.remove(ticket)
        self._changed.notify_all()
    return Lease(self, taken)

  def _give_back(self, size_bytes: int) -> None:
    if size_bytes:
      with self._changed:
        self._left += size_bytes
        self._changed.notify_all()


@functools.cache
def bytes_in_flight() -> ByteBudget:
  """The budget of this process."""
  return ByteBudget(IN_FLIGHT_BYTES)
