import os
import pathlib

import pytest

from pipelines.preflight_flink import read_jar
from tests.end_to_end.conftest import chain

__all__ = ['chain']  # the same small export for engines as for this process

JAR = 'RADBEAM_FLINK_JOB_SERVER_JAR'


def pytest_collection_finish(session: pytest.Session) -> None:
  """Says at once what is missing: a skip would hide it."""
  path = os.environ.get(JAR, '')
  found = read_jar(path) if pathlib.Path(path).is_file() else None
  if session.items and not (found and found.has_runner):
    raise pytest.UsageError(f"{JAR} is {path!r}, which is not Beam's job server; run `make flink-execution`")


@pytest.fixture(scope='session')
def jar() -> str:
  """Beam's job server for Flink."""
  return os.environ[JAR]
