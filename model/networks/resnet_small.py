"""A small residual network for training from scratch (He et al., CVPR 2016: basic blocks, as in ResNet-18).

A stem of 5×5, stride 2, then four stages of two blocks with 24 to 192 filters;
each stage after the first halves the image. Global average pooling takes the
place of the dense layer of `cnn`, hence any size of image has as many
parameters: 1,577,017 with one channel and two classes.
"""

from functools import partial
from typing import Final

import keras

from model.networks.inputs import check_side, resized
from model.networks.options import NetworkOptions
from model.networks.parts import freeze, from_scratch, head, set_batch_norm

_FILTERS: Final = (24, 48, 96, 192)
_BLOCKS_PER_STAGE: Final = 2
_SMALLEST_SIDE: Final = 32

_conv = partial(keras.layers.Conv2D, padding='same', use_bias=False, kernel_initializer='he_normal')


def build_resnet_small(shape: tuple[int, int, int], classes: int, options: NetworkOptions) -> keras.Model:
  """Builds the network; the contract is that of `model.networks.registry.build_network`.

  Raises:
    NetworkError: if a side is below 32 pixels, or the options want weights of ImageNet or batch norm folded.
  """
  from_scratch('resnet_small', options)
  check_side('resnet_small', _SMALLEST_SIDE, shape, options)
  images = keras.Input(shape)
  x = _normed(_conv(_FILTERS[0], 5, strides=2, name='stem')(resized(images, options)), 'stem')
  x = keras.layers.MaxPooling2D(3, 2, padding='same', name='stem_pool')(keras.layers.ReLU(name='stem_relu')(x))
  names = [f'block{index}' for index in range(_BLOCKS_PER_STAGE * len(_FILTERS))]
  for index, name in enumerate(names):
    drop = options.stochastic_depth * (index + 1) / len(names)
    x = _add_block(x, _FILTERS[index // _BLOCKS_PER_STAGE], name, drop)
  features = keras.layers.GlobalAveragePooling2D(name='features')(x)
  network = keras.Model(images, head(features, classes, options.dropout), name='resnet_small')
  set_batch_norm(network.layers, options)
  blocks = [[layer for layer in network.layers if layer.name.partition('_')[0] == name] for name in ['stem', *names]]
  freeze(blocks, options)
  return network


def _add_block(x: keras.KerasTensor, filters: int, name: str, drop: float) -> keras.KerasTensor:
  """Two convolutions beside a shortcut, which is a convolution of 1×1 where the size changes."""
  start, widens = x, x.shape[-1] != filters
  x = _normed(_conv(filters, 3, strides=2 if widens else 1, name=f'{name}_first')(x), f'{name}_first')
  x = keras.layers.ReLU(name=f'{name}_first_relu')(x)
  x = _normed(_conv(filters, 3, name=f'{name}_second')(x), f'{name}_second')
  if drop:
    x = keras.layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f'{name}_drop')(x)
  if widens:
    start = _normed(_conv(filters, 1, strides=2, name=f'{name}_shortcut')(start), f'{name}_shortcut')
  x = keras.layers.Add(name=f'{name}_add')([start, x])
  return keras.layers.ReLU(name=f'{name}_relu')(x)


def _normed(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
  return keras.layers.BatchNormalization(momentum=0.9, synchronized=True, name=f'{name}_norm')(x)
