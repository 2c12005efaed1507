"""What all tests share: the pinned engine, and that nothing is skipped in silence."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
  from apache_beam.runners.portability.fn_api_runner import fn_runner

_SKIPPED = pytest.StashKey[list[str]]()


@pytest.fixture
def runner() -> 'fn_runner.FnApiRunner':
  """Beam's in-process engine: DirectRunner would try to download another."""
  from apache_beam.runners.portability.fn_api_runner import fn_runner  # here: most tests need no Beam

  return fn_runner.FnApiRunner()


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
