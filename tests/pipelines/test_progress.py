import io
import pathlib
import threading

import pytest

from pipelines import progress
from pipelines.staging import ShardResult, write_marker


class Terminal(io.StringIO):
  """A terminal that says when it was written to."""

  def __init__(self, is_tty: bool = True) -> None:
    super().__init__()
    self.written = threading.Event()
    self._is_tty = is_tty

  def isatty(self) -> bool:
    return self._is_tty

  def write(self, text: str) -> int:
    self.written.set()
    return super().write(text)


def test_finished_shards_are_counted_and_the_line_is_cleared(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(progress, '_INTERVAL_S', 0.01)
  for number in range(3):
    write_marker(str(tmp_path), ShardResult(number, 'f', (), 0, 0, ()))
  terminal = Terminal()
  with progress.shard_progress(str(tmp_path), quiet=False, stream=terminal):
    assert terminal.written.wait(30)
  text = terminal.getvalue()
  assert 'finished shards: 3' in text
  assert text.endswith('\r' + ' ' * len('\rfinished shards: 3') + '\r')


@pytest.mark.parametrize(('quiet', 'is_tty'), [(True, True), (False, False)])
def test_nothing_is_shown_where_nobody_watches(tmp_path: pathlib.Path, quiet: bool, is_tty: bool) -> None:
  terminal = Terminal(is_tty)
  before = threading.active_count()
  with progress.shard_progress(str(tmp_path), quiet, terminal):
    assert threading.active_count() == before
  assert terminal.getvalue() == ''
