import dataclasses
import pathlib
from collections import Counter
from collections.abc import Callable

import pytest

from pipelines.staging import (
  RowCounts,
  ShardResult,
  check_conservation,
  choose_results,
  counted,
  digest_of,
  find_finished,
  marker_folder,
  total_counts,
  write_marker,
)
from tests.pipelines.shard_results import stage

FILES = {'index': b'rows', 'examples/train': b'images'}


@pytest.fixture
def finished(tmp_path: pathlib.Path) -> ShardResult:
  result = stage(tmp_path, 3, FILES, counts=((('ok', '', 'train', 'a'), 2), (('rejected', 'blank', '', ''), 1)))
  result = dataclasses.replace(result, quality=(('outside-age', 1), ('tiny', 2)))
  result = dataclasses.replace(result, statistics={'bins': '1', 'all': {'images': 2, 'features': {'sex': {'F': 2}}}})
  write_marker(str(tmp_path), result)
  return result


def test_files_are_described_as_they_lie_there(tmp_path: pathlib.Path) -> None:
  [file, _] = stage(tmp_path, 3, FILES).files
  assert (file.role, file.size_bytes, pathlib.Path(file.path).read_bytes()) == ('index', 4, b'rows')
  assert file.sha256 == stage(tmp_path, 3, FILES).files[0].sha256
  assert file.sha256 != stage(tmp_path, 3, {'index': b'Rows'}).files[0].sha256


def test_two_attempts_never_write_to_the_same_file(tmp_path: pathlib.Path) -> None:
  paths = [file.path for _ in range(2) for file in stage(tmp_path, 3, FILES).files]
  assert len(set(paths)) == 4


def test_a_finished_shard_is_found_as_it_was(tmp_path: pathlib.Path, finished: ShardResult) -> None:
  assert find_finished(str(tmp_path), 3, finished.fingerprint) == finished


def test_without_its_marker_a_shard_is_not_finished(tmp_path: pathlib.Path) -> None:
  result = stage(tmp_path, 3, FILES)
  assert find_finished(str(tmp_path), 3, result.fingerprint) is None


@pytest.mark.parametrize(
  ('number', 'fingerprint'), [(3, 'of other inputs'), (4, 'fingerprint 3'), (33, 'fingerprint 3')]
)
def test_other_work_is_not_finished(
  tmp_path: pathlib.Path, finished: ShardResult, number: int, fingerprint: str
) -> None:
  assert finished.fingerprint == 'fingerprint 3'
  assert find_finished(str(tmp_path), number, fingerprint) is None


@pytest.mark.parametrize('harm', [lambda path: path.unlink(), lambda path: path.write_bytes(b'row')])
def test_a_shard_that_lost_a_file_or_part_of_it_is_not_finished(
  tmp_path: pathlib.Path, finished: ShardResult, harm: Callable[[pathlib.Path], object]
) -> None:
  harm(pathlib.Path(finished.files[0].path))
  assert find_finished(str(tmp_path), 3, finished.fingerprint) is None


def test_an_intact_attempt_is_found_beside_a_harmed_one(tmp_path: pathlib.Path, finished: ShardResult) -> None:
  second = dataclasses.replace(stage(tmp_path, 3, FILES), counts=finished.counts)
  write_marker(str(tmp_path), second)
  pathlib.Path(finished.files[0].path).unlink()
  assert find_finished(str(tmp_path), 3, finished.fingerprint) == second


def test_a_marker_that_was_cut_short_by_a_kill_is_no_marker(tmp_path: pathlib.Path, finished: ShardResult) -> None:
  [marker] = pathlib.Path(marker_folder(str(tmp_path))).iterdir()
  half = marker.with_name(f'{marker.name}.0123.tmp')
  half.write_text(marker.read_text()[:20])
  assert find_finished(str(tmp_path), 3, finished.fingerprint) == finished


def test_equal_attempts_give_one_result_each_in_the_order_of_the_shards(tmp_path: pathlib.Path) -> None:
  results = [stage(tmp_path, number, FILES) for number in (2, 0, 1, 0, 2)]
  chosen = choose_results(results)
  assert [result.number for result in chosen] == [0, 1, 2]
  assert choose_results(results[::-1]) == chosen


@pytest.mark.parametrize(
  'change',
  [
    {'fingerprint': 'of other inputs'},
    {'listed': 2},
    {'written': 2},
    {'counts': ()},
    {'statistics': {'bins': '1'}},
    {'quality': (('tiny', 1),)},
    {'files': ()},
  ],
)
def test_attempts_that_differ_are_a_bug(tmp_path: pathlib.Path, change: dict[str, object]) -> None:
  first = stage(tmp_path, 0, FILES)
  second = dataclasses.replace(stage(tmp_path, 0, FILES), **change)  # type: ignore[arg-type]
  with pytest.raises(ValueError, match='two attempts at shard 0 differ'):
    choose_results([first, second])


def test_attempts_whose_bytes_differ_are_a_bug(tmp_path: pathlib.Path) -> None:
  with pytest.raises(ValueError, match='two attempts at shard 0 differ'):
    choose_results([stage(tmp_path, 0, {'index': content}) for content in (b'a', b'b')])


def test_a_missing_shard_is_a_bug(tmp_path: pathlib.Path) -> None:
  with pytest.raises(ValueError, match='2 shards have a result, but the highest number is 2'):
    choose_results([stage(tmp_path, number, FILES) for number in (0, 2)])


def test_no_shards_have_no_results() -> None:
  assert choose_results([]) == []


def test_sources_listed_and_written_are_added_up(tmp_path: pathlib.Path) -> None:
  assert check_conservation([stage(tmp_path, number, FILES, sources=number) for number in (2, 3)]) == (5, 5)


def test_a_lost_source_is_not_made_up_for_by_an_invented_one(tmp_path: pathlib.Path) -> None:
  lost, invented = (stage(tmp_path, number, FILES, sources=5) for number in (0, 1))
  results = [dataclasses.replace(lost, written=4), dataclasses.replace(invented, written=6)]
  with pytest.raises(ValueError, match='shard 0 lists 5 sources but has rows of 4'):
    check_conservation(results)


def test_rows_are_counted_over_all_shards(tmp_path: pathlib.Path, finished: ShardResult) -> None:
  assert total_counts([finished, stage(tmp_path, 0, FILES)]) == {
    ('ok', '', 'train', 'a'): 3,
    ('rejected', 'blank', '', ''): 1,
  }


def test_a_digest_depends_on_values_and_not_on_their_order() -> None:
  assert digest_of({'a': 1, 'b': [2]}) == digest_of({'b': [2], 'a': 1}) != digest_of({'a': 1, 'b': [3]})


def test_rows_are_counted_by_status_reason_split_and_label_as_they_go_by() -> None:
  good, bad = {'status': 'ok', 'reason': None, 'split': 'val', 'label': 'a'}, {'status': 'rejected', 'reason': 'bomb'}
  counts: RowCounts = Counter()
  assert list(counted([good, bad, good], counts)) == [good, bad, good]
  assert counts == {('ok', '', 'val', 'a'): 2, ('rejected', 'bomb', '', ''): 1}
