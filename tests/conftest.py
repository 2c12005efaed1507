"""What all tests share: the pinned engine, and that nothing is skipped in silence."""

import os
import pathlib
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.storage_emulator import BUCKET

# Of several processes each has one thread: of TensorFlow's, and of what numpy and others calculate with.
if 'PYTEST_XDIST_WORKER' in os.environ:
  for _name in ('TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ.setdefault(_name, '1')

if TYPE_CHECKING:
  from apache_beam.runners.portability.fn_api_runner import fn_runner

_SHOWN_BYTES = 16  # in the name of a test
_SKIPPED = pytest.StashKey[list[str]]()


@pytest.fixture
def runner() -> 'fn_runner.FnApiRunner':
  """Beam's in-process engine: DirectRunner would try to download another."""
  from apache_beam.runners.portability.fn_api_runner import fn_runner  # here: most tests need no Beam

  return fn_runner.FnApiRunner()


@pytest.fixture(scope='session')
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """The folder of two bundles, `1` and `2`, of which `2` halves the scores of `1`; not to be changed by a test."""
  from tests.pipelines.tiny_bundle import write_bundle  # here: most tests need no TensorFlow

  path = tmp_path_factory.mktemp('models')
  write_bundle(path / '1', '1')
  write_bundle(path / '2', '2', brightest=512)
  return path


@pytest.fixture
def scored_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
  """Runs of this process score by what the tiny bundles say without TensorFlow: for what does not concern the model."""
  from pipelines import night_slices, score
  from tests.pipelines.numpy_handler import scoring_by_numpy

  for job in (night_slices, score):
    monkeypatch.setattr(job, 'scoring_of', scoring_by_numpy)


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


def pytest_make_parametrize_id(val: object) -> str | None:
  """Tests must have the same names in all processes, but gzip puts the time into what it packs."""
  return 'bytes' if isinstance(val, bytes) and len(val) > _SHOWN_BYTES else None


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
