"""The one list of architectures; adding a family means one file and a line here."""

import pathlib
from collections.abc import Callable
from functools import partial
from typing import Final

import keras

from model.networks.cnn import build_cnn
from model.networks.continuing import continue_from
from model.networks.densenet121 import DENSENET121
from model.networks.efficientnet_lite import VARIANTS as LITE_VARIANTS
from model.networks.efficientnet_lite import build_efficientnet_lite
from model.networks.efficientnetv2_b0 import EFFICIENTNETV2_B0
from model.networks.inception_v3 import INCEPTION_V3
from model.networks.mobilenet_v3 import MOBILENET_V3_LARGE
from model.networks.options import NetworkError, NetworkOptions
from model.networks.resnet50 import RESNET50
from model.networks.resnet_small import build_resnet_small
from model.networks.transfer import build_transfer
from model.networks.vgg16 import VGG16

DEFAULT: Final = NetworkOptions()

# shape, classes, options → network; the contract stands at `build_network`
Builder = Callable[[tuple[int, int, int], int, NetworkOptions], keras.Model]

TRANSFER: Final = (VGG16, RESNET50, INCEPTION_V3, DENSENET121, EFFICIENTNETV2_B0, MOBILENET_V3_LARGE)
ARCHITECTURES: Final[dict[str, Builder]] = {
  'cnn': build_cnn,
  'resnet_small': build_resnet_small,
  **{family.name: partial(build_transfer, family) for family in TRANSFER},
  **{name: partial(build_efficientnet_lite, name) for name in LITE_VARIANTS},
}


def build_network(
  architecture: str, shape: tuple[int, int, int], classes: int, options: NetworkOptions = DEFAULT
) -> keras.Model:
  """Builds a network of a registered architecture.

  Args:
    architecture: one of `ARCHITECTURES`.
    shape: height, width, channels of the scaled image.
    classes: two or more.
    options: how it begins, and what of it is trained.

  Returns:
    float32 [N, height, width, channels] as the transform graph makes them →
    float32 [N, 1] for two classes (the probability of the second), else
    [N, classes]. The layer `features` gives float [N, F] before dropout and
    head; the layers of the head have names that begin with `head`.

  Raises:
    NetworkError: if the architecture is unknown, there are fewer than two
      classes, or the options do not fit the architecture.
    WeightsError: if initial weights are not there, or not what they should be.
  """
  if architecture not in ARCHITECTURES:
    raise NetworkError(f'architecture is {architecture!r}; it must be one of {", ".join(sorted(ARCHITECTURES))}')
  if classes < 2:
    raise NetworkError(f'the dataset has {classes} classes; a classifier needs at least two: check the labels')
  network = ARCHITECTURES[architecture](shape, classes, options)
  if options.continues:
    continue_from(pathlib.Path(options.initial_weights), network)
  return network
