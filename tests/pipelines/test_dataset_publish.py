import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import pytest

from pipelines.dataset_publish import DatasetRun, dataset_digest, publish_dataset
from pipelines.exits import UsageError
from pipelines.schemas import INDEX, write_table
from pipelines.staging import ShardResult
from tests.pipelines.shard_results import Counts, stage, with_crosswalk
from transforms import storage
from transforms.duplicates import DuplicateCounts
from transforms.near_duplicates import NearDuplicates
from transforms.preprocess import PreprocessSpec


@pytest.fixture
def run(tmp_path: pathlib.Path) -> DatasetRun:
  return DatasetRun(
    output=str(tmp_path / 'dataset'),
    run_id='run7',
    started='2024-02-29T00:00:00+00:00',
    preprocess=PreprocessSpec(16),
    scaling='unit',
    key_fingerprint='abc',
    config_json='{"labels": "folder"}',
  )


@pytest.fixture
def graph(tmp_path: pathlib.Path) -> str:
  (tmp_path / 'graph' / 'deep').mkdir(parents=True)
  (tmp_path / 'graph' / 'deep' / 'saved_model.pb').write_text('graph')
  return str(tmp_path / 'graph')


def index_row(number: int, **values: Any) -> dict[str, Any]:
  row = {'image_id': f'id{number}', 'pixel_sha256': f'pixels{number}', 'split': 'train', 'label': 'a', 'status': 'ok'}
  return row | values


def shard(run: DatasetRun, number: int, rows: list[dict[str, Any]], **values: Any) -> ShardResult:
  folder = pathlib.Path(run.staging)
  contents = {f'examples/{split}': f'{split}{number}'.encode() for split in ('train', 'val', 'test')}
  result = stage(folder, number, {**contents, 'index': b'', f'samples/id{number}.png': b'png'}, **values)
  [index] = [file.path for file in result.files if file.role == 'index']
  with storage.open_write(index) as file:
    write_table(file, rows, INDEX)
  return result


TRAIN: Counts = ((('ok', '', 'train', 'a'), 2), (('rejected', 'blank', 'train', 'a'), 1))
VAL: Counts = ((('ok', '', 'val', 'b'), 1), (('skipped', 'auxiliary-file', '', ''), 4))


def two_shards(run: DatasetRun) -> list[ShardResult]:
  return [
    shard(run, 0, [index_row(0), index_row(1, status='rejected')], sources=2, counts=TRAIN),
    shard(run, 1, [index_row(2, label=None, split='val')], sources=5, counts=VAL),
  ]


def layout(run: DatasetRun) -> dict[str, str]:
  """Names and texts of all files; Parquet and the record by name only."""
  root = pathlib.Path(run.output)
  files = [path for path in root.rglob('*') if path.is_file() and '.staging' not in path.parts]
  return {
    str(path.relative_to(root)): '' if path.suffix in ('.parquet', '.json') else path.read_text() for path in files
  }


def publish(run: DatasetRun, results: list[ShardResult], graph: str) -> str:
  return publish_dataset(run, results, graph, DuplicateCounts(), NearDuplicates())


EXPECTED = {
  **{
    f'examples/split={split}/part-0000{number}-of-00002.tfrecord': f'{split}{number}'
    for split in ('train', 'val', 'test')
    for number in range(2)
  },
  'index/part-00000-of-00002.parquet': '',
  'index/part-00001-of-00002.parquet': '',
  'near_duplicates/part-00000-of-00001.parquet': '',
  'samples/id0.png': 'png',
  'samples/id1.png': 'png',
  'transform_graph/deep/saved_model.pb': 'graph',
  'dataset.json': '',
}


def test_a_dataset_lies_where_train_looks_for_it(run: DatasetRun, graph: str) -> None:
  path = publish(run, two_shards(run)[::-1], graph)
  assert layout(run) == EXPECTED
  record = json.loads(pathlib.Path(path).read_text())
  assert record['sources'] == {'listed': 7, 'written': 7}
  assert record['rows'] == {'ok': 3, 'rejected': 1, 'skipped': 4}
  assert record['reasons'] == {'auxiliary-file': 4, 'blank': 1}
  assert record['counts'] == {'train': {'a': 2}, 'val': {'b': 1}, 'test': {}}
  assert record['labels'] == ['a', 'b']
  assert PreprocessSpec.from_dict(record['preprocess']).digest == record['preprocess_digest']
  assert (record['run_id'], record['shards'], record['config']) == ('run7', 2, {'labels': 'folder'})


