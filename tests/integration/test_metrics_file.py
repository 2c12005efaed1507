"""The metrics file against Prometheus's own checker, `promtool check metrics`."""

import pathlib
import subprocess
import sys
from typing import Any

import pytest

from pipelines.metrics_file import write_metrics
from tests.pipelines.night_records import FIRST, month, night, nothing_new

_PROMTOOL = pathlib.Path(sys.executable).parent / 'promtool'  # `make integration` puts it there
_ALARMS = [{'code': 'drift-score', 'level': 'fail', 'detail': 'psi 0.31'}]


def check(path: pathlib.Path) -> 'subprocess.CompletedProcess[str]':
  with path.open() as file:
    return subprocess.run([_PROMTOOL, 'check', 'metrics'], stdin=file, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
  'record',
  [night(alarms=_ALARMS), nothing_new(FIRST), list(month())[23], night(predicted={'a "b"\\\n{}': 7})],
  ids=['alarm', 'nothing-new', 'drift', 'odd-label'],
)
def test_prometheus_has_nothing_to_object(record: dict[str, Any], tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'radbeam.prom'
  write_metrics(str(path), record)
  done = check(path)
  assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_the_checker_can_object(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'radbeam.prom'
  path.write_text('# TYPE rows_total gauge\nrows_total{status="a} 1\n')
  assert check(path).returncode != 0
