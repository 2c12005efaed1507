"""The one place where what the transform graph makes of an image becomes what a network's weights expect.

Grey images become three channels by repeating them: red, green and blue are
equal, as in a grey photograph. A network whose first convolution is ours may
instead add up that kernel over the three, which is the same function of a
third of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import keras

from model.networks.options import NetworkError, NetworkOptions


@dataclass(frozen=True, slots=True)
class Scale:
  """What weights were trained on: (level - mean) / deviation of grey levels 0 to 255, for all channels or for each.

  Attributes:
    mean: in the order of the channels as the network sees them.
    deviation: likewise.
    bgr: whether colours come blue first.
  """

  mean: tuple[float, ...]
  deviation: tuple[float, ...]
  bgr: bool = False


LITE: Final = Scale((127.0,), (128.0,))
MINUS_ONE_TO_ONE: Final = Scale((127.5,), (127.5,))
# Means of ImageNet's colours; the second also their deviations.
CAFFE: Final = Scale((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), bgr=True)
TORCH: Final = Scale((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def check_side(architecture: str, smallest: int, shape: tuple[int, int, int], options: NetworkOptions) -> None:
  """Refuses what would shrink to nothing on its way through a network.

  Raises:
    NetworkError: if a side is below the smallest, in pixels.
  """
  side = options.input_size or min(shape[:2])
  if side < smallest:
    what, remedy = ('input_size', '') if options.input_size else ('image_size', ': ingest with a larger --image_size')
    raise NetworkError(f'{what} is {side}; {architecture} needs at least {smallest}{remedy}')


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


def three_channels(images: keras.KerasTensor, scale: Scale) -> keras.KerasTensor:
  """Grey is repeated; colours change their order where the weights want it."""
  if images.shape[-1] == 1:
    return keras.layers.Concatenate(dtype='float32', name='three_channels')([images] * 3)
  return keras.ops.flip(images, axis=-1) if scale.bgr else images


def _plain(values: Sequence[float]) -> float | list[float]:
  return values[0] if len(values) == 1 else list(values)
