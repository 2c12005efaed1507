"""What the processes of one training tell each other; with one process nothing is sent.

Everything is told by sums over the devices, to which only one process adds what
is not zero: sums with zeros are exact, and every process has the same bits.
"""

import contextlib
import hashlib
import re
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.cluster import Cluster, ClusterError
from model.distribution import make_strategy
from model.input_data import Share
from model.recipe import StrategyName

Array = NDArray[Any]

_LOST: Final = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
)
_TASK: Final = re.compile(r'/task:(\d+)')


class WorkerLostError(RuntimeError):
  """Another process of the training is gone, and this one cannot go on alone."""


class Workers:
  """The processes of one training, seen from one of them.

  Every method that tells something must be called by all of them, in the same order.
  """

  def __init__(self, strategy: StrategyName, cluster: Cluster | None = None) -> None:
    """Waits for the others, up to an hour; must come before TensorFlow does anything else.

    Raises:
      ClusterError: if the strategy needs a cluster and there is none, or its port is taken.
      WorkerLostError: if the others do not come.
    """
    self._cluster = cluster if strategy == 'multi_worker' else None
    if self._cluster:
      _check_port(self._cluster)
    with self.needed(), _sigterm_kept():  # TensorFlow's own patience is an hour
      self.strategy = make_strategy(strategy, self._cluster)

  @property
  def count(self) -> int:
    """How many there are."""
    return len(self._cluster.workers) if self._cluster else 1

  @property
  def is_chief(self) -> bool:
    """Whether this is the one that writes."""
    return self._cluster is None or self._cluster.is_chief

  @property
  def share(self) -> Share:
    """What this one makes of each batch."""
    return Share(self._cluster.index, self.count) if self._cluster else Share()

  def total(self, mine: Array) -> Array:
    """The sum over all processes of arrays of the same shape."""
    if not self._cluster:
      return mine
    values = iter([mine])  # of the first device here; the others add nothing
    parts = self.strategy.experimental_distribute_values_from_function(
      lambda _: tf.constant(next(values, np.zeros_like(mine)))
    )
    total: Array = self.strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None).numpy()
    return total

  def from_chief(self, mine: Array) -> Array:
    """The chief's array, whose shape all know."""
    return self.total(mine if self.is_chief else np.zeros_like(mine))

  def bytes_from_chief(self, mine: bytes) -> bytes:
    """What the chief gives, of any length."""
    if not self._cluster:
      return mine
    length = int(self.from_chief(np.array(len(mine), np.int64)))
    if not length:  # TensorFlow crashes at the sum of nothing
      return b''
    padded = np.zeros(-(-length // 4), np.int32)
    if self.is_chief:
      padded = np.frombuffer(mine.ljust(4 * len(padded), b'\0'), np.int32)
    return self.from_chief(padded).tobytes()[:length]

  def joined(self, mine: Array) -> Array:
    """The arrays of all processes, which are of one shape, one after the other."""
    table = np.zeros((self.count, *mine.shape), mine.dtype)
    table[self.share.index] = mine
    joined: Array = self.total(table).reshape(-1, *mine.shape[1:])
    return joined

  def check_same(self, what: str, identity: str) -> None:
    """Makes sure that all work on the same.

    Args:
      what: `recipe`, for example.
      identity: that says which.

    Raises:
      ClusterError: in every process, if one has another than the chief.
    """
    mine = np.frombuffer(hashlib.sha256(identity.encode()).digest(), np.int32)
    differs = np.zeros(self.count, np.int32)
    differs[self.share.index] = not np.array_equal(mine, self.from_chief(mine))
    if others := self.total(differs).nonzero()[0].tolist():
      raise ClusterError(
        f'worker {", ".join(map(str, others))} has another {what} than the chief; expected the same: start all of them '
        'with the same flags but for --worker_index, on the same dataset'
      )

  def wait(self) -> None:
    """Until all are here."""
    with self.needed():
      self.total(np.zeros(1, np.int32))

  @contextlib.contextmanager
  def needed(self) -> Iterator[None]:
    """Inside, the others are waited for, and their end is this one's.

    Raises:
      WorkerLostError: if one is gone.
    """
    try:
      yield
    except _LOST as error:
      if self._cluster is None:
        raise
      raise WorkerLostError(
        f'{self._named(str(error))} is lost: it did not come, it ended, or it cannot be reached any more; expected all '
        f'{self.count} until the end: look at what it said last, and start all of them again: they go on from the '
        'last checkpoint'
      ) from error

  def _named(self, text: str) -> str:
    """Which of the others an error is about, as far as it says so."""
    assert self._cluster is not None
    found = sorted({int(number) for number in _TASK.findall(text)} - {self._cluster.index})
    known = [number for number in found if number < self.count]
    if len(known) == 1:
      return f'worker {known[0]} ({self._cluster.workers[known[0]]})'
    return 'another worker'


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
  """TensorFlow's service for clusters notes SIGTERM and goes on; a scheduler means that the process is to end."""
  before = signal.getsignal(signal.SIGTERM)
  yield
  if before is not None and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, before)


def _check_port(cluster: Cluster) -> None:
  """TensorFlow would share a port that is taken, and wait for answers to another."""
  try:
    socket.create_server(('', cluster.port)).close()
  except OSError as error:
    raise ClusterError(
      f'worker {cluster.index} is to listen at port {cluster.port}, which cannot be had here ({error.strerror}); name '
      'another port, or end what listens there'
    ) from error
