import io
import logging

import pytest

from model.watching import EpochRow
from pipelines.train_progress import Bar, Lines, Several, at_terminal, bar, time_left

ROW = EpochRow(2, 40, 0.5, 0.9, 0.25, 0.97, 0.91, 1e-4, 61.4)


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [(0, '0 s'), (89.4, '89 s'), (90, '2 min'), (3600, '60 min'), (5400, '1 h 30 min'), (90_000, '25 h 00 min')],
)
def test_time_is_said_as_one_would(seconds: float, text: str) -> None:
  assert time_left(seconds) == text


def test_a_bar_shows_what_is_done_and_what_is_left() -> None:
  assert bar(300, 600, 0.5, 0.21) == f'[{"=" * 14}>{" " * 15}] 300/600 steps, loss 0.2100, 2 min left'
  assert bar(1, 600, 0.5, 0.21).startswith(f'[{" " * 30}] 1/600')
  assert bar(600, 600, 0.5, 0.21).endswith(f'[{"=" * 29}>] 600/600 steps, loss 0.2100, 0 s left')


def test_lines_stand_alone_beside_a_bar(caplog: pytest.LogCaptureFixture) -> None:
  stream = io.StringIO()
  watcher = Several(Bar(stream), Lines())
  with caplog.at_level(logging.INFO, 'radbeam.train'):
    watcher.on_start(20, 40)
    watcher.on_step(40, 0.5)
    watcher.on_epoch(ROW)
  assert caplog.messages == [
    'goes on after step 20 of 40',
    'epoch 2: loss 0.5000, validation loss 0.2500, AUC 0.9700, 61 s',
  ]
  drawn = stream.getvalue().split('\r')
  assert drawn[1].startswith('[')
  assert '40/40 steps' in drawn[1]
  assert drawn[-2].strip() == drawn[-1] == ''
  assert len(drawn[-2]) == len(drawn[1])  # nothing of the bar is left under the line


class Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


def test_a_bar_is_for_eyes_alone() -> None:
  assert [type(watcher) for watcher in at_terminal(False, Terminal())] == [Bar]
  assert at_terminal(True, Terminal()) == []
  assert at_terminal(False, io.StringIO()) == []
