"""What tests of the command line share."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest

from pipelines.events import name_run
from pipelines.jobs import JOBS
from tests.pipelines.fake_job import FakeJob


@pytest.fixture
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
  """What `main` sets up for a whole process is taken back."""
  monkeypatch.delenv('RADBEAM_TRACEBACK', raising=False)
  environment = dict(os.environ)
  loggers = [logging.getLogger(name) for name in ('', 'radbeam', 'apache_beam', 'absl', 'tensorflow')]
  states = [(logger, logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
  yield
  name_run(None)
  os.environ.clear()
  os.environ.update(environment)
  for logger, level, propagate, handlers in states:
    logger.setLevel(level)
    logger.propagate = propagate
    logger.handlers[:] = handlers


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
  """What is said through our loggers, whatever the command line has made of them in other tests of this process."""
  ours = logging.getLogger('radbeam')
  monkeypatch.setattr(ours, 'handlers', [])
  monkeypatch.setattr(ours, 'propagate', True)
  caplog.set_level(logging.INFO, 'radbeam')
  return caplog


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> FakeJob:
  fake = FakeJob()
  for name in JOBS:
    monkeypatch.setitem(sys.modules, f'pipelines.{name}', fake)
  return fake
