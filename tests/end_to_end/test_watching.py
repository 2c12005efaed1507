"""What a night tells those who watch it: events, metrics, spans."""

import json
import pathlib
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.events import EVENTS
from pipelines.exits import Exit
from tests.end_to_end.nights import Site
from tests.pipelines.otlp_receiver import attributes_of, receiver


@pytest.fixture
def site(tmp_path: pathlib.Path, tiny_models: pathlib.Path, scored_by_numpy: None) -> Site:
  site = Site(tmp_path / 'Doe^Planted', tiny_models)
  site.deliver_zip('Doe^Planted.zip', i1=10, i2=20)
  site.deliver('notes.txt', b'nothing to see here')
  return site


def events(text: str) -> list[dict[str, Any]]:
  return [json.loads(line) for line in text.splitlines()]


def test_a_night_is_told_in_events_metrics_and_spans(
  site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
  metrics = site.root / 'radbeam.prom'
  log = site.root / 'radbeam.log'
  watched = ['--log_format', 'json', '--log_file', str(log), '--metrics_file', str(metrics)]
  with receiver() as collector:
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_ENDPOINT', collector.endpoint)
    assert site.night(*watched, '--slice_files', '1') == Exit.DONE
    assert site.night(*watched) == Exit.NOTHING_TO_DO
  said = capfd.readouterr().err
  told = [event for event in events(said) if event['event'] != 'message']
  first, second = site.records()
  slices = ['slice-started', 'slice-published'] * 2
  assert [event['event'] for event in told] == [
    *('night-started', 'inbox-listed', *slices, 'night-finished', 'job-ended'),
    *('night-started', 'inbox-listed', 'alarm', 'night-finished', 'nothing-new', 'job-ended'),
  ]
  assert {event['event'] for event in told} <= set(EVENTS)
  assert [event['run_id'] for event in told] == [first['run_id']] * 8 + [second['run_id']] * 6
  finished = told[6]
  assert (finished['rows'], finished['exit_code'], finished['seconds']) == (first['rows'], 0, first['seconds'])
  assert set(first['seconds']) >= {'listing', 'fingerprinting', 'scoring', 'total'}
  assert events(log.read_text()) == events(said)

  families = text_string_to_metric_families(metrics.read_text())
  read = {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}
  assert read['radbeam_night_exit_code'] == Exit.NOTHING_TO_DO

  night, _ = (attributes_of(span) for span in collector.spans['night'])
  assert (night['radbeam.run_id'], night['radbeam.rows.scored']) == (first['run_id'], 2)
  assert [attributes_of(span)['radbeam.files'] for span in collector.spans['slice']] == [1, 1]
  sent = b''.join(request.SerializeToString() for _, request in collector.requests)
  for left in (said.encode(), log.read_bytes(), metrics.read_bytes(), sent):
    assert b'Planted' not in left


def test_for_a_person_nothing_has_changed(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  assert site.night() == Exit.DONE
  lines = capfd.readouterr().err.splitlines()
  (record,) = site.records()
  assert lines == [
    "slice 0 is published: 2 files, rows {'scored': 2, 'skipped': 1}; 0 files to go",
    f"night {record['run_id']}: 3 sources in 1 slices, rows {{'scored': 2, 'skipped': 1}}, state done; "
    '0 files are left to the next run',
  ]


def test_a_metrics_file_that_cannot_be_written_is_refused_before_any_work(
  site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
  assert site.night('--metrics_file', str(site.root / 'gone' / 'radbeam.prom')) == Exit.USAGE
  assert site.night('--metrics_file', str(site.root / 'radbeam.txt')) == Exit.USAGE
  shown = capfd.readouterr().err
  assert 'expected a file in a folder of this machine' in shown
  assert 'the name of a .prom file' in shown
  assert not site.output.exists()
