import os
import pathlib
import stat

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.events import RECORD_FIELD
from pipelines.exits import UsageError
from pipelines.metrics_file import METRICS, check_metrics_file, write_metrics
from tests.pipelines.night_records import FIRST, drift, month, night, nothing_new

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(path: pathlib.Path) -> Samples:
  """What Prometheus reads."""
  families = list(text_string_to_metric_families(path.read_text(encoding='utf-8')))
  assert all(family.type == 'gauge' and family.documentation for family in families)
  found = [sample for family in families for sample in family.samples]
  read = {(one.name.removeprefix('radbeam_night_'), frozenset(one.labels.items())): one.value for one in found}
  assert len(read) == len(found), 'a series stands twice'
  return read


def value(read: Samples, name: str, **labels: str) -> float:
  return read[name, frozenset(labels.items())]


def test_prometheus_reads_the_figures_of_a_night(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'radbeam.prom'
  record = night(alarms=[{'code': 'drift-scores', 'level': 'fail', 'detail': 'psi 0.31'}], drift=drift(0.31, 0.2))
  write_metrics(str(path), record)
  read = samples(path)
  assert {name for name, _ in read} == set(METRICS)
  assert value(read, 'exit_code') == 0
  assert value(read, 'rows', status='rejected') == record['rows']['rejected']
  assert value(read, 'reasons', reason='no-pixel-data', status='skipped') == record['rows']['skipped']
  assert value(read, 'reasons', reason='too-large', status='rejected') == record['reasons']['too-large']
  assert value(read, 'stage_seconds', stage='scoring') == record['seconds']['scoring']
  assert value(read, 'seconds') == record['seconds']['total']
  assert value(read, 'files', what='new') == 1500
  assert value(read, 'drift', measure='psi') == 0.31
  assert value(read, 'alarms', alarm='drift-scores', level='fail') == 1
  assert value(read, 'state', state='done') == 1
  assert value(read, 'state', state='alarm') == 0
  assert value(read, 'model', model='chest-1.4') == 1
  assert value(read, 'end_timestamp_seconds') - value(read, 'start_timestamp_seconds') == pytest.approx(
    record['seconds']['total'], abs=1e-3
  )


def test_every_night_of_a_month_can_be_read(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'radbeam.prom'
  for record in month():
    write_metrics(str(path), record)
    assert value(samples(path), 'exit_code') == record['exit_code']


def test_statuses_are_there_on_a_night_without_work(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'radbeam.prom'
  write_metrics(str(path), nothing_new(FIRST))
  assert [value(samples(path), 'rows', status=status) for status in ('scored', 'rejected', 'skipped')] == [0, 0, 0]


def test_the_last_success_outlives_a_failed_night(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'radbeam.prom'
  write_metrics(str(path), night(exit_code=7))
  assert 'last_success_timestamp_seconds' not in path.read_text().replace('# ', '')
  write_metrics(str(path), nothing_new(FIRST))
  success = value(samples(path), 'last_success_timestamp_seconds')
  assert success == value(samples(path), 'end_timestamp_seconds')
  for code in (7, 4, 6):
    write_metrics(str(path), night(FIRST.replace(day=20), exit_code=code))
    assert (
      value(samples(path), 'last_success_timestamp_seconds') == success < value(samples(path), 'end_timestamp_seconds')
    )


def test_labels_are_escaped(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'radbeam.prom'
  label = 'a "b"\\\nc}'
  write_metrics(str(path), night(predicted={label: 7}))
  assert value(samples(path), 'predicted', label=label) == 7


def test_the_file_is_replaced_in_one_step_and_others_may_read_it(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'radbeam.prom'
  before = os.umask(0o077)
  try:
    write_metrics(str(path), night())
  finally:
    os.umask(before)
  assert stat.S_IMODE(path.stat().st_mode) == 0o644
  reader = path.open()
  write_metrics(str(path), nothing_new(FIRST))
  assert 'radbeam_night_exit_code 0.0' in reader.read(), 'who reads at the same time has the old file as a whole'
  reader.close()
  assert [file.name for file in tmp_path.iterdir()] == ['radbeam.prom']


def test_what_cannot_be_written_is_told_and_is_no_error(tmp_path: pathlib.Path, said: pytest.LogCaptureFixture) -> None:
  write_metrics(str(tmp_path / 'gone' / 'radbeam.prom'), night())
  assert [getattr(record, RECORD_FIELD).code for record in said.records] == ['metrics-lost']
  assert str(tmp_path) not in said.text


@pytest.mark.parametrize('path', ['gone/radbeam.prom', 'folder.prom', 'gs://bucket/radbeam.prom'])
def test_a_place_that_cannot_be_written_is_refused_at_once(path: str, tmp_path: pathlib.Path) -> None:
  (tmp_path / 'folder.prom').mkdir()
  with pytest.raises(UsageError, match=r'--metrics_file is .*; expected a file in a folder of this machine'):
    check_metrics_file(path if '://' in path else str(tmp_path / path))


def test_a_place_that_can_be_written_is_left_alone(tmp_path: pathlib.Path) -> None:
  check_metrics_file(str(tmp_path / 'radbeam.prom'))
  check_metrics_file(None)
  assert list(tmp_path.iterdir()) == []
