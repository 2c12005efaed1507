"""Where a training runs, and the one training step that is the same everywhere.

`Model.fit` sums and averages differently from strategy to strategy; here the
loss is a sum over examples, divided by the global batch, so that one device
and many take the same step (to rounding).
"""

from collections.abc import Callable
from typing import Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

StrategyName = Literal['auto', 'one_device', 'mirrored']
# images and labels, for each device → loss, and for each device outputs and labels
TrainStep = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


def make_strategy(name: StrategyName) -> tf.distribute.Strategy:
  """Chooses devices: all GPUs of this host, or the CPU; `auto` mirrors only where there are several GPUs.

  `mirrored` without a GPU takes the logical CPU devices.

  Raises:
    ValueError: if the name is unknown.
  """
  if name not in get_args(StrategyName):
    raise ValueError(f'strategy is {name!r}; it must be one of {", ".join(get_args(StrategyName))}')
  gpus = [device.name for device in tf.config.list_logical_devices('GPU')]
  devices = gpus or [device.name for device in tf.config.list_logical_devices('CPU')]
  if name == 'mirrored' or (name == 'auto' and len(gpus) > 1):
    return tf.distribute.MirroredStrategy(devices)
  return tf.distribute.OneDeviceStrategy(devices[0])


def example_losses(outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """Cross-entropy of each example, natural logarithm: float32 [N].

  Args:
    outputs: [N, 1], the probability of the second of two classes, or [N, K].
    labels: int [N], class indices.
  """
  if outputs.shape[-1] == 1:
    return keras.losses.binary_crossentropy(tf.cast(labels, tf.float32)[:, tf.newaxis], outputs)
  return keras.losses.sparse_categorical_crossentropy(labels, outputs)


def make_train_step(
  strategy: tf.distribute.Strategy,
  network: keras.Model,
  optimizer: keras.optimizers.Optimizer,
  weights: NDArray[np.float32],
  global_batch: int,
) -> TrainStep:
  """Compiles the step.

  Args:
    strategy: in whose scope network and optimizer were made.
    network: as `build_network` makes it.
    optimizer: built for the network's variables.
    weights: of each class: float32 [K].
    global_batch: examples in a batch, over all devices.

  Returns:
    A function that takes one distributed batch and returns the loss (a
    scalar, over all devices), the outputs and their labels.
  """
  class_weights = tf.constant(weights)

  def on_device(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
      outputs = network(images, training=True)
      losses = example_losses(outputs, labels) * tf.gather(class_weights, labels)
      loss = tf.reduce_sum(losses) / global_batch
    gradients = tape.gradient(loss, network.trainable_variables)
    optimizer.apply(gradients, network.trainable_variables)  # adds them up over the devices
    return loss, outputs, labels

  @tf.function
  def step(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    losses, outputs, seen = strategy.run(on_device, args=(images, labels))
    return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None), outputs, seen

  return step


def collect(strategy: tf.distribute.Strategy, values: tf.Tensor) -> NDArray[np.generic]:
  """What the devices of this host hold, one after the other."""
  parts: list[NDArray[np.generic]] = [part.numpy() for part in strategy.experimental_local_results(values)]
  return np.concatenate(parts)
