"""How a training goes, for a person: a line after each validation, and at a terminal a bar with the time left."""

import logging
import sys
import time
from typing import Final, TextIO

from model.watching import EpochRow, Unwatched, Watcher
from pipelines.log_output import is_json_on_stderr

_LOG: Final = logging.getLogger('radbeam.train')
_WIDTH: Final = 30
_INTERVAL_S: Final = 0.5


class Lines(Unwatched):
  """Says what each validation gave, and that an interrupted training goes on."""

  def on_start(self, step: int, steps: int) -> None:
    """Says where it goes on."""
    if step:
      _LOG.info('goes on after step %d of %d', step, steps)

  def on_epoch(self, row: EpochRow) -> None:
    """Says the figures of an epoch."""
    _LOG.info(
      'epoch %d: loss %.4f, validation loss %.4f, AUC %.4f, %.0f s',
      *(row.epoch, row.train_loss, row.val_loss, row.val_auc, row.seconds),
    )


class Bar(Unwatched):
  """Steps taken, and the time that the others will take at the pace so far."""

  def __init__(self, stream: TextIO) -> None:
    self._stream = stream
    self._first = self._steps = 0
    self._started = self._shown = 0.0
    self._width = 0

  def on_start(self, step: int, steps: int) -> None:
    """Begins to count."""
    self._first, self._steps, self._started = step, steps, time.monotonic()

  def on_step(self, step: int, loss: float) -> None:
    """Draws, but not more often than an eye can follow."""
    now = time.monotonic()
    if now - self._shown >= _INTERVAL_S or step == self._steps:
      self._shown = now
      self._draw(bar(step, self._steps, (now - self._started) / (step - self._first), loss))

  def on_epoch(self, row: EpochRow) -> None:
    """Makes room for a line."""
    self._draw('')

  def _draw(self, text: str) -> None:
    self._stream.write('\r' + text.ljust(self._width) + ('' if text else '\r'))
    self._stream.flush()
    self._width = len(text)


def bar(step: int, steps: int, step_s: float, loss: float) -> str:
  """One line, such as `[=====>    ] 300/600 steps, loss 0.2131, 4 min left`."""
  done = _WIDTH * step // steps
  drawn = '=' * (done - 1) + '>' * bool(done) + ' ' * (_WIDTH - done)
  return f'[{drawn}] {step}/{steps} steps, loss {loss:.4f}, {time_left((steps - step) * step_s)} left'


def time_left(seconds: float) -> str:
  """Rounded as one would say it."""
  if seconds < 90:
    return f'{seconds:.0f} s'
  minutes = round(seconds / 60)
  return f'{minutes} min' if minutes < 90 else f'{minutes // 60} h {minutes % 60:02d} min'


class Several(Unwatched):
  """Tells all of them."""

  def __init__(self, *watchers: Watcher) -> None:
    self._watchers = watchers

  def on_start(self, step: int, steps: int) -> None:
    """See `Watcher`."""
    for watcher in self._watchers:
      watcher.on_start(step, steps)

  def on_step(self, step: int, loss: float) -> None:
    """See `Watcher`."""
    for watcher in self._watchers:
      watcher.on_step(step, loss)

  def on_epoch(self, row: EpochRow) -> None:
    """See `Watcher`."""
    for watcher in self._watchers:
      watcher.on_epoch(row)


def at_terminal(quiet: bool, stream: TextIO | None = None) -> list[Watcher]:
  """A bar where somebody watches, else nothing."""
  stream = stream or sys.stderr
  return [] if quiet or is_json_on_stderr() or not stream.isatty() else [Bar(stream)]
