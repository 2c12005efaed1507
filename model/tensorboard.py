"""How a training goes, as TensorBoard reads it."""

import pathlib

import tensorflow as tf

from model.watching import EpochRow, Unwatched


class TensorBoardLog(Unwatched):
  """Writes the loss of each step, and the figures of each validation."""

  def __init__(self, folder: str | pathlib.Path) -> None:
    self._writer = tf.summary.create_file_writer(str(folder))

  def on_step(self, step: int, loss: float) -> None:
    """Writes the loss of one batch."""
    with self._writer.as_default(step):
      tf.summary.scalar('loss/step', loss)

  def on_epoch(self, row: EpochRow) -> None:
    """Writes what a validation gave, at the step at which it was made."""
    figures = {
      'loss/train': row.train_loss,
      'loss/validation': row.val_loss,
      'auc/train': row.train_auc,
      'auc/validation': row.val_auc,
      'accuracy/validation': row.val_accuracy,
      'learning_rate': row.learning_rate,
    }
    with self._writer.as_default(row.step):
      for name, value in figures.items():
        if value is not None:
          tf.summary.scalar(name, value)
    self._writer.flush()
