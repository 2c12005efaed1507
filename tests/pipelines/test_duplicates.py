import hashlib
import json
import pathlib
from dataclasses import asdict
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.testing.util import assert_that, equal_to

from pipelines.crosswalk import restage_crosswalk
from pipelines.duplicates import FlagDuplicates, table_of, write_flags
from pipelines.near_duplicates import FindNearDuplicates, near_duplicate_rows, summary
from pipelines.schemas import INDEX, PREDICTIONS, write_table
from pipelines.staging import ShardResult
from tests.pipelines.shard_results import stage, with_crosswalk
from transforms import storage
from transforms.duplicates import DuplicateCounts
from transforms.near_duplicates import NearDuplicates
from transforms.uid_clashes import clash_id


def row(source: str, pixels: str | None, content: str = '', **values: Any) -> dict[str, Any]:
  digests = {
    'content_sha256': hashlib.sha256((content or source).encode()).hexdigest(),
    'pixel_sha256': hashlib.sha256(pixels.encode()).hexdigest() if pixels else None,
  }
  return {'source_id': source, 'image_id': f'id-{source}', 'quality': ['tiny'], **digests, **values}


def shard(folder: pathlib.Path, number: int, rows: list[dict[str, Any]], role: str = 'index') -> ShardResult:
  result = stage(folder, number, {role: b'', 'samples/x.png': b'png'})
  with storage.open_write(table_of(result, role).path) as file:
    write_table(file, rows, INDEX if role == 'index' else PREDICTIONS)
  return result


def two_shards(folder: pathlib.Path) -> list[ShardResult]:
  first = [
    row('a', 'P', split='train', label='x', perceptual_hash='00000000000000ff'),
    row('none', None),
    row('b', 'P', 'a', split='train', label='x', perceptual_hash='00000000000000ff'),
  ]
  second = [
    row('c', 'Q', split='val', label='y', perceptual_hash='00000000000000fc'),
    row('d', 'P', split='test', label='x', perceptual_hash='00000000000000ff'),
  ]
  return [shard(folder, 0, first), shard(folder, 1, second), shard(folder, 2, [row('none', None)])]


def flags(result: ShardResult, role: str = 'index') -> tuple[int, list[list[str]]]:
  return result.number, [line['quality'] for line in pq.read_table(table_of(result, role).path).to_pylist()]


FLAGGED = [
  (0, [['tiny'], ['tiny'], ['duplicate-content', 'tiny']]),
  (1, [['tiny'], ['duplicate-pixels', 'tiny']]),
  (2, [['tiny']]),
]


def test_duplicates_are_flagged_across_shards(tmp_path: pathlib.Path, runner: fn_runner.FnApiRunner) -> None:
  results = two_shards(tmp_path)
  with beam.Pipeline(runner=runner) as pipeline:
    flagged = pipeline | 'Results' >> beam.Create(results) | 'Flag' >> FlagDuplicates(str(tmp_path), 'index')
    assert_that(flagged.results | 'Flags' >> beam.Map(flags), equal_to(FLAGGED), label='CheckFlags')
    assert_that(flagged.counts, equal_to([DuplicateCounts(1, 1, 1, 1, 0)]), label='CheckCounts')
    kept = flagged.results | 'Kept' >> beam.Map(lambda result: (result.number, result.files[1], result.counts))
    assert_that(kept, equal_to([(r.number, r.files[1], r.counts) for r in results]), label='CheckKept')
  assert [flags(result) for result in results] == [(n, [['tiny']] * rows) for n, rows in ((0, 3), (1, 2), (2, 1))]


def test_a_run_without_shards_has_no_duplicates(tmp_path: pathlib.Path, runner: fn_runner.FnApiRunner) -> None:
  with beam.Pipeline(runner=runner) as pipeline:
    flagged = pipeline | 'Results' >> beam.Create([]) | 'Flag' >> FlagDuplicates(str(tmp_path), 'index')
    near = flagged.results | 'Near' >> FindNearDuplicates(4)
    assert_that(flagged.counts, equal_to([DuplicateCounts()]), label='CheckCounts')
    assert_that(near, equal_to([NearDuplicates()]), label='CheckNear')


def test_predictions_are_flagged_too(tmp_path: pathlib.Path, runner: fn_runner.FnApiRunner) -> None:
  result = shard(tmp_path, 0, [row('a', 'P', label='x'), row('b', 'P')], 'predictions')
  with beam.Pipeline(runner=runner) as pipeline:
    flagged = pipeline | 'Results' >> beam.Create([result]) | 'Flag' >> FlagDuplicates(str(tmp_path), 'predictions')
    found = flagged.results | 'Flags' >> beam.Map(flags, 'predictions')
    assert_that(found, equal_to([(0, [['tiny'], ['duplicate-pixels', 'tiny']])]))


