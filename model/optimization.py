"""Optimisers, learning rates and averaged weights, from a recipe."""

from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.recipe import Recipe

_WARMUP_FROM: Final = 1 / 30  # of the learning rate
_NOT_DECAYED: Final = ('bias', 'gamma', 'beta')
_HEAD_RATE: Final = 1e-3  # of Adam, while the head alone is trained


def learning_rate(recipe: Recipe, steps: int) -> keras.optimizers.schedules.LearningRateSchedule | float:
  """The learning rate over all steps: a linear rise, then a cosine (Loshchilov and Hutter, ICLR 2017) or level."""
  highest, warmup = recipe.learning_rate, recipe.warmup_steps
  if recipe.schedule == 'constant' and not warmup:
    return highest
  final = 1.0 if recipe.schedule == 'constant' else recipe.final_rate
  falling = max(1, steps - warmup)
  if not warmup:
    return keras.optimizers.schedules.CosineDecay(highest, falling, alpha=final)
  return keras.optimizers.schedules.CosineDecay(
    highest * _WARMUP_FROM, falling, alpha=final, warmup_target=highest, warmup_steps=warmup
  )


def make_optimizer(recipe: Recipe, steps: int, variables: Sequence[keras.Variable]) -> keras.optimizers.Optimizer:
  """The optimiser of a recipe, built for the variables; in the strategy's scope.

  Gradients are clipped by the training step, over all devices together, not here.
  """
  rate = learning_rate(recipe, steps)
  optimizer: keras.optimizers.Optimizer
  if recipe.optimizer == 'sgd':
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
  elif recipe.optimizer == 'adamw':
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
  else:
    optimizer = keras.optimizers.Adam(rate)
  return _scaled(optimizer, recipe, variables)


def make_head_optimizer(recipe: Recipe, variables: Sequence[keras.Variable]) -> keras.optimizers.Optimizer:
  """The optimiser while the head alone is trained."""
  return _scaled(keras.optimizers.Adam(_HEAD_RATE), recipe, variables)


def _scaled(
  optimizer: keras.optimizers.Optimizer, recipe: Recipe, variables: Sequence[keras.Variable]
) -> keras.optimizers.Optimizer:
  if recipe.precision == 'float16':  # its gradients vanish without a scale (Micikevicius et al., ICLR 2018)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
  optimizer.build(variables)
  return optimizer


class WeightAverage:
  """The exponential mean of a network's trainable variables (Polyak and Juditsky, 1992), kept beside them.

  While it is young it forgets faster, as if it had been going on for ever:
  the decay is at most (1 + step) / (10 + step).
  """

  def __init__(self, variables: Sequence[keras.Variable], decay: float) -> None:
    self._variables = [variable.value for variable in variables]
    self.means = [tf.Variable(variable, trainable=False) for variable in self._variables]
    self._decay = decay
    self._update = tf.function(self._move)

  def update(self, step: int) -> None:
    """Takes in the weights after a step, counted from 1."""
    self._update(tf.constant(min(self._decay, (1 + step) / (10 + step)), tf.float32))

  def _move(self, decay: tf.Tensor) -> None:
    for mean, variable in zip(self.means, self._variables, strict=True):
      mean.assign(decay * mean + (1 - decay) * tf.cast(variable, mean.dtype))

  def values(self) -> list[NDArray[Any]]:
    """The means, in the order of the variables."""
    return [np.asarray(mean.numpy()) for mean in self.means]
