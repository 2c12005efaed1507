"""Random variation of training images, as graph operations on whole batches.

Rotation, flip, zoom and shift are one affine map, hence one interpolation.
All randomness is stateless: the same seed and batch number give the same
images, whatever the number of threads.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import tensorflow as tf

Augment = Literal['none', 'light', 'standard']


@dataclass(frozen=True, slots=True)
class Strength:
  """How far an image may be varied, to either side; each image draws its own values.

  Attributes:
    rotation_degrees: about the centre.
    zoom: share of the size, both axes alike.
    shift: share of the height and width.
    brightness: share of the way from black to white.
    flip: whether half of the images are mirrored left to right. Side markers
      and the heart change sides: a radiograph of the chest stays plausible,
      a task about sides does not.
  """

  rotation_degrees: float
  zoom: float
  shift: float
  brightness: float
  flip: bool


STRENGTHS: Final[dict[str, Strength]] = {
  'light': Strength(rotation_degrees=5, zoom=0.05, shift=0.03, brightness=0.05, flip=False),
  'standard': Strength(rotation_degrees=10, zoom=0.1, shift=0.05, brightness=0.1, flip=True),
}


def augment(images: tf.Tensor, seed: tf.Tensor, strength: Strength, levels: tf.Tensor) -> tf.Tensor:
  """Varies each image of a batch.

  Args:
    images: float32 [N, height, width, channels], scaled by the transform graph.
    seed: int64 [2]: one for the run, one for the batch.
    strength: the limits.
    levels: float32 [256], what the graph makes of the grey levels: black
      fills what the map uncovers, and black and white bound the result.

  Returns:
    float32 [N, height, width, channels].
  """
  black, white = levels[0], levels[-1]
  count = tf.shape(images)[0]
  seeds = tf.unstack(tf.random.split(seed, 2))
  moved = tf.raw_ops.ImageProjectiveTransformV3(
    images=images,
    transforms=_random_maps(images, seeds[0], strength),
    output_shape=tf.shape(images)[1:3],
    fill_value=black,
    interpolation='BILINEAR',
    fill_mode='CONSTANT',
  )
  brightness = tf.random.stateless_uniform([count, 1, 1, 1], seeds[1], -strength.brightness, strength.brightness)
  return tf.clip_by_value(moved + brightness * (white - black), black, white)


def _random_maps(images: tf.Tensor, seed: tf.Tensor, strength: Strength) -> tf.Tensor:
  """One affine map an image, output to input pixel: float32 [N, 8]."""
  count = tf.shape(images)[0]
  height, width = (tf.cast(side, tf.float32) for side in tf.unstack(tf.shape(images)[1:3]))
  draws = tf.unstack(tf.random.stateless_uniform([5, count], seed, -1.0, 1.0))
  angle = draws[0] * math.radians(strength.rotation_degrees)
  scale = 1.0 + draws[1] * strength.zoom
  mirror = tf.where(draws[4] < 0, -1.0, 1.0) if strength.flip else tf.ones([count])
  a, b = mirror * scale * tf.cos(angle), -scale * tf.sin(angle)
  c, d = mirror * scale * tf.sin(angle), scale * tf.cos(angle)
  centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
  x = centre_x - a * centre_x - b * centre_y + draws[2] * strength.shift * width
  y = centre_y - c * centre_x - d * centre_y + draws[3] * strength.shift * height
  zero = tf.zeros([count])
  return tf.stack([a, b, x, c, d, y, zero, zero], axis=1)
