"""What all tests share: the pinned engine, and that nothing is skipped in silence."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.storage_emulator import BUCKET

if TYPE_CHECKING:
  from apache_beam.runners.portability.fn_api_runner import fn_runner

_SKIPPED = pytest.StashKey[list[str]]()


@pytest.fixture
def runner() -> 'fn_runner.FnApiRunner':
  """Beam's in-process engine: DirectRunner would try to download another."""
  from apache_beam.runners.portability.fn_api_runner import fn_runner  # here: most tests need no Beam

  return fn_runner.FnApiRunner()


@pytest.fixture(scope='session')
def _emulator() -> Iterator[str]:
  """One emulator of Google Cloud Storage for all tests; its address."""
  process = subprocess.Popen(
    [sys.executable, '-m', 'tests.storage_emulator'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
  )
  assert process.stdin
  assert process.stdout
  yield f'http://localhost:{process.stdout.readline().strip()}'
  process.stdin.close()
  process.wait()


@pytest.fixture
def bucket(_emulator: str, monkeypatch: pytest.MonkeyPatch) -> str:
  """A folder in a bucket, empty and of this test alone."""
  monkeypatch.setenv('STORAGE_EMULATOR_HOST', _emulator)
  return f'gs://{BUCKET}/{uuid.uuid4().hex}'


def pytest_configure(config: pytest.Config) -> None:
  skipped: list[str] = []
  config.stash[_SKIPPED] = skipped
  config.pluginmanager.register(_SkipCounter(skipped))


class _SkipCounter:
  """Notes what was skipped, or failed as expected: both hide that something was not tested."""

  def __init__(self, skipped: list[str]) -> None:
    self._skipped = skipped

  def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
    if report.skipped or hasattr(report, 'wasxfail'):
      self._skipped.append(report.nodeid)

  def pytest_collectreport(self, report: pytest.CollectReport) -> None:
    if report.skipped:
      self._skipped.append(report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
  if session.config.stash[_SKIPPED] and session.exitstatus == pytest.ExitCode.OK:
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
  for nodeid in config.stash[_SKIPPED]:
    terminalreporter.write_line(f'SKIPPED, which counts as failed: {nodeid}', red=True)
