import datetime
import json
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.current import current
from pipelines.ledger import load_ledger, save_ledger
from pipelines.night_leftovers import find_leftovers, staging_of_nights
from pipelines.nights import latest_nights
from pipelines.output_key import latest_fingerprint
from pipelines.retention import Terms, find_going
from pipelines.run_record import (
  DamagedRecordError,
  after_all_others,
  commit_record,
  list_records,
  read_outlines,
  read_record,
  record_path,
  recorded_runs,
  set_aside_empty,
  write_record,
)
from pipelines.staging import START_FILE, find_finished, marker_folder, start_run, write_marker
from pipelines.studies import current_studies
from tests.pipelines.night_records import FIRST, night, run_id, slice_of, write_records
from tests.pipelines.shard_results import stage
from tests.pipelines.written_runs import row, write_run
from transforms import storage

RUN = '20260103T013000Z-a1b2c3d4'
LATER = '20260104T013000Z-a1b2c3d4'
# What may lie there instead of a record: broken off, of another program, no text, of another run.
DAMAGED = {
  'truncated': b'{"job": "score", "run_id": "2026',
  'object': b'{}',
  'list': b'[]',
  'binary': b'\x00\xff\x00',
  'other-run': json.dumps({'job': 'score', 'run_id': 'x'}).encode(),
  'no-job': json.dumps({'run_id': RUN}).encode(),
}


