"""What the jobs leave behind, read with plain tools and compared with what was planted."""

import hashlib
import json
import pathlib
from collections import Counter, defaultdict
from typing import Any

import duckdb
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from pipelines.synthetic import PLANTED, PlantedSource
from tests.end_to_end.conftest import Chain
from transforms.elements import Source
from transforms.identifiers import Pseudonyms, read_key


def source_id(chain: Chain, planted: PlantedSource) -> str:
  archive = f'inbox/{planted.archive}' if planted.archive else 'inbox'
  return Pseudonyms(read_key(chain.key)).source(Source(archive, planted.member, planted.occurrence))


def rows_by_source(chain: Chain, folder: str) -> dict[str, list[dict[str, Any]]]:
  rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
  for row in chain.rows(folder):
    rows[row['source_id']].append(row)
  return rows


@pytest.mark.parametrize(('folder', 'good'), [('dataset/index', 'ok'), ('scores/predictions', 'scored')])
def test_every_source_has_the_rows_that_were_planted(chain: Chain, folder: str, good: str) -> None:
  rows = rows_by_source(chain, folder)
  expected = {source_id(chain, planted): planted for planted in chain.export.manifest}
  assert set(rows) == set(expected)
  for identifier, planted in expected.items():
    found = rows[identifier]
    if planted.status == 'image' and (planted.label or folder.startswith('scores')):
      assert [(row['status'], row['frame']) for row in found] == [(good, n + 1) for n in range(planted.frames)], planted
    elif planted.status != 'image':
      assert {(row['status'], row['reason']) for row in found} == {(planted.status, planted.reason)}, planted


def test_labels_and_splits_are_those_of_the_patients(chain: Chain) -> None:
  rows = rows_by_source(chain, 'dataset/index')
  splits: dict[str | None, set[str]] = defaultdict(set)
  for planted in chain.export.manifest:
    for row in rows[source_id(chain, planted)]:
      if row['status'] == 'ok':
        assert row['label'] == planted.label
        splits[planted.patient].add(row['split'])
  assert None not in splits
  assert all(len(found) == 1 for found in splits.values())
  assert {split for found in splits.values() for split in found} == {'train', 'val', 'test'}


def test_the_model_is_fed_the_bytes_that_ingest_wrote_in_every_format(chain: Chain) -> None:
  index, predictions = chain.by_source('dataset/index'), chain.by_source('scores/predictions')
  written = {}
  for file in (chain.root / 'dataset/examples').glob('split=*/*.tfrecord'):
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
      feature = tf.train.Example.FromString(record).features.feature
      pixels = feature['image'].bytes_list.value[0]
      written[feature['image_id'].bytes_list.value[0].decode()] = hashlib.sha256(pixels).hexdigest()
  compared = Counter(row['transfer_syntax'] for row in index.values() if row['status'] == 'ok')
  assert len(compared) >= 8  # JPEG, PNG, and DICOM's transfer syntaxes
  for key, row in index.items():
    if row['status'] == 'ok':
      assert row['pixel_sha256'] == predictions[key]['pixel_sha256'] == written[row['image_id']]


def test_dataset_json_counts_what_is_in_the_files(chain: Chain) -> None:
  record = json.loads((chain.root / 'dataset/dataset.json').read_text())
  counted: Counter[str] = Counter()
  for file in (chain.root / 'dataset/examples').glob('split=*/*.tfrecord'):
    counted[file.parent.name.removeprefix('split=')] += sum(1 for _ in tf.data.TFRecordDataset(str(file)))
  assert counted == {split: sum(labels.values()) for split, labels in record['counts'].items()}
  assert record['sources'] == {'listed': len(chain.export.manifest), 'written': len(chain.export.manifest)}


def test_the_statistics_are_those_of_the_train_split(chain: Chain) -> None:
  """Against the mean and variance over all pixels, taken directly."""
  pixels = [
    tf.train.Example.FromString(record).features.feature['image'].bytes_list.value[0]
    for file in (chain.root / 'dataset/examples/split=train').glob('*.tfrecord')
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
  ]
  values = np.frombuffer(b''.join(pixels), np.uint8)
  mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
  levels = bytes(range(256)) * (64 * 64 // 256)
  layer = tft.TFTransformOutput(str(chain.root / 'dataset/transform_graph')).transform_features_layer()
  transformed = np.ravel(layer({'image': tf.constant([levels])})['image'].numpy())
  np.testing.assert_allclose(transformed, (np.frombuffer(levels, np.uint8) - mean) / deviation, atol=1e-5)


def test_predictions_are_read_by_duckdb_in_one_line(chain: Chain) -> None:
  table = (
    duckdb.connect()
    .execute(f"SELECT status, count(*) FROM '{chain.root}/scores/predictions/**/*.parquet' GROUP BY status")
    .fetchall()
  )
  assert dict(table) == Counter(row['status'] for row in chain.rows('scores/predictions'))


def test_a_prediction_is_the_likelier_side_of_the_threshold(chain: Chain) -> None:
  bundle = json.loads((chain.root / 'bundle/bundle.json').read_text())
  scored = [row for row in chain.rows('scores/predictions') if row['status'] == 'scored']
  for row in scored:
    scores = {score['label']: score['probability'] for score in row['scores']}
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert row['probability'] == scores[bundle['positive_label']]
    assert (row['predicted_label'] == bundle['positive_label']) == (row['probability'] >= row['threshold'])


def test_the_run_record_names_what_was_published(chain: Chain) -> None:
  (path,) = (chain.root / 'scores/runs').glob('*.json')
  record = json.loads(path.read_text())
  published = chain.root / 'scores' / record['predictions']
  assert sorted(file.name for file in published.iterdir()) == record['files']
  assert record['rows'] == Counter(row['status'] for row in chain.rows('scores/predictions'))
  assert record['sources']['written'] == len(chain.export.manifest)


def test_the_crosswalk_leads_back_and_is_for_its_owner_alone(chain: Chain) -> None:
  (path,) = (chain.root / 'crosswalk').iterdir()
  assert path.stat().st_mode & 0o077 == 0
  lines = duckdb.connect().execute(f"SELECT source_id, archive, member FROM '{path}'").fetchall()
  expected = {
    (source_id(chain, p), f'inbox/{p.archive}' if p.archive else 'inbox', p.member) for p in chain.export.manifest
  }
  assert set(lines) == expected


def test_no_name_is_in_anything_that_a_run_leaves_behind(chain: Chain) -> None:
  left = [
    path for folder in ('dataset', 'bundle', 'scores') for path in (chain.root / folder).rglob('*') if path.is_file()
  ]
  assert len(left) > 20
  for path in left:
    content = str(path.relative_to(chain.root)).encode() + _inflated(path)
    for planted in PLANTED:
      for encoding in ('utf-8', 'utf-16-le', 'latin-1'):
        assert planted.encode(encoding) not in content, (path.name, planted)


def _inflated(path: pathlib.Path) -> bytes:
  """The bytes of a file; of Parquet, whose pages are compressed, the values."""
  if path.suffix != '.parquet':
    return path.read_bytes()
  return repr(
    duckdb.connect().execute(f"SELECT * FROM read_parquet('{path}', hive_partitioning=false)").fetchall()
  ).encode()
