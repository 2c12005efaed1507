import logging
import pathlib
import socket
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from pipelines.events import RECORD_FIELD
from pipelines.exits import NothingToDo, UsageError
from pipelines.telemetry import Timings, timed_run
from tests.pipelines.otlp_receiver import attributes_of, receiver

_EXPORTER = 'opentelemetry.exporter.otlp.proto.http.trace_exporter'
_ENDPOINT = 'OTEL_EXPORTER_OTLP_ENDPOINT'


@pytest.fixture(autouse=True)
def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
  for name in (_ENDPOINT, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_SERVICE_NAME'):
    monkeypatch.delenv(name, raising=False)


def test_a_stage_that_comes_again_is_added_up() -> None:
  timings = Timings()
  for _ in range(2):
    with timings.stage('listing'), timings.span('slice', slice=1):
      pass
  with pytest.raises(ZeroDivisionError), timings.stage('scoring'):
    print(1 / 0)
  seconds = timings.seconds
  assert list(seconds) == ['listing', 'scoring', 'total']
  assert 0 <= seconds['listing'] <= seconds['total']


@pytest.mark.parametrize('wanted', [None, True])
def test_the_collector_gets_a_span_for_the_run_each_stage_and_slice(
  wanted: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
  with receiver() as collector:
    monkeypatch.setenv(_ENDPOINT, collector.endpoint)
    with timed_run('night', wanted, run_date='2026-01-31') as timings:
      with timings.stage('scoring'), timings.span('slice', slice=3, rows={'scored': 7, 'rejected': 0}):
        pass
      timings.describe_run({'alarms': ['drift-scores'], 'exit_code': 7, 'rows': {'scored': 7}, 'backfill': None})
    spans = collector.spans
  assert [path for path, _ in collector.requests] == ['/v1/traces']
  (night,), (scoring,), (slice_,) = spans['night'], spans['scoring'], spans['slice']
  assert (scoring.parent_span_id, slice_.parent_span_id) == (night.span_id, scoring.span_id)
  assert {span.trace_id for span in (night, scoring, slice_)} == {night.trace_id}
  assert night.start_time_unix_nano <= scoring.start_time_unix_nano <= scoring.end_time_unix_nano
  assert attributes_of(slice_) == {'radbeam.slice': 3, 'radbeam.rows.scored': 7, 'radbeam.rows.rejected': 0}
  assert attributes_of(night) == {
    'radbeam.run_date': '2026-01-31',
    'radbeam.alarms': ['drift-scores'],
    'radbeam.exit_code': 7,
    'radbeam.rows.scored': 7,
  }
  resource = collector.requests[0][1].resource_spans[0].resource
  named = {one.key: one.value.string_value for one in resource.attributes}
  assert named['service.name'] == 'radbeam'
  assert set(named) <= {
    'service.name',
    'service.instance.id',
    *(key for key in named if key.startswith('telemetry.sdk')),
  }


def test_spans_of_libraries_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
  with receiver() as collector:
    monkeypatch.setenv(_ENDPOINT, collector.endpoint)
    with timed_run('night', None), trace.get_tracer('google.cloud.storage').start_as_current_span('gs://doe.zip'):
      pass
  assert list(collector.spans) == ['night']


def test_an_exception_is_told_by_its_type_alone(monkeypatch: pytest.MonkeyPatch) -> None:
  with receiver() as collector:
    monkeypatch.setenv(_ENDPOINT, collector.endpoint)
    with pytest.raises(KeyError), timed_run('night', None) as timings, timings.stage('scoring'):
      raise KeyError('Doe^Planted')
    with pytest.raises(NothingToDo), timed_run('night', None):
      raise NothingToDo('no file')
  failed, (calm,) = [collector.spans['scoring'][0], collector.spans['night'][0]], collector.spans['night'][1:]
  assert [span.status.code for span in failed] == [Status.STATUS_CODE_ERROR] * 2
  assert [attributes_of(span) for span in failed] == [{'error.type': 'KeyError'}] * 2
  assert (calm.status.code, attributes_of(calm)) == (Status.STATUS_CODE_UNSET, {'error.type': 'NothingToDo'})
  assert all(b'Doe' not in request.SerializeToString() for _, request in collector.requests)
  assert [len(span.events) for span in failed] == [0, 0]


@pytest.mark.parametrize('value', ['/data/inbox', 'DOE^JOHN'])
def test_places_and_texts_are_refused_whether_spans_are_sent_or_not(value: str) -> None:
  with pytest.raises(ValueError, match='no id and no code'), Timings().span('slice', what=value):
    pass


@pytest.mark.parametrize(('wanted', 'endpoint'), [(None, ''), (False, 'http://127.0.0.1:9')])
def test_without_being_asked_for_nothing_is_loaded(
  wanted: bool | None, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setitem(sys.modules, _EXPORTER, None)
  monkeypatch.setenv(_ENDPOINT, endpoint)
  with timed_run('night', wanted) as timings, timings.stage('listing'):
    pass
  assert list(timings.seconds) == ['listing', 'total']


@pytest.mark.parametrize(
  ('wanted', 'endpoint', 'found'),
  [(True, '', '--otel is true'), (None, 'http://127.0.0.1:9', 'an endpoint of OpenTelemetry is set')],
)
def test_without_the_extra_it_is_said_what_to_install(
  wanted: bool | None, endpoint: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setitem(sys.modules, _EXPORTER, None)
  monkeypatch.setenv(_ENDPOINT, endpoint)
  with pytest.raises(UsageError, match=rf"^{found}.*`pip install 'radbeam\[otel\]'"), timed_run('night', wanted):
    pass


def test_a_collector_that_is_not_there_is_told_of_once(
  said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(logging.getLogger('opentelemetry'), 'level', logging.NOTSET)
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    monkeypatch.setenv(_ENDPOINT, f'http://127.0.0.1:{free.getsockname()[1]}')
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_TIMEOUT', '1')
    with timed_run('night', None) as timings, timings.stage('listing'):
      pass
  events: list[Any] = [getattr(record, RECORD_FIELD, None) for record in said.records]
  assert [event and event.code for event in events] == ['telemetry-lost']
  assert str(pathlib.Path.cwd()) not in said.text
