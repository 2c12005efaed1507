"""Where a training runs, and the one training step that is the same everywhere.

`Model.fit` sums and averages differently from strategy to strategy; here the
loss is a sum over examples, divided by the global batch, so that one device
and many take the same step (to rounding), but for dropout: all devices draw
the same masks, each for its share of the batch.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.cluster import Cluster, ClusterError
from model.recipe import StrategyName

# images and targets, for each device → loss, and for each device outputs and targets
TrainStep = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]

Batch = tuple[tf.Tensor, tf.Tensor]


def make_strategy(name: StrategyName, cluster: Cluster | None = None) -> tf.distribute.Strategy:
  """Chooses devices: all GPUs of this host, or the CPU; `auto` mirrors only where there are several GPUs.

  `mirrored` without a GPU takes the logical CPU devices. `multi_worker` takes
  those of all processes of the cluster, and waits until they are there.

  Raises:
    ValueError: if the name is unknown.
    ClusterError: if the strategy needs a cluster, and there is none.
  """
  if name not in get_args(StrategyName):
    raise ValueError(f'strategy is {name!r}; it must be one of {", ".join(get_args(StrategyName))}')
  if name == 'multi_worker':
    return _multi_worker(cluster)
  gpus = [device.name for device in tf.config.list_logical_devices('GPU')]
  devices = gpus or [device.name for device in tf.config.list_logical_devices('CPU')]
  if name == 'mirrored' or (name == 'auto' and len(gpus) > 1):
    return _mirrored(tuple(devices))
  return tf.distribute.OneDeviceStrategy(devices[0])


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
  """One for each process: another would number its sums from the start, where TensorFlow knows those of the first."""
  return tf.distribute.MirroredStrategy(devices)


def _multi_worker(cluster: Cluster | None) -> tf.distribute.Strategy:
  if cluster is None:
    raise ClusterError('strategy is multi_worker, and there are no workers; expected a cluster')
  resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    tf.train.ClusterSpec({'worker': list(cluster.workers)}), task_type='worker', task_id=cluster.index, rpc_layer='grpc'
  )
  return tf.distribute.MultiWorkerMirroredStrategy(resolver)


def distribute(strategy: tf.distribute.Strategy, batches: tf.data.Dataset, processes: int = 1) -> Iterable[Batch]:
  """Gives each device its part of each batch.

  Args:
    strategy: whose devices they are.
    batches: whole ones; of several processes this one's share of them.
    processes: that train together.
  """
  if processes == 1:
    distributed: Iterable[Batch] = strategy.experimental_distribute_dataset(batches)
    return distributed
  share = batches.element_spec[0].shape[0]
  of_device = share * processes // strategy.num_replicas_in_sync
  shared: Iterable[Batch] = strategy.distribute_datasets_from_function(
    lambda _: batches if of_device == share else batches.rebatch(of_device)
  )
  return shared


def example_losses(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
  """Cross-entropy of each example, natural logarithm: float32 [N].

  Of what the last layer of a network gives Keras knows the logits, and takes
  them: the logarithm of a clipped probability has no gradient, and a network
  that is certain of the wrong class would stay so.

  Args:
    outputs: [N, 1], the probability of the second of two classes, or [N, K].
    targets: float32 [N, K], what the network is to say; rows sum to 1.
  """
  if outputs.shape[1] == 1:
    return keras.ops.binary_crossentropy(targets[:, 1:], outputs)[:, 0]
  return keras.ops.categorical_crossentropy(targets, outputs)


@dataclass(frozen=True, slots=True, eq=False)
class Learning:
  """What a training step changes, and how.

  Attributes:
    network: as `build_network` makes it.
    optimizer: built for the variables.
    variables: of the network; the others stay.
    class_weights: of each class in the loss: float32 [K].
    clip_norm: longest gradient, over all variables and devices; 0 does not clip.
  """

  network: keras.Model
  optimizer: keras.optimizers.Optimizer
  variables: Sequence[keras.Variable]
  class_weights: NDArray[np.float32]
  clip_norm: float = 0.0


def make_train_step(strategy: tf.distribute.Strategy, learning: Learning, global_batch: int) -> TrainStep:
  """Compiles the step.

  Args:
    strategy: in whose scope network and optimizer were made.
    learning: what is changed.
    global_batch: examples in a batch, over all devices.

  Returns:
    A function that takes one distributed batch and returns the loss (a
    scalar, over all devices), the outputs and their targets.
  """
  weights = tf.constant(learning.class_weights)

  def on_device(images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
      outputs = learning.network(images, training=True)
      losses = example_losses(outputs, targets) * tf.linalg.matvec(targets, weights)
      loss = tf.reduce_sum(losses) / global_batch
      scaled = learning.optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, [variable.value for variable in learning.variables])
    clipped = _clipped(gradients, learning.optimizer.scale_loss(tf.constant(learning.clip_norm)))
    learning.optimizer.apply(clipped if learning.clip_norm else gradients, learning.variables)  # adds over the devices
    return loss, outputs, targets

  @tf.function
  def step(images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    losses, outputs, seen = strategy.run(on_device, args=(images, targets))
    return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None), outputs, seen

  return step


def _clipped(gradients: list[tf.Tensor], longest: tf.Tensor) -> list[tf.Tensor]:
  """Clips the sum over all devices, and leaves each device its share: the optimizer adds the shares up again."""
  replicas = tf.distribute.get_replica_context()
  total = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
  clipped, _ = tf.clip_by_global_norm(total, longest)
  return [gradient / replicas.num_replicas_in_sync for gradient in clipped]


def collect(strategy: tf.distribute.Strategy, values: tf.Tensor) -> NDArray[np.generic]:
  """What the devices of this host hold, one after the other."""
  parts: list[NDArray[np.generic]] = [part.numpy() for part in strategy.experimental_local_results(values)]
  return np.concatenate(parts)
