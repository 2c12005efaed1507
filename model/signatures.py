"""What a saved model answers to: pixels, tf.Example, or the bytes of a JPEG or PNG.

All signatures return `scores`, float32 [N, K] in the order of the labels, for
two classes too. The step from uint8 to floats is the transform graph's; it
maps each of the 256 grey levels to one float, so the signatures that hold
pixels already use that table, read out of the graph once, bit for bit.
"""

import pathlib
from collections.abc import Callable
from typing import Final

import keras
import tensorflow as tf
import tensorflow_transform as tft

from model.calibration import IDENTITY, LEAST_SCORE, Calibration
from model.recipe import Views
from transforms.preprocess import PreprocessSpec

LEVELS: Final = 256


def load_transform(transform_graph: str | pathlib.Path) -> tf.Module:
  """Opens a tf.Transform output as a layer: raw features in, `image` and `label` out; the image alone suffices."""
  return tft.TFTransformOutput(str(transform_graph)).transform_features_layer()


def grey_levels(transform: tf.Module, shape: tuple[int, int, int]) -> tf.Tensor:
  """What the transform graph makes of the grey levels 0 to 255: float32 [256]."""
  size = shape[0] * shape[1] * shape[2]
  ramp = (bytes(range(LEVELS)) * -(-size // LEVELS))[:size]
  return tf.reshape(transform({'image': tf.constant([ramp])})['image'], [-1])[:LEVELS]


def both_columns(output: tf.Tensor) -> tf.Tensor:
  """[N, 1] of a sigmoid becomes [N, 2] in the order of the labels; [N, K] stays."""
  return tf.concat([1.0 - output, output], axis=1) if output.shape[-1] == 1 else output


def with_views(score: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor, views: Views) -> tf.Tensor:
  """Scores of images [N, height, width, channels]; `mirror` takes the mean of each image and its mirror image."""
  if views == 'one':
    return score(images)
  count = tf.shape(images)[0]
  scores = score(tf.concat([images, tf.reverse(images, axis=[2])], axis=0))
  return (scores[:count] + scores[count:]) / 2.0


def calibrated(scores: tf.Tensor, calibration: Calibration) -> tf.Tensor:
  """`Calibration.apply` as graph operations: float32 [N, K]."""
  if calibration.method == 'temperature':
    return tf.nn.softmax(tf.math.log(tf.maximum(scores, LEAST_SCORE)) / calibration.temperature)
  if calibration.method == 'isotonic':
    second = _interpolated(scores[:, 1], calibration)
    return tf.stack([1.0 - second, second], axis=1)
  return scores


def _interpolated(scores: tf.Tensor, calibration: Calibration) -> tf.Tensor:
  knots, values = tf.constant(calibration.knots), tf.constant(calibration.values)
  right = tf.clip_by_value(tf.searchsorted(knots, scores, side='right'), 1, len(calibration.knots) - 1)
  x_left, x_right = tf.gather(knots, right - 1), tf.gather(knots, right)
  share = tf.clip_by_value(tf.math.divide_no_nan(scores - x_left, x_right - x_left), 0.0, 1.0)
  return tf.gather(values, right - 1) * (1.0 - share) + tf.gather(values, right) * share


class PixelModel(tf.Module):
  """What can score pixels, and so answers to all signatures."""

  def __init__(self, spec: PreprocessSpec) -> None:
    super().__init__()
    self.spec = spec

  def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """The functions by their names, each for any number of images."""
    pixels = tf.TensorSpec([None, *self.spec.shape], tf.uint8, name='pixels')
    functions = {
      'pixels': tf.function(self.score_pixels, input_signature=[pixels]),
      'examples': tf.function(self.score_examples, input_signature=[_strings('examples')]),
      'raw_images': tf.function(self.score_raw_images, input_signature=[_strings('raw_images')]),
    }
    return functions | {'serving_default': functions['pixels']}

  def score_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scores preprocessed images: uint8 [N, height, width, channels]."""
    raise NotImplementedError

  def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scores serialized tf.Example: string [N], each with `image` as in a dataset; a label is not needed."""
    images = tf.io.decode_raw(_parsed(examples)['image'], tf.uint8)
    return self.score_pixels(tf.reshape(images, [-1, *self.spec.shape]))

  def score_raw_images(self, raw_images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scores JPEG or PNG files: string [N].

    An approximation of `transforms.preprocess`: TensorFlow decodes and
    resizes instead of OpenCV. PNGs differ by 1 grey level, by up to 13 at
    single pixels where `preprocess` halves an odd side; JPEGs by their
    decoder too: scores of 16 radiographs by 0.0035 on average, 0.021 at most.
    """
    signature = tf.TensorSpec(self.spec.shape, tf.uint8)
    return self.score_pixels(tf.map_fn(self._decode, raw_images, fn_output_signature=signature))

  def _decode(self, data: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(data, channels=self.spec.channels, expand_animations=False)
    image.set_shape([None, None, self.spec.channels])
    fitted = tf.clip_by_value(tf.round(_fit(image, self.spec)), 0, 255)
    return tf.ensure_shape(tf.cast(fitted, tf.uint8), self.spec.shape)


class ServingModel(PixelModel):
  """A network together with the transform graph, and how its scores become probabilities."""

  def __init__(
    self,
    network: keras.Model,
    transform_graph: str | pathlib.Path,
    spec: PreprocessSpec,
    calibration: Calibration = IDENTITY,
    views: Views = 'one',
  ) -> None:
    super().__init__(spec)
    self.network = network
    self.views = views
    self.calibration = calibration
    self.transform = load_transform(transform_graph)
    self.levels = tf.constant(grey_levels(self.transform, spec.shape).numpy())

  def score_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scores preprocessed images: uint8 [N, height, width, channels]."""
    return self._score(tf.gather(self.levels, tf.cast(pixels, tf.int32)))

  def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """The same by the transform graph itself: string [N]."""
    return self._score(self.transform(_parsed(examples))['image'])

  def _score(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    images = tf.ensure_shape(images, [None, *self.spec.shape])
    return {'scores': calibrated(with_views(self._view, images, self.views), self.calibration)}

  def _view(self, images: tf.Tensor) -> tf.Tensor:
    return both_columns(self.network(images, training=False))


def _parsed(examples: tf.Tensor) -> dict[str, tf.Tensor]:
  return tf.io.parse_example(examples, {'image': tf.io.FixedLenFeature([], tf.string)})


def _strings(name: str) -> tf.TensorSpec:
  return tf.TensorSpec([None], tf.string, name=name)


def _fit(image: tf.Tensor, spec: PreprocessSpec) -> tf.Tensor:
  size = spec.image_size
  if spec.resize == 'crop':
    side = tf.reduce_min(tf.shape(image)[:2])
    image = tf.image.resize_with_crop_or_pad(image, side, side)
  if spec.resize != 'pad':
    return _resize(image, tf.constant([size, size]))
  sides = tf.cast(tf.shape(image)[:2], tf.float64)
  inner = tf.cast(tf.maximum(tf.round(sides * size / tf.reduce_max(sides)), 1), tf.int32)
  resized = _resize(image, inner)
  return tf.image.pad_to_bounding_box(resized, (size - inner[0]) // 2, (size - inner[1]) // 2, size, size)


def _resize(image: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
  shrinks = tf.reduce_all(sides <= tf.shape(image)[:2])
  return tf.cond(
    shrinks,
    lambda: tf.image.resize(image, sides, method='area'),
    lambda: tf.image.resize(image, sides, method='bilinear'),
  )
