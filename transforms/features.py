"""From stored uint8 to the network's floats: what tf.Transform computes over the train split.

The statistics come from three sums per image, made where the image is
decoded, so that no pixel is read a second time. The analysed function also
holds the scaling itself, as a TensorFlow graph: training and serving run the
same one, and serving needs the image alone.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

import tensorflow as tf
import tensorflow_transform as tft

Scaling = Literal['unit', 'standard']
Tensors = dict[str, tf.Tensor]

LABEL_VOCABULARY: Final = 'labels'
SUMS: Final = ('pixel_sum', 'pixel_sumsq', 'pixel_count')


def feature_spec(labelled: bool) -> dict[str, tf.io.FixedLenFeature]:
  """What the analysis is fed: the image (may be empty there), its sums, its label."""
  spec = {'image': tf.io.FixedLenFeature([], tf.string)}
  spec |= {name: tf.io.FixedLenFeature([], tf.int64) for name in SUMS}
  if labelled:
    spec['label'] = tf.io.FixedLenFeature([], tf.string)
  return spec


def make_preprocessing_fn(
  shape: tuple[int, int, int], scaling: Scaling, labelled: bool
) -> Callable[[Mapping[str, tf.Tensor]], Tensors]:
  """Builds tf.Transform's `preprocessing_fn`.

  Args:
    shape: height, width, channels of the stored images.
    scaling: `unit` maps 0..255 to [0, 1]; `standard` subtracts the train
      split's mean and divides by its standard deviation, both over all
      values of all images.
    labelled: whether there is a label to index.

  Returns:
    A function from batches of `feature_spec(labelled)` to `image` (float32,
    [N, height, width, channels]) and, if labelled, `label` (int64, [N]).
    The index is the one of tf.Transform's vocabulary, whose order is by
    frequency (it offers no alphabetic one), -1 for a label that the train
    split does not have; `model.input_data` brings it to the order of names.

  Raises:
    ValueError: if the scaling is unknown.
  """
  if scaling not in get_args(Scaling):
    raise ValueError(f'scaling is {scaling!r}; it must be one of {", ".join(get_args(Scaling))}')

  def preprocessing_fn(inputs: Mapping[str, tf.Tensor]) -> Tensors:
    pixels = tf.cast(_decode(inputs['image'], shape), tf.float32)
    outputs = {'image': pixels / 255.0 if scaling == 'unit' else _standardise(pixels, inputs)}
    if labelled:
      vocabulary = tft.vocabulary(inputs['label'], vocab_filename=LABEL_VOCABULARY)
      outputs['label'] = tft.apply_vocabulary(inputs['label'], vocabulary, lookup_fn=_look_up)
    return outputs

  return preprocessing_fn


def _look_up(labels: tf.Tensor, vocabulary: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """As tf.Transform does by itself, but by a table without a name: the usual one holds the path of this machine."""

  def make_table() -> tf.lookup.StaticHashTable:
    lines = tf.lookup.TextFileInitializer(
      vocabulary, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    return tf.lookup.StaticHashTable(lines, default_value=-1, experimental_is_anonymous=True)

  on_disk = isinstance(vocabulary, tf.__internal__.EagerTensor)  # after the analysis: filled once, not at each call
  table = tft.make_and_track_object(make_table, name='label_table') if on_disk else make_table()
  return table.lookup(labels), table.size()


def _decode(image: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
  height, width, channels = shape
  flat = tf.io.decode_raw(image, tf.uint8, fixed_length=height * width * channels)
  return tf.reshape(flat, [-1, *shape])


def _standardise(pixels: tf.Tensor, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
  total, squares, count = (tf.cast(tft.sum(inputs[name]), tf.float64) for name in SUMS)
  count = tf.maximum(count, 1)  # an empty train split
  mean = total / count
  deviation = tf.sqrt(squares / count - mean**2)
  deviation = tf.where(deviation > 0, deviation, tf.ones_like(deviation))  # one grey level everywhere
  return (pixels - tf.cast(mean, tf.float32)) / tf.cast(deviation, tf.float32)
