"""Networks of keras.applications as backbones: what they have in common.

Nothing is downloaded: `imagenet` takes the file that Keras publishes from where
Keras keeps such files, and says which one and where if it is not there.
"""

import hashlib
import os
import pathlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import keras

from model.networks.inputs import Scale, check_side, resized, scaled, three_channels
from model.networks.options import NetworkOptions
from model.networks.parts import freeze, head, not_folded, set_batch_norm, without_branches
from model.networks.weights import WeightsError

PUBLISHED: Final = 'https://storage.googleapis.com/tensorflow/keras-applications'


@dataclass(frozen=True, slots=True)
class KerasFile:
  """ImageNet weights without the classifier, as Keras publishes them.

  Attributes:
    folder: below `PUBLISHED`.
    name: of the file.
    md5: as Keras states it.
  """

  folder: str
  name: str
  md5: str


@dataclass(frozen=True, slots=True)
class Family:
  """One network of keras.applications.

  Attributes:
    name: of the architecture.
    build: takes the keyword arguments of keras.applications; must not scale its input.
    scale: what the weights expect.
    smallest_side: in pixels.
    weights: of ImageNet.
    branches: whether residual branches can be left out in training; they end in a dropout layer `*_drop`.
  """

  name: str
  build: Callable[..., keras.Model]
  scale: Scale
  smallest_side: int
  weights: KerasFile
  branches: bool = False


def build_transfer(family: Family, shape: tuple[int, int, int], classes: int, options: NetworkOptions) -> keras.Model:
  """Builds the network; the contract is that of `model.networks.registry.build_network`.

  `frozen_share` counts the backbone's layers that have weights.

  Raises:
    NetworkError: if the image is too small, or the options want what the family cannot do.
    WeightsError: if the initial weights are not there, or are not those of this network.
  """
  not_folded(family.name, options)
  if not family.branches:
    without_branches(family.name, options)
  check_side(family.name, family.smallest_side, shape, options)
  images = keras.Input(shape)
  x = scaled(three_channels(resized(images, options), family.scale), family.scale, options)
  backbone = _backbone(family, x.shape[1:], options)
  features = keras.layers.GlobalAveragePooling2D(name='features')(backbone(x))
  return keras.Model(images, head(features, classes, options.dropout), name=family.name)


def _backbone(family: Family, shape: tuple[int, int, int], options: NetworkOptions) -> keras.Model:
  backbone = family.build(include_top=False, weights=None, input_shape=shape)
  if options.initial_weights != 'none' and not options.continues:
    _load(backbone, family, options.initial_weights)
  set_batch_norm(backbone.layers, options)
  drops = [layer for layer in backbone.layers if layer.name.endswith('_drop')]
  for index, layer in enumerate(drops, start=1):
    layer.rate = options.stochastic_depth * index / len(drops)
  freeze([[layer] for layer in backbone.layers if layer.weights], options)
  return backbone


def _load(backbone: keras.Model, family: Family, initial_weights: str) -> None:
  path = _published(backbone, family) if initial_weights == 'imagenet' else pathlib.Path(initial_weights)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('error', UserWarning)  # by which Keras says that layers keep their random weights
      backbone.load_weights(path)
  except (OSError, ValueError, KeyError, UserWarning) as error:
    raise WeightsError(
      f'initial weights {path.name!r} cannot be read as those of {family.name} without its classifier '
      f'({type(error).__name__}); expected {family.weights.name}, or a .weights.h5 file that Keras saved of it'
    ) from error


def _published(backbone: keras.Model, family: Family) -> pathlib.Path:
  file, home = family.weights, os.environ.get('KERAS_HOME', '~/.keras')
  path = pathlib.Path(home, 'models', file.name).expanduser()
  megabytes = backbone.count_params() * 4 / 1e6
  source = f'{PUBLISHED}/{file.folder}/{file.name} ({megabytes:.0f} MB)'
  if not path.is_file():
    raise WeightsError(
      f'initial_weights is imagenet, and the weights of {family.name} are not here; nothing is downloaded unasked: '
      f'fetch {source} and put it into {home}/models, or give its path instead of imagenet'
    )
  if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != file.md5:
    raise WeightsError(
      f'{file.name} in {home}/models is not the file that Keras publishes: damaged, or another; fetch {source} again'
    )
  return path
