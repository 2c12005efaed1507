import logging
import pathlib
from typing import Any

import pytest

from pipelines.events import EVENTS, RECORD_FIELD, Event, emit


def events(said: pytest.LogCaptureFixture) -> list[Event]:
  return [getattr(record, RECORD_FIELD) for record in said.records]


def test_an_event_is_a_line_for_a_person_and_fields_for_a_machine(said: pytest.LogCaptureFixture) -> None:
  emit('slice-published', 'slice 3 is published: 100 % of it', slice=3, rows={'scored': 7}, model='cnn-1.0', gone=None)
  assert said.messages == ['slice 3 is published: 100 % of it']
  assert events(said) == [
    Event(
      'slice-published',
      'slice 3 is published: 100 % of it',
      {'slice': 3, 'rows': {'scored': 7}, 'model': 'cnn-1.0', 'gone': None},
    )
  ]


@pytest.mark.parametrize('code', ['alarm', 'lock-recovered', 'deadline-reached'])
def test_what_somebody_should_know_is_a_warning(code: str, said: pytest.LogCaptureFixture) -> None:
  emit(code, 'text')
  assert [record.levelname for record in said.records] == ['WARNING']


@pytest.mark.parametrize(
  'value',
  ['/data/inbox', 'inbox/doe.zip', 'gs://bucket/x', 'DOE^JOHN', 'Doe John', '', 'a\nb', 'C:\\inbox', ['fine', '/data']],
)
def test_places_and_texts_are_refused(value: Any, said: pytest.LogCaptureFixture) -> None:
  with pytest.raises(ValueError, match='no id and no code') as raised:
    emit('alarm', 'text', what=value)
  assert 'oe' not in str(raised.value)
  assert said.records == []


@pytest.mark.parametrize('value', [b'x', {'rows': {'scored': 1}}, [[1]], pathlib.Path('x'), {1, 2}])
def test_other_types_are_refused(value: Any) -> None:
  with pytest.raises(TypeError, match='expected ids, codes and figures'):
    emit('alarm', 'text', what=value)


@pytest.mark.parametrize('name', ['time', 'level', 'event', 'run_id'])
def test_what_each_event_has_cannot_be_given(name: str) -> None:
  fields: dict[str, Any] = {name: 'x'}
  with pytest.raises(ValueError, match=f'field {name} is set'):
    emit('alarm', 'text', **fields)


def test_an_unknown_code_is_a_defect() -> None:
  with pytest.raises(KeyError):
    emit('slice-publishd', 'text')


def test_the_codes_that_others_filter_by() -> None:
  assert set(EVENTS) >= {'night-started', 'slice-published', 'alarm', 'night-finished', 'job-ended'}
  assert all(kind.meaning and kind.level in (logging.INFO, logging.WARNING) for kind in EVENTS.values())
