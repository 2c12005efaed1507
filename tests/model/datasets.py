"""Writes dataset directories as ingest does: tiny ones, of drawn images."""

import dataclasses
import json
import pathlib
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from numpy.typing import NDArray

from transforms.features import Scaling
from transforms.features_beam import AnalyzeFeatures, gathered
from transforms.preprocess import PreprocessSpec

SPEC = PreprocessSpec(image_size=32)


@dataclass(frozen=True)
class Item:
  image_id: str
  split: str
  label: str | None
  pixels: NDArray[np.uint8]
  bucket: int | None = None


def draw_items(counts: dict[str, int], labels: Sequence[str], size: int = 32, seed: int = 0) -> list[Item]:
  """Noise, in which each class has its own bright quadrant."""
  random = np.random.default_rng(seed)
  items = []
  for split, count in counts.items():
    for number in range(count):
      position = number % len(labels)
      pixels = random.integers(0, 120, (size, size, 1), np.uint8)
      rows, columns = divmod(position, 2)
      half = size // 2
      pixels[rows * half : (rows + 1) * half, columns * half : (columns + 1) * half] += 60
      items.append(Item(f'{split}{number:04d}' + 'ab' * 12, split, labels[position], pixels))
  return items


def write_dataset(
  root: pathlib.Path, items: Sequence[Item], spec: PreprocessSpec = SPEC, scaling: Scaling = 'standard'
) -> pathlib.Path:
  root.mkdir(parents=True)
  for split in ('train', 'val', 'test'):
    _write_examples(root / 'examples' / f'split={split}', [item for item in items if item.split == split])
  _write_index(root / 'index', items)
  write_graph(root / 'transform_graph', [item for item in items if item.split == 'train'], spec, scaling)
  _write_facts(root, items, spec)
  return root


def sums(item: Item) -> dict[str, int | str | None]:
  pixels = item.pixels.astype(np.int64)
  return {
    'pixel_sum': int(pixels.sum()),
    'pixel_sumsq': int((pixels**2).sum()),
    'pixel_count': pixels.size,
    'label': item.label,
  }


def write_graph(path: pathlib.Path, items: Sequence[Item], spec: PreprocessSpec, scaling: Scaling) -> None:
  labelled = any(item.label is not None for item in items)
  with beam.Pipeline(runner=FnApiRunner()) as pipeline:
    rows = pipeline | beam.Create([sums(item) for item in items])
    _ = rows | AnalyzeFeatures(spec.shape, scaling, labelled, f'{path}.made')
  gathered(f'{path}.made').rename(path)
  shutil.rmtree(f'{path}.made')


def encode(item: Item) -> bytes:
  features = {'image_id': _bytes(item.image_id.encode()), 'image': _bytes(item.pixels.tobytes())}
  if item.label is not None:
    features['label'] = _bytes(item.label.encode())
  if item.bucket is not None:
    features['patient_bucket'] = tf.train.Feature(int64_list=tf.train.Int64List(value=[item.bucket]))
  return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _bytes(value: bytes) -> tf.train.Feature:
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _write_examples(folder: pathlib.Path, items: Sequence[Item]) -> None:
  folder.mkdir(parents=True)
  for part in range(2):
    with tf.io.TFRecordWriter(str(folder / f'part-{part:05d}-of-00002.tfrecord')) as writer:
      for item in items[part::2]:
        writer.write(encode(item))


def _write_index(folder: pathlib.Path, items: Sequence[Item]) -> None:
  folder.mkdir()
  rows = [
    {
      'image_id': item.image_id,
      'split': item.split,
      'label': item.label,
      'status': 'ok',
      'modality': 'DX',
      'patient_bucket': item.bucket,
    }
    for item in items
  ]
  schema = pa.Table.from_pylist(rows).schema
  schema = schema.set(schema.get_field_index('patient_bucket'), pa.field('patient_bucket', pa.int32()))
  pq.write_table(pa.Table.from_pylist(rows, schema), folder / 'part-00000.parquet')


def _write_facts(root: pathlib.Path, items: Sequence[Item], spec: PreprocessSpec) -> None:
  counts = {
    split: dict(Counter(item.label for item in items if item.split == split and item.label is not None))
    for split in ('train', 'val', 'test')
  }
  facts = {
    'format_version': 1,
    'digest': 'd' * 64,
    'labels': sorted({item.label for item in items if item.label is not None}),
    'counts': counts,
    'preprocess': dataclasses.asdict(spec),
    'preprocess_digest': spec.digest,
    'pseudonym_key_fingerprint': 'f' * 16,
    'versions': {'radbeam': '0'},
    'synthetic': True,
  }
  (root / 'dataset.json').write_text(json.dumps(facts))