def test_publishing_again_changes_nothing_also_with_a_crosswalk(
  run: DatasetRun, graph: str, tmp_path: pathlib.Path
) -> None:
  run = dataclasses.replace(run, crosswalk=str(tmp_path / 'crosswalk'))
  first, second = two_shards(run)
  line = with_crosswalk(tmp_path / 'crosswalk', 0).files
  results = [dataclasses.replace(first, files=(*first.files, *line)), second]
  records = [json.loads(storage.read_bytes(publish(run, results, graph))) for _ in range(2)]
  assert records[0]['digest'] == records[1]['digest']
  assert layout(run) == EXPECTED
  assert (tmp_path / 'crosswalk' / 'crosswalk-run7.parquet').exists()


def test_what_an_earlier_attempt_or_dataset_left_is_replaced(run: DatasetRun, graph: str) -> None:
  for name in ('examples/split=train/part-00007-of-00008.tfrecord', 'index/part-7.parquet', 'samples/old.png'):
    path = pathlib.Path(run.output, name)
    path.parent.mkdir(parents=True)
    path.write_text('old')
  pathlib.Path(run.output, 'dataset.json').write_text('{}')
  publish(run, two_shards(run), graph)
  assert layout(run) == EXPECTED


def test_without_an_old_record_there_is_none_until_all_is_there(
  run: DatasetRun, graph: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  pathlib.Path(run.output).mkdir()
  record = pathlib.Path(run.output, 'dataset.json')
  record.write_text('{}')

  def killed(*_: object) -> None:
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr('pipelines.dataset_publish.publish_folder', killed)
    with pytest.raises(KeyboardInterrupt):
      publish(run, two_shards(run), graph)
  assert not record.exists()


@pytest.mark.parametrize(
  ('reason', 'message'),
  [('patient-missing', 'no patient is known for 3 images'), ('label-missing', '--labels matches none of 3 images')],
)
def test_a_dataset_without_images_is_refused_before_anything_is_touched(
  run: DatasetRun, graph: str, reason: str, message: str
) -> None:
  old = pathlib.Path(run.output, 'dataset.json')
  old.parent.mkdir()
  old.write_text('{}')
  counts: Counts = ((('rejected', reason, '', ''), 3),)
  with pytest.raises(UsageError, match=message):
    publish(run, [shard(run, 0, [index_row(0, status='rejected')], counts=counts)], graph)
  assert old.exists()


def test_a_lost_source_fails_the_run(run: DatasetRun, graph: str) -> None:
  lost = dataclasses.replace(two_shards(run)[0], listed=3)
  with pytest.raises(ValueError, match='shard 0 lists 3 sources'):
    publish(run, [lost], graph)
  assert not pathlib.Path(run.output, 'dataset.json').exists()


def digest(run: DatasetRun, rows: list[dict[str, Any]], parts: int = 1) -> str:
  results = [shard(run, number, rows[number::parts]) for number in range(parts)]
  return dataset_digest(file.path for result in results for file in result.files if file.role == 'index')


def test_the_digest_is_of_the_images_as_sorted_lines(run: DatasetRun) -> None:
  rows = [index_row(1), index_row(0, label=None, split='val'), index_row(2, status='rejected')]
  lines = 'id0\x1fpixels0\x1fval\x1f\nid1\x1fpixels1\x1ftrain\x1fa\n'
  assert digest(run, rows) == hashlib.sha256(lines.encode()).hexdigest()
  assert digest(run, rows[::-1], parts=2) == digest(run, rows)


@pytest.mark.parametrize('column', ['image_id', 'pixel_sha256', 'split', 'label'])
def test_the_digest_changes_with_every_column(run: DatasetRun, column: str) -> None:
  assert digest(run, [index_row(0)]) != digest(run, [index_row(0, **{column: 'other'})])