@pytest.fixture(params=['disk', 'store'])
def output(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
  return str(tmp_path / 'out') if request.param == 'disk' else str(request.getfixturevalue('bucket'))


@pytest.fixture(params=DAMAGED.values(), ids=list(DAMAGED))
def damaged(request: pytest.FixtureRequest) -> bytes:
  content: bytes = request.param
  return content


def put(path: str, content: bytes) -> None:
  with storage.open_write(path) as file:
    file.write(content)


def put_record(output: str, name: str, content: bytes) -> None:
  put(record_path(output, name), content)


def whole(name: str = LATER, **more: Any) -> dict[str, Any]:
  return {'job': 'score', 'run_id': name, **more}


def test_a_damaged_record_is_an_error_of_the_users_that_says_what_to_do(output: str, damaged: bytes) -> None:
  put_record(output, RUN, damaged)
  with pytest.raises(DamagedRecordError, match=f'{RUN}.json is damaged; restore it .* rename it to {RUN}.json.damaged'):
    read_record(output, RUN)


def test_who_reads_many_leaves_it_out_and_says_so_once(
  output: str, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
  put_record(output, RUN, damaged)
  write_record(record_path(output, LATER), whole())
  with caplog.at_level(logging.WARNING):
    for _ in range(2):
      assert read_outlines(output, recorded_runs(output)) == [whole()]
  assert [record.getMessage() for record in caplog.records] == [f'the record of run {RUN} is damaged: left out']


def test_an_empty_record_is_none_and_its_run_can_still_be_committed(output: str) -> None:
  put_record(output, RUN, b'')
  assert list_records(output) == ([], {RUN})
  commit_record(output, whole(RUN))
  assert read_record(output, RUN) == whole(RUN)
  commit_record(output, whole(RUN, by='second'))
  assert read_record(output, RUN) == whole(RUN)
  assert list_records(output) == ([RUN], set())


def test_empty_records_are_set_aside_and_nothing_else_is(output: str, caplog: pytest.LogCaptureFixture) -> None:
  put_record(output, RUN, b'')
  put_record(output, LATER, DAMAGED['truncated'])
  with caplog.at_level(logging.WARNING):
    set_aside_empty(output)
    set_aside_empty(output)
  names = [path.path.rpartition('/')[2] for path in storage.list_files(storage.join(output, 'runs'))]
  assert names == [f'{RUN}.json.damaged', f'{LATER}.json']
  assert list_records(output) == ([LATER], {RUN})
  assert len(caplog.records) == 1


def test_a_record_that_is_back_counts_whatever_was_set_aside(output: str) -> None:
  put_record(output, RUN, b'')
  set_aside_empty(output)
  write_record(record_path(output, RUN), whole(RUN))
  assert list_records(output) == ([RUN], set())


@pytest.mark.parametrize('name', ['notes of Erika.json', '._x.json', 'damaged/old.json', 'x.json.123.tmp', 'x.txt'])
def test_what_cannot_be_a_record_is_passed_over(output: str, name: str) -> None:
  put(storage.join(output, 'runs', name), b'{}')
  assert list_records(output) == ([], set())


def test_the_name_of_another_programs_file_is_not_shown(output: str, caplog: pytest.LogCaptureFixture) -> None:
  put_record(output, 'Mustermann-Erika', b'{}')
  started = datetime.datetime(2026, 1, 3, tzinfo=datetime.UTC)
  with caplog.at_level(logging.WARNING):
    assert read_outlines(output, recorded_runs(output)) == []
  assert after_all_others(output, started) == started
  assert 'damaged' in caplog.text
  assert 'Mustermann' not in caplog.text


# --- who reads


def test_rows_of_a_run_with_a_damaged_record_do_not_count(tmp_path: pathlib.Path, damaged: bytes) -> None:
  write_run(tmp_path, LATER, [row('i1', 's1')])
  write_run(tmp_path, RUN, [row('i2', 's2')])
  put_record(str(tmp_path), RUN, damaged)
  assert current(str(tmp_path))['image_id'].to_pylist() == ['i1']
  assert current_studies(str(tmp_path), 'cnn-1').num_rows == 0
  assert latest_fingerprint(str(tmp_path)) is None


def test_prune_takes_what_it_knows_and_leaves_a_run_with_a_damaged_record(
  tmp_path: pathlib.Path, damaged: bytes
) -> None:
  for name in (RUN, LATER):
    write_run(tmp_path, name, [row('i1', 's1')])
  put_record(str(tmp_path), RUN, damaged)
  going = find_going(str(tmp_path), Terms(0, 0), None, datetime.date(2030, 1, 1))
  assert [one.run_id for one in going] == [LATER]


def test_a_night_with_a_damaged_record_is_what_its_slices_are(tmp_path: pathlib.Path, damaged: bytes) -> None:
  days = [FIRST, FIRST.replace(day=4)]
  output = write_records(tmp_path, [*map(night, days), slice_of(run_id(days[0]), 0, 400)])
  put_record(output, run_id(days[0]), damaged)
  put_record(output, '20260105T013000Z-0000000a', damaged)  # of a run without slices: `score` as well as a night
  put_record(output, f'{run_id(days[0])}-s0001', damaged)
  later, died = latest_nights(output, 30)
  assert (later.run_id, later.state) == (run_id(days[1]), 'done')
  assert (died.run_id, died.state, died.rows['scored']) == (run_id(days[0]), 'interrupted', 400)


# --- who scores


def entries(output: str) -> set[str]:
  return {entry.run_id for entry in load_ledger(output).entries}


def write_slices(output: str, count: int) -> list[str]:
  names = [f'{RUN}-s{number:04}' for number in range(count)]
  for name in names:
    file = {'path_id': name, 'size_bytes': 7, 'fingerprint': 't', 'crc32c': 'c', 'rejected': False}
    facts = {'run_date': '2026-01-03', 'skip_digest': 'x', 'entries': [file]}
    write_record(record_path(output, name), whole(name, **facts))
  return names


def test_a_damaged_slice_is_not_taken_for_one_that_scored_nothing(tmp_path: pathlib.Path, damaged: bytes) -> None:
  names = write_slices(str(tmp_path), 2)
  put_record(str(tmp_path), names[0], damaged)
  with pytest.raises(DamagedRecordError, match=names[0]):
    load_ledger(str(tmp_path))
  path = pathlib.Path(record_path(str(tmp_path), names[0]))
  path.rename(f'{path}.damaged')  # what the text says
  assert entries(str(tmp_path)) == {names[1]}


def test_a_damaged_night_holds_no_files_and_is_left_out(tmp_path: pathlib.Path, damaged: bytes) -> None:
  names = write_slices(str(tmp_path), 1)
  put_record(str(tmp_path), RUN, damaged)
  assert entries(str(tmp_path)) == set(names)


def test_the_ledger_forgets_files_of_a_run_that_did_not_happen(tmp_path: pathlib.Path) -> None:
  names = write_slices(str(tmp_path), 30)
  save_ledger(str(tmp_path))
  put_record(str(tmp_path), names[3], b'')
  assert entries(str(tmp_path)) == {*names} - {names[3]}
  set_aside_empty(str(tmp_path))
  assert entries(str(tmp_path)) == {*names} - {names[3]}


# --- unfinished work

_BROKEN_NOTES: dict[str, Callable[[bytes], bytes]] = {
  'empty': lambda note: b'',
  'truncated': lambda note: note[: len(note) // 2],
  'object': lambda note: b'{}',
  'list': lambda note: b'[1]',
  'zeros': lambda note: bytes(len(note)),
}


@pytest.mark.parametrize('breaking', _BROKEN_NOTES.values(), ids=_BROKEN_NOTES.keys())
def test_a_broken_marker_is_of_a_shard_that_is_not_finished(
  tmp_path: pathlib.Path, breaking: Callable[[bytes], bytes]
) -> None:
  result = stage(tmp_path, 3, {'index': b'rows'})
  write_marker(str(tmp_path), result)
  (marker,) = pathlib.Path(marker_folder(str(tmp_path))).iterdir()
  marker.write_bytes(breaking(marker.read_bytes()))
  assert find_finished(str(tmp_path), 3, result.fingerprint) is None
  write_marker(str(tmp_path), result)
  assert find_finished(str(tmp_path), 3, result.fingerprint) == result


@pytest.mark.parametrize('breaking', _BROKEN_NOTES.values(), ids=_BROKEN_NOTES.keys())
def test_a_broken_note_is_of_a_run_that_was_not_begun(output: str, breaking: Callable[[bytes], bytes]) -> None:
  staging = storage.join(staging_of_nights(output), RUN)
  facts = ('run_date', 'config_digest', 'predictions', 'supersedes_run_id', 'files')
  first = {'run_id': 'first', 'started': 'then', **dict.fromkeys(facts, 'x')}
  assert start_run(staging, first) == start_run(staging, {'run_id': 'second', 'started': 'now'}) == first
  assert [leftover.run_id for leftover in find_leftovers(output)] == ['first']
  path = storage.join(staging, START_FILE)
  put(path, breaking(storage.read_bytes(path)))
  assert find_leftovers(output) == []
  second = {'run_id': 'second', 'started': 'now'}
  assert start_run(staging, second) == start_run(staging, first) == second
