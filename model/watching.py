"""What is told of a training while it goes on, and to whom.

No TensorFlow here.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EpochRow:
  """One row of the history.

  Attributes:
    epoch: from 1; with `validate_every` a round of so many steps.
    step: steps taken since the start.
    train_loss: mean over the steps of the epoch, weighted by class, while the weights changed.
    train_auc: over the same steps, of the images as they were varied.
    val_loss: mean cross-entropy, not weighted.
    val_auc: one against the rest, averaged over the classes.
    val_accuracy: of the likeliest class.
    learning_rate: after the epoch.
    seconds: of the epoch, validation included.
  """

  epoch: int
  step: int
  train_loss: float
  train_auc: float | None
  val_loss: float
  val_auc: float
  val_accuracy: float
  learning_rate: float
  seconds: float


class Watcher(Protocol):
  """Who is told how a training goes."""

  def on_start(self, step: int, steps: int) -> None:
    """Before the first step; some steps may have been taken before an interruption."""

  def on_step(self, step: int, loss: float) -> None:
    """After each step, counted from 1."""

  def on_epoch(self, row: EpochRow) -> None:
    """After each validation."""


class Unwatched:
  """Tells nobody; others tell of what they want to."""

  def on_start(self, step: int, steps: int) -> None:
    """See `Watcher`."""

  def on_step(self, step: int, loss: float) -> None:
    """See `Watcher`."""

  def on_epoch(self, row: EpochRow) -> None:
    """See `Watcher`."""