def test_flags_are_written_to_a_new_file_and_change_nothing_else(tmp_path: pathlib.Path) -> None:
  result = two_shards(tmp_path)[0]
  old = table_of(result, 'index')
  before = pathlib.Path(old.path).read_bytes()
  first, second = (write_flags(result, {0: 'duplicate-pixels'}, str(tmp_path), 'index') for _ in range(2))
  new = table_of(first, 'index')
  assert first.content == second.content
  assert new.path not in (old.path, table_of(second, 'index').path)
  assert pathlib.Path(old.path).read_bytes() == before
  assert new.sha256 == hashlib.sha256(pathlib.Path(new.path).read_bytes()).hexdigest()
  assert asdict(first) | {'files': None} == asdict(result) | {'files': None}
  table, original = pq.read_table(new.path), pq.read_table(old.path)
  assert table.schema == original.schema
  assert table.drop_columns('quality') == original.drop_columns('quality')
  assert table['quality'].to_pylist() == [['duplicate-pixels', 'tiny'], ['tiny'], ['tiny']]


def test_near_duplicates_are_pairs_of_ids_without_the_exact_ones(
  tmp_path: pathlib.Path, runner: fn_runner.FnApiRunner
) -> None:
  results = two_shards(tmp_path)

  def report(near: NearDuplicates) -> str:
    lines = near_duplicate_rows(near, results)
    return json.dumps([lines, summary(near, lines, 4)], sort_keys=True)

  line = {
    **{'image_id': 'id-a', 'split': 'train', 'label': 'x'},
    **{'other_image_id': 'id-c', 'other_split': 'val', 'other_label': 'y', 'distance': 2},
  }
  counts = {'max_distance': 4, 'pairs': 1, 'pairs_across_splits': 1, 'pairs_of_different_labels': 1}
  counts |= {'pairs_dropped': 0, 'buckets_cut': 0, 'images_in_cut_buckets': 0}
  with beam.Pipeline(runner=runner) as pipeline:
    flagged = pipeline | 'Results' >> beam.Create(results) | 'Flag' >> FlagDuplicates(str(tmp_path), 'index')
    near = flagged.results | 'Near' >> FindNearDuplicates(4) | 'Report' >> beam.Map(report)
    assert_that(near, equal_to([json.dumps([[line], counts], sort_keys=True)]))


def test_ids_that_clash_are_told_apart_in_every_shard(tmp_path: pathlib.Path, runner: fn_runner.FnApiRunner) -> None:
  uid = hashlib.md5(b'uid').hexdigest()
  first = [row('a', 'P', image_id=uid), row('none', None, image_id=uid), row('b', 'P', 'other', image_id=uid)]
  results = [shard(tmp_path, 0, first), shard(tmp_path, 1, [row('c', 'Q', image_id=uid), row('d', 'R')])]
  with beam.Pipeline(runner=runner) as pipeline:
    flagged = pipeline | 'Results' >> beam.Create(results) | 'Flag' >> FlagDuplicates(str(tmp_path), 'index')
    ids = [clash_id(uid, str(line['pixel_sha256'])) for line in (first[0], row('c', 'Q'))]
    expected = [
      (0, [ids[0], uid, ids[0]], [['tiny', 'uid-clash'], ['tiny'], ['duplicate-pixels', 'tiny', 'uid-clash']]),
      (1, [ids[1], 'id-d'], [['tiny', 'uid-clash'], ['tiny']]),
    ]
    found = flagged.results | 'Ids' >> beam.Map(lambda result: (result.number, ids_of(result), flags(result)[1]))
    assert_that(found, equal_to(expected), label='CheckIds')
    assert_that(flagged.counts, equal_to([DuplicateCounts(0, 1, 1, uid_clashes=2)]), label='CheckCounts')
  assert ids_of(results[0]) == [uid] * 3, 'what was staged is as it was'


def ids_of(result: ShardResult) -> list[str]:
  ids: list[str] = pq.read_table(table_of(result, 'index').path)['image_id'].to_pylist()
  return ids


def test_the_crosswalk_of_a_shard_has_the_new_ids(tmp_path: pathlib.Path) -> None:
  (old,) = with_crosswalk(tmp_path / 'crosswalk', 3).files
  before = pathlib.Path(old.path).read_bytes()
  first, second = (restage_crosswalk(old, 3, {0: 'new'}) for _ in range(2))
  assert (first.role, first.sha256, first.size_bytes) == (second.role, second.sha256, second.size_bytes)
  assert len({old.path, first.path, second.path}) == 3
  assert pathlib.Path(old.path).read_bytes() == before
  assert pathlib.Path(first.path).stat().st_mode & 0o777 == 0o600
  lines = [pq.read_table(path).to_pylist() for path in (old.path, first.path)]
  assert lines[1] == [lines[0][0] | {'image_id': 'new'}]
