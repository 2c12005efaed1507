import dataclasses
import json
import pathlib
from typing import Any

import pytest

from pipelines import ledger as module
from pipelines.ledger import Content, Entry, Ledger, load_ledger, save_ledger
from pipelines.run_record import read_record, record_path

A = Entry('20260101T000000Z-a-s0000', '2026-01-01', 'cnn-1', 'skip1', 'path', 7, 'time1', 'crc1', False)


def write_slice(output: pathlib.Path, *entries: Entry, job: str = 'score') -> None:
  name, _, version = entries[0].model.partition('-')
  files = [
    {name: getattr(entry, name) for name in ('path_id', 'size_bytes', 'fingerprint', 'crc32c', 'rejected')}
    for entry in entries
  ]
  record: dict[str, Any] = {
    'job': job,
    'run_id': entries[0].run_id,
    'run_date': entries[0].run_date,
    'model': {'name': name, 'version': version},
    'skip_digest': entries[0].skip_digest,
    'entries' if job == 'score' else 'touched': files,
  }
  path = pathlib.Path(record_path(str(output), entries[0].run_id))
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(record))


def test_done_is_what_this_configuration_has_scored_with_this_content() -> None:
  ledger = Ledger([A])
  assert ledger.is_done(A.content, 'skip1')
  assert not ledger.is_done(A.content, 'skip2')
  for other in (A.content._replace(path_id='other'), A.content._replace(size_bytes=8), Content('path', 7, 'crc2')):
    assert not ledger.is_done(other, 'skip1')


def test_the_latest_run_says_whether_a_file_is_rejected() -> None:
  rejected = dataclasses.replace(A, rejected=True)
  mended = dataclasses.replace(A, run_id='20260102T000000Z-a-s0000')
  assert Ledger([rejected]).is_rejected(A.content, 'skip1')
  assert not Ledger([mended, rejected]).is_rejected(A.content, 'skip1')


def test_the_first_date_is_of_any_model_and_the_latest_run_of_one() -> None:
  later = dataclasses.replace(
    A, run_id='20260201T000000Z-a-s0000', run_date='2026-02-01', model='cnn-2', skip_digest='x'
  )
  ledger = Ledger([later, A])
  assert ledger.first_date(A.content) == '2026-01-01'
  assert ledger.contents_of('2026-01-01', '2026-01-01') == {A.content}
  assert ledger.contents_of('2026-01-02', '2026-12-31') == set()
  assert ledger.latest_run(['path'], 'cnn-1') == A.run_id
  assert ledger.latest_run(['path'], 'cnn-2') == later.run_id
  assert ledger.latest_run(['path'], 'cnn-3') is None


def test_a_checksum_is_known_from_size_and_time_unless_the_file_could_not_be_read() -> None:
  ledger = Ledger([A, dataclasses.replace(A, path_id='closed', crc32c='')])
  assert ledger.crc_of('path', 7, 'time1') == 'crc1'
  assert ledger.crc_of('path', 7, 'time2') == ''
  assert ledger.crc_of('closed', 7, 'time1') == ''


def test_what_a_night_only_looked_at_gives_its_checksum_and_nothing_else(tmp_path: pathlib.Path) -> None:
  write_slice(tmp_path, dataclasses.replace(A, run_id='20260102T000000Z-b', fingerprint='time2'), job='nightly')
  ledger = load_ledger(str(tmp_path))
  assert ledger.crc_of('path', 7, 'time2') == 'crc1'
  assert not ledger.is_done(A.content, 'skip1')
  assert ledger.first_date(A.content) is None


def many(output: pathlib.Path, first: int, last: int) -> None:
  for number in range(first, last):
    write_slice(output, dataclasses.replace(A, run_id=f'20260101T{number:06d}Z-a-s0000', path_id=f'path{number}'))


def all_entries(output: pathlib.Path) -> list[Entry]:
  return load_ledger(str(output)).entries


def test_a_snapshot_changes_nothing_and_saves_reading_records(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  many(tmp_path, 0, 30)
  before = all_entries(tmp_path)
  save_ledger(str(tmp_path))
  assert all_entries(tmp_path) == before
  many(tmp_path, 30, 33)
  read: list[str] = []

  def note(output: str, run_id: str) -> dict[str, Any]:
    read.append(run_id)
    return read_record(output, run_id)

  monkeypatch.setattr(module, 'record_before_scoring', note)
  assert len(all_entries(tmp_path)) == 33
  assert len(read) == 3


def test_the_snapshots_of_years_do_not_pile_up(tmp_path: pathlib.Path) -> None:
  for number in range(0, 100, 25):
    many(tmp_path, number, number + 25)
    save_ledger(str(tmp_path))
  assert len(list((tmp_path / 'ledger').iterdir())) == 2
  assert len(all_entries(tmp_path)) == 100


def test_a_damaged_snapshot_is_no_harm(tmp_path: pathlib.Path) -> None:
  many(tmp_path, 0, 30)
  save_ledger(str(tmp_path))
  (snapshot,) = (tmp_path / 'ledger').iterdir()
  snapshot.write_bytes(snapshot.read_bytes()[:100])
  assert len(all_entries(tmp_path)) == 30
