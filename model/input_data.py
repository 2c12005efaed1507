"""From TFRecords to batches of floats, by tf.data.

Images stay uint8 until they are in a batch; in that form they are cached in
memory where they fit, varied and mixed. Scaling is the transform graph's, by
the table that it makes of the 256 grey levels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray

from model.augmentation import UNMIXED, UNVARIED, Augmentation, Mixing
from model.augmenting import augment_batch
from model.dataset import BUCKET, Dataset, DatasetError, Fold, Split
from model.mixing import draw_mix
from model.recipe import Balance
from model.signatures import grey_levels, load_transform
from model.soft_targets import Teacher
from transforms.features import LABEL_VOCABULARY

SHUFFLE_BUFFER: Final = 2048  # images, where they are not all in memory


@dataclass(frozen=True, slots=True)
class Share:
  """What one of several processes makes of each batch, and scores of a split.

  Attributes:
    index: of the process, from 0.
    of: how many there are.
  """

  index: int = 0
  of: int = 1

  def of_batch(self, size: int) -> range:
    """Positions in a batch whose size is a multiple of `of`."""
    part = size // self.of
    return range(self.index * part, (self.index + 1) * part)

  def of_split(self, size: int) -> range:
    """Positions in a split of any size."""
    return range(self.index, size, self.of)


WHOLE: Final = Share()


@dataclass(frozen=True, slots=True)
class InputOptions:
  """How batches are made.

  Attributes:
    batch_size: images in a batch, over all devices.
    seed: of order, augmentation and mixing.
    deterministic: whether the order depends on the seed alone.
    cache_bytes: a split is kept in memory if its pixels need no more.
    augmentation: how far training images are varied.
    mixing: how training images are mixed.
    balance: `batches` draws the classes evenly.
    label_smoothing: share of each target that is spread over all classes.
    share: of the batches that is made here. Order and chance are those of whole batches; where the share is not all,
      `deterministic` is needed, since all processes must mean the same batches.
  """

  batch_size: int
  seed: int
  deterministic: bool
  cache_bytes: int
  augmentation: Augmentation = UNVARIED
  mixing: Mixing = UNMIXED
  balance: Balance = 'loss'
  label_smoothing: float = 0.0
  share: Share = WHOLE


class InputPipeline:
  """Batches of one dataset: images, float32 [N, height, width, channels], with labels or targets."""

  def __init__(self, dataset: Dataset, options: InputOptions, teacher: Teacher | None = None) -> None:
    self._dataset = dataset
    self._teacher = teacher
    self._options = options
    self.levels = tf.constant(grey_levels(load_transform(dataset.transform_graph), dataset.spec.shape).numpy())
    self._labels = tf.constant(_checked_labels(dataset))

  def training_batches(self, first: int = 0) -> tf.data.Dataset:
    """Endless, shuffled, varied; every batch is full, or the share of a full one, and has targets: float32 [N, K].

    Args:
      first: number of the batch to begin with, as if those before it had been taken.
    """
    options = self._options
    batches = self._training_examples().batch(options.batch_size, drop_remainder=True).enumerate().skip(first)
    return _prefetched(batches.map(self._training_batch, **self._parallel()), options.deterministic)

  def evaluation_batches(self, split: Split) -> tf.data.Dataset:
    """The labelled images of a split once, in the order of the files, with class indices: int64 [N].

    Of the share those at the positions `of_split`.
    """
    share = self._options.share
    batches = self._cached(split).shard(share.of, share.index).batch(self._options.batch_size)
    return _prefetched(batches.map(self._evaluation_batch, **self._parallel()), deterministic=True)

  def _training_examples(self) -> tf.data.Dataset:
    """Single examples without end."""
    counts = self._dataset.class_counts('train')
    if self._options.balance != 'batches':
      return self._shuffled(self._cached('train'), sum(counts.values()))
    classes = [self._shuffled(self._cached('train', label), count) for label, count in counts.items()]
    return tf.data.Dataset.choose_from_datasets(classes, tf.data.Dataset.range(len(classes)).repeat())

  def _shuffled(self, examples: tf.data.Dataset, size: int) -> tf.data.Dataset:
    buffer = size if self._fits('train') else min(size, SHUFFLE_BUFFER)
    return examples.shuffle(buffer, self._options.seed, reshuffle_each_iteration=True).repeat()

  def _training_batch(self, number: tf.Tensor, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = self._decoded(batch)
    smoothing, classes = self._options.label_smoothing, len(self._dataset.labels)
    targets = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    own = self._options.share.of_batch(self._options.batch_size)
    if self._options.augmentation != UNVARIED or self._options.mixing != UNMIXED or self._teacher:
      varied = tf.numpy_function(self._vary, [images, targets, number], [tf.uint8, tf.float32], stateful=False)
      images, targets = (
        tf.ensure_shape(new, [len(own), *old.shape[1:]]) for new, old in zip(varied, (images, targets), strict=True)
      )
    elif len(own) < self._options.batch_size:
      images, targets = images[own.start : own.stop], targets[own.start : own.stop]
    return tf.gather(self.levels, tf.cast(images, tf.int32)), targets

  def _vary(
    self, images: NDArray[np.uint8], targets: NDArray[np.float32], number: np.int64
  ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Varies and mixes a whole batch, as far as it matters for the share; returns the share, with soft targets."""
    teacher = self._teacher
    if teacher:
      targets = teacher.on_plain(images, targets)
    images, targets = self._varied(images, targets, number)
    return images, teacher.on_varied(images, targets) if teacher else targets

  def _varied(
    self, images: NDArray[np.uint8], targets: NDArray[np.float32], number: np.int64
  ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    options, own = self._options, np.array(self._options.share.of_batch(len(images)), np.int64)
    mix = draw_mix(images.shape, options.mixing, options.seed, int(number))
    needed = own if mix is None else np.union1d(own, mix.partners[own])
    varied = augment_batch(images[needed], options.augmentation, options.seed, int(number), needed)
    if mix is None:
      return varied, targets[own]
    partners = mix.partners[own]
    others = varied[np.searchsorted(needed, partners)]
    return mix.apply(varied[np.searchsorted(needed, own)], targets[own], others, targets[partners])

  def _evaluation_batch(self, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = self._decoded(batch)
    return tf.gather(self.levels, tf.cast(images, tf.int32)), labels

  def _decoded(self, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels, uint8 [N, height, width, channels], and class indices, int64 [N]."""
    shape = self._dataset.spec.shape
    pixels = tf.io.decode_raw(batch['image'], tf.uint8, fixed_length=int(np.prod(shape)))
    images = tf.reshape(pixels, tf.stack([tf.shape(pixels)[0], *shape]))
    images = tf.ensure_shape(images, [batch['image'].shape[0], *shape])
    return images, tf.argmax(tf.cast(batch['label'][:, tf.newaxis] == self._labels, tf.int8), axis=1)

  def _cached(self, split: Split, label: str | None = None) -> tf.data.Dataset:
    """The labelled examples of a split, or those of one class."""
    examples = read_examples(self._dataset, split, self._options.deterministic or split != 'train')
    wanted = examples.map(_image_and_label).filter(
      lambda row: row['label'] != '' if label is None else row['label'] == label
    )
    return wanted.cache() if self._fits(split) else wanted

  def _fits(self, split: Split) -> bool:
    pixels = int(np.prod(self._dataset.spec.shape)) * self._dataset.count(split)
    return pixels <= self._options.cache_bytes

  def _parallel(self) -> dict[str, int | bool]:
    return {'num_parallel_calls': tf.data.AUTOTUNE, 'deterministic': True}


def read_examples(dataset: Dataset, split: Split, deterministic: bool = True) -> tf.data.Dataset:
  """The parsed examples of a split: `image_id`, `image` (bytes), `label` ('' where unlabelled), `patient_bucket`."""
  files = dataset.example_files(split)
  records = tf.data.TFRecordDataset(files, num_parallel_reads=1 if deterministic else min(8, len(files)))
  examples = records.map(_parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=deterministic)
  return examples if dataset.fold is None or split == 'test' else examples.filter(_of_split(dataset.fold, split))


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
  """An image as it is stored: uint8 [height, width, channels]."""

  image_id: str
  label: str
  pixels: NDArray[np.uint8]


def labelled_images(dataset: Dataset, split: Split) -> Iterator[LabelledImage]:
  """The labelled images of a split, in the order of the files."""
  for row in read_examples(dataset, split).as_numpy_iterator():
    if row['label']:
      pixels = np.frombuffer(row['image'], np.uint8).reshape(dataset.spec.shape)
      yield LabelledImage(row['image_id'].decode(), row['label'].decode(), pixels)


def class_weights(dataset: Dataset, balance: Balance) -> NDArray[np.float32]:
  """Weight of each class in the loss: float32 [K].

  `loss` gives each class the same total weight and an image the weight 1
  on average: N / (K · N_k) (King and Zeng, Political Analysis 2001).
  """
  counts = np.array(list(dataset.class_counts('train').values()), np.float64)
  if balance != 'loss':
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


def _checked_labels(dataset: Dataset) -> list[str]:
  """The labels in the order of their class index; each must stand in the train split.

  Raises:
    DatasetError: if the transform graph was made of other labels.
  """
  vocabulary = tft.TFTransformOutput(str(dataset.transform_graph)).vocabulary_by_name(LABEL_VOCABULARY)
  names = [name.decode() for name in vocabulary]
  if sorted(names) != list(dataset.labels):
    raise DatasetError(
      f'the transform graph knows {len(names)} labels of the train split, dataset.json {len(dataset.labels)}, '
      'and they are not the same; every class needs images in the train split: ingest more, or run ingest again'
    )
  return list(dataset.labels)


def _prefetched(batches: tf.data.Dataset, deterministic: bool) -> tf.data.Dataset:
  options = tf.data.Options()
  options.deterministic = deterministic
  options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
  return batches.with_options(options).prefetch(tf.data.AUTOTUNE)
