import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.night_figures import INTERRUPTED
from pipelines.nights import latest_nights
from tests.pipelines.night_records import FIRST, night, run_id, slice_of, write_records

_FIRST, _SECOND, _THIRD = (run_id(FIRST.replace(day=day)) for day in (3, 4, 5))


def records(*days: int, **more: Any) -> list[dict[str, Any]]:
  return [night(FIRST.replace(day=day), 100, **more) for day in days]


def test_the_newest_nights_come_first(tmp_path: pathlib.Path) -> None:
  output = write_records(tmp_path, records(3, 4, 5))
  assert [one.run_id for one in latest_nights(output, 2)] == [_THIRD, _SECOND]
  assert len(latest_nights(output, 30)) == 3


def test_an_output_without_nights(tmp_path: pathlib.Path) -> None:
  score = {'job': 'score', 'run_id': '20260106T010000Z-00000000', 'rows': {}}
  assert latest_nights(str(tmp_path), 30) == []
  assert latest_nights(write_records(tmp_path, [score]), 30) == []


def test_a_night_without_a_record_is_what_its_slices_are(tmp_path: pathlib.Path) -> None:
  output = write_records(tmp_path, [*records(3), slice_of(_SECOND, 0, 400), slice_of(_SECOND, 1, 300)])
  died, done = latest_nights(output, 30)
  assert (died.run_id, died.state, died.exit_code, died.duration_s) == (_SECOND, INTERRUPTED, None, None)
  assert (died.slices, died.rows, died.reasons) == (2, {'scored': 700, 'rejected': 10}, {'blank': 10})
  assert (died.run_date, died.model, died.files) == ('2026-01-04', 'chest-1.5', {'new': 200})
  assert done.state == 'done'


def test_slices_that_the_next_night_counts_are_not_counted_twice(tmp_path: pathlib.Path) -> None:
  (later,) = records(5, slices=[f'{_SECOND}-s0000', f'{_THIRD}-s0000'])
  output = write_records(tmp_path, [later, slice_of(_SECOND, 0, 400), slice_of(_SECOND, 1, 300), slice_of(_THIRD)])
  nights = latest_nights(output, 30)
  assert [(one.run_id, one.slices, one.rows.get('scored')) for one in nights[1:]] == [(_SECOND, 1, 300)]


def test_a_night_that_left_nothing_but_its_lock_is_known_by_the_next(tmp_path: pathlib.Path) -> None:
  output = write_records(tmp_path, [*records(3), *records(5, recovered_lock=_SECOND)])
  assert [(one.run_id, one.state) for one in latest_nights(output, 30)] == [
    (_THIRD, 'done'),
    (_SECOND, INTERRUPTED),
    (_FIRST, 'done'),
  ]
  assert len(latest_nights(output, 2)) == 2


@pytest.mark.parametrize('known_by', ['slices', 'record'])
def test_a_lock_of_a_night_that_is_known_otherwise_adds_none(known_by: str, tmp_path: pathlib.Path) -> None:
  made: dict[str, Callable[[], dict[str, Any]]] = {
    'slices': lambda: slice_of(_SECOND),
    'record': lambda: records(4)[0],
  }
  output = write_records(tmp_path, [made[known_by](), *records(5, recovered_lock=_SECOND)])
  assert [one.run_id for one in latest_nights(output, 30)] == [_THIRD, _SECOND]
