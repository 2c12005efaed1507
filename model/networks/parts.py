"""What all networks share: the head, and which blocks are not trained."""

from collections.abc import Sequence

import keras

from model.networks.options import NetworkOptions


def head(features: keras.KerasTensor, classes: int, dropout: float, initializer: str = 'zeros') -> keras.KerasTensor:
  """Dropout and one dense layer.

  Args:
    features: [N, F].
    classes: two or more.
    dropout: share of the features dropped in training.
    initializer: of the layer; from zeros on every class is as likely, and the first step spares the backbone.

  Returns:
    float32, also under mixed precision: for two classes the probability of the second, [N, 1], else of each, [N, K].
  """
  binary = classes == 2
  kept = keras.layers.Dropout(dropout, name='head_dropout')(features)
  return keras.layers.Dense(
    1 if binary else classes,
    activation='sigmoid' if binary else 'softmax',
    kernel_initializer=initializer,
    dtype='float32',
    name='head',
  )(kept)


def freeze(blocks: Sequence[Sequence[keras.Layer]], options: NetworkOptions) -> None:
  """Takes the first blocks out of training; batch norm in them keeps its statistics."""
  for block in blocks[: round(options.frozen_share * len(blocks))]:
    for layer in block:
      layer.trainable = False


def from_scratch(architecture: str, options: NetworkOptions) -> None:
  """For networks that have no initial weights and no residual branches to leave out.

  Raises:
    ValueError: if the options want either.
  """
  if options.initial_weights != 'none':
    raise ValueError(
      f'initial_weights is {options.initial_weights}, but {architecture} is trained from scratch: take none, '
      'or another architecture'
    )
  if options.stochastic_depth:
    raise ValueError(
      f'stochastic_depth is {options.stochastic_depth}, but {architecture} has no residual branches: take 0, '
      'or another architecture'
    )
