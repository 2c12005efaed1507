import dataclasses
import datetime
import json
import pathlib
from importlib.metadata import version

import pytest

from pipelines import run_record
from pipelines.run_record import new_run_id, now, summarise, versions, write_record
from tests.pipelines.shard_results import stage

START = datetime.datetime(2024, 2, 29, 23, 59, 59, tzinfo=datetime.UTC)


def test_run_ids_sort_by_time_and_tell_apart_what_starts_together() -> None:
  assert new_run_id(START, 'abcdef0123') == '20240229T235959Z-abcdef01'
  assert new_run_id(START + datetime.timedelta(seconds=1), '0') > new_run_id(START, 'f')
  assert new_run_id(START, 'a') != new_run_id(START, 'b')


def test_time_is_utc_to_the_second() -> None:
  assert (now().utcoffset(), now().microsecond) == (datetime.timedelta(0), 0)


def test_rows_are_summed_up_by_status_and_by_reason(tmp_path: pathlib.Path) -> None:
  first = stage(tmp_path, 0, {}, sources=4, counts=((('ok', '', 'train', 'a'), 2), (('rejected', 'blank', '', ''), 2)))
  second = stage(
    tmp_path,
    1,
    {},
    sources=3,
    counts=((('ok', '', 'val', 'b'), 1), (('rejected', 'bomb', '', ''), 1), (('skipped', 'auxiliary-file', '', ''), 1)),
  )
  assert summarise([first, second]) == {
    'sources': {'listed': 7, 'written': 7},
    'rows': {'ok': 3, 'rejected': 3, 'skipped': 1},
    'reasons': {'auxiliary-file': 1, 'blank': 2, 'bomb': 1},
  }


def test_a_run_that_lost_a_source_has_no_summary(tmp_path: pathlib.Path) -> None:
  with pytest.raises(ValueError, match='shard 0 lists 2 sources'):
    summarise([dataclasses.replace(stage(tmp_path, 0, {}), listed=2)])


def test_versions_are_those_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(run_record, '_PACKAGES', ('numpy', 'no-such-package'))
  found = versions()
  assert (found['numpy'], found['no-such-package']) == (version('numpy'), 'not installed')


def test_a_record_is_json_and_the_same_for_the_same_values(tmp_path: pathlib.Path) -> None:
  write_record(str(tmp_path / 'runs' / 'a.json'), {'b': 1, 'a': [None]})
  write_record(str(tmp_path / 'runs' / 'b.json'), {'a': [None], 'b': 1})
  first, second = ((tmp_path / 'runs' / name).read_bytes() for name in ('a.json', 'b.json'))
  assert first == second
  assert json.loads(first) == {'a': [None], 'b': 1}
