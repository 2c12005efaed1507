"""From TFRecords to batches of floats, by tf.data.

Images stay uint8 (as bytes) until they are in a batch; in that form they are
cached in memory where they fit. Scaling is the transform graph's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray

from model.augmentation import STRENGTHS, Augment, augment
from model.dataset import BUCKET, Dataset, DatasetError, Fold, Split
from model.signatures import grey_levels, load_transform
from transforms.features import LABEL_VOCABULARY

ClassWeights = Literal['balanced', 'none']

SHUFFLE_BUFFER: Final = 2048  # images, where they are not all in memory


@dataclass(frozen=True, slots=True)
class InputOptions:
  """How batches are made.

  Attributes:
    batch_size: images in a batch, over all devices.
    seed: of order and augmentation.
    augment: strength of the augmentation, of training images only.
    deterministic: whether the order depends on the seed alone.
    cache_bytes: a split is kept in memory if its pixels need no more.
  """

  batch_size: int
  seed: int
  augment: Augment
  deterministic: bool
  cache_bytes: int


class InputPipeline:
  """Batches of one dataset: (float32 [N, height, width, channels], int64 [N] class index)."""

  def __init__(self, dataset: Dataset, options: InputOptions) -> None:
    self._dataset = dataset
    self._options = options
    self._transform = load_transform(dataset.transform_graph)
    self._levels = tf.constant(grey_levels(self._transform, dataset.spec.shape).numpy())
    self._order = tf.constant(_alphabetic_order(dataset), tf.int64)

  def training_batches(self) -> tf.data.Dataset:
    """Endless, shuffled, augmented; every batch is full."""
    options = self._options
    examples = self._cached('train')
    size = sum(self._dataset.class_counts('train').values())
    buffer = size if self._fits('train') else min(size, SHUFFLE_BUFFER)
    shuffled = examples.shuffle(buffer, options.seed, reshuffle_each_iteration=True).repeat()
    batches = shuffled.batch(options.batch_size, drop_remainder=True).enumerate()
    return _prefetched(batches.map(self._training_batch, **self._parallel()), options.deterministic)

  def evaluation_batches(self, split: Split) -> tf.data.Dataset:
    """All labelled images of a split once, in the order of the files."""
    batches = self._cached(split).batch(self._options.batch_size)
    return _prefetched(batches.map(self._scale, **self._parallel()), deterministic=True)

  def _training_batch(self, number: tf.Tensor, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = self._scale(batch)
    if self._options.augment == 'none':
      return images, labels
    seed = tf.stack([tf.constant(self._options.seed, tf.int64), number])
    return augment(images, seed, STRENGTHS[self._options.augment], self._levels), labels

  def _scale(self, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    transformed = self._transform(batch)
    return transformed['image'], tf.gather(self._order, transformed['label'])

  def _cached(self, split: Split) -> tf.data.Dataset:
    examples = read_examples(self._dataset, split, self._options.deterministic or split != 'train')
    labelled = examples.map(_image_and_label).filter(lambda row: row['label'] != '')
    return labelled.cache() if self._fits(split) else labelled

  def _fits(self, split: Split) -> bool:
    pixels = int(np.prod(self._dataset.spec.shape)) * sum(self._dataset.class_counts(split).values())
    return pixels <= self._options.cache_bytes

  def _parallel(self) -> dict[str, int | bool]:
    return {'num_parallel_calls': tf.data.AUTOTUNE, 'deterministic': True}


def read_examples(dataset: Dataset, split: Split, deterministic: bool = True) -> tf.data.Dataset:
  """The parsed examples of a split: `image_id`, `image` (bytes), `label` ('' where unlabelled), `patient_bucket`."""
  files = dataset.example_files(split)
  records = tf.data.TFRecordDataset(files, num_parallel_reads=1 if deterministic else min(8, len(files)))
  examples = records.map(_parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=deterministic)
  return examples if dataset.fold is None or split == 'test' else examples.filter(_of_split(dataset.fold, split))


def class_weights(dataset: Dataset, kind: ClassWeights) -> NDArray[np.float32]:
  """Weight of each class in the loss: float32 [K].

  `balanced` gives each class the same total weight and an image the weight 1
  on average: N / (K · N_k) (King and Zeng, Political Analysis 2001).
  """
  counts = np.array(list(dataset.class_counts('train').values()), np.float64)
  if kind == 'none':
    return np.ones(len(counts), np.float32)
  return (counts.sum() / (len(counts) * counts)).astype(np.float32)


def _parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
  text = tf.io.FixedLenFeature([], tf.string)
  label = tf.io.FixedLenFeature([], tf.string, default_value='')
  bucket = tf.io.FixedLenFeature([], tf.int64, default_value=-1)
  return tf.io.parse_single_example(record, {'image_id': text, 'image': text, 'label': label, BUCKET: bucket})


def _of_split(fold: Fold, split: Split) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
  first, end = fold.buckets.start, fold.buckets.stop

  def holds(row: dict[str, tf.Tensor]) -> tf.Tensor:
    held_out = (row[BUCKET] >= first) & (row[BUCKET] < end)
    return held_out if split == 'val' else ~held_out

  return holds


def _image_and_label(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  return {'image': row['image'], 'label': row['label']}


def _alphabetic_order(dataset: Dataset) -> list[int]:
  """For each index of tf.Transform's vocabulary, which is ordered by frequency, the class index."""
  vocabulary = tft.TFTransformOutput(str(dataset.transform_graph)).vocabulary_by_name(LABEL_VOCABULARY)
  names = [name.decode() for name in vocabulary]
  if sorted(names) != list(dataset.labels):
    raise DatasetError(
      f'the transform graph knows {len(names)} labels of the train split, dataset.json {len(dataset.labels)}, '
      'and they are not the same; every class needs images in the train split: ingest more, or run ingest again'
    )
  return [dataset.labels.index(name) for name in names]


def _prefetched(batches: tf.data.Dataset, deterministic: bool) -> tf.data.Dataset:
  options = tf.data.Options()
  options.deterministic = deterministic
  options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
  return batches.with_options(options).prefetch(tf.data.AUTOTUNE)
