"""What all networks share: the head, and which blocks are not trained."""

from collections.abc import Iterable, Sequence

import keras

from model.networks.options import NetworkError, NetworkOptions


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


def set_batch_norm(layers: Iterable[keras.Layer], options: NetworkOptions) -> None:
  """Applies `live`, with the statistics of all devices, or `frozen`."""
  for layer in layers:
    if isinstance(layer, keras.layers.BatchNormalization):
      layer.synchronized = True
      layer.trainable = options.batch_norm == 'live'


def not_folded(architecture: str, options: NetworkOptions) -> None:
  """For networks whose batch norm stays a layer of its own.

  Raises:
    NetworkError: if it is to be folded.
  """
  if options.batch_norm == 'folded':
    raise NetworkError(
      f'batch_norm is folded, which {architecture} cannot be; take frozen or live, or efficientnet_lite0'
    )


def from_scratch(architecture: str, options: NetworkOptions) -> None:
  """For networks that nobody has trained before; a network of ours may be trained further.

  Raises:
    NetworkError: if the options want other initial weights, or batch norm folded.
  """
  not_folded(architecture, options)
  if options.initial_weights != 'none' and not options.continues:
    raise NetworkError(
      f'initial_weights is {options.initial_weights}, but {architecture} is trained from scratch: take none, '
      'the .keras file of a bundle, or another architecture'
    )


def without_branches(architecture: str, options: NetworkOptions) -> None:
  """For networks without residual branches that could be left out.

  Raises:
    NetworkError: if the options want stochastic depth.
  """
  if options.stochastic_depth:
    raise NetworkError(
      f'stochastic_depth is {options.stochastic_depth}, but {architecture} has no branches to leave out: take 0, '
      'or another architecture'
    )
