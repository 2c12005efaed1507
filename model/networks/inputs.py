"""The one place where what the transform graph makes of an image becomes what a network's weights expect.

Grey images become three channels by repeating them: red, green and blue are
equal, as in a grey photograph. A network whose first convolution is ours may
instead add up that kernel over the three, which is the same function of a
third of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from model.networks.options import NetworkOptions


@dataclass(frozen=True, slots=True)
class Scale:
  """A linear map of grey levels, 0 to 255, to what weights were trained on: (level - mean) / deviation, by channel."""

  mean: tuple[float, ...]
  deviation: tuple[float, ...]


LITE = Scale((127.0,), (128.0,))


def resized(images: keras.KerasTensor, options: NetworkOptions) -> keras.KerasTensor:
  """[N, H, W, C] → [N, input_size, input_size, C], bilinear; as they are where no size is wanted or they have it."""
  size = options.input_size
  if size is None or tuple(images.shape[1:3]) == (size, size):
    return images
  return keras.layers.Resizing(size, size, dtype='float32', name='input_size')(images)


def scaled(images: keras.KerasTensor, scale: Scale, options: NetworkOptions) -> keras.KerasTensor:
  """From `black` to `white` of the options to the scale of the weights, in float32."""
  per_level = 255.0 / (options.white - options.black)
  factors = [per_level / deviation for deviation in scale.deviation]
  offsets = [
    -(options.black * per_level + mean) / deviation for mean, deviation in zip(scale.mean, scale.deviation, strict=True)
  ]
  return keras.layers.Rescaling(_plain(factors), _plain(offsets), dtype='float32', name='input_scale')(images)


def _plain(values: Sequence[float]) -> float | list[float]:
  return values[0] if len(values) == 1 else list(values)
