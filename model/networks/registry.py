"""The one list of architectures; adding a family means one file and one line here."""

from collections.abc import Callable
from typing import Final

import keras

from model.networks.cnn import build_cnn

# shape, classes, dropout → network; the contract stands at `build_cnn`
Builder = Callable[[tuple[int, int, int], int, float], keras.Model]

ARCHITECTURES: Final[dict[str, Builder]] = {'cnn': build_cnn}


def build_network(architecture: str, shape: tuple[int, int, int], classes: int, dropout: float = 0.3) -> keras.Model:
  """Builds a network of a registered architecture.

  Raises:
    ValueError: if the architecture is unknown, or there are fewer than two classes.
  """
  if architecture not in ARCHITECTURES:
    raise ValueError(f'architecture is {architecture!r}; it must be one of {", ".join(sorted(ARCHITECTURES))}')
  if classes < 2:
    raise ValueError(f'the dataset has {classes} classes; a classifier needs at least two: check the labels')
  return ARCHITECTURES[architecture](shape, classes, dropout)
