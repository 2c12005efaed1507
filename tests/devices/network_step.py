"""Training steps of every network: `python -m tests.devices.network_step FOLDER DEVICES [INDEX HOST:PORT,…]`.

Devices and clusters are set for a whole process, hence one of its own. Writes a file for each network.
"""

import pathlib
import sys
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.cluster import Cluster, parse_workers
from model.distribution import Learning, distribute, make_train_step
from model.networks.options import NetworkOptions
from model.networks.registry import ARCHITECTURES, build_network
from model.workers import Workers
from tests.model.training_process import make_devices

Array = NDArray[Any]

BATCH: Final = 8
RATE: Final = 0.01
ROUNDING: Final = 1e-7


def smallest_side(architecture: str) -> int:
  """In pixels, of what a network takes."""
  return 75 if architecture == 'inception_v3' else 32


def steps(architecture: str, workers: Workers) -> dict[str, Array]:
  """A step, and the same with images that differ from the first by a rounding: losses, and how all weights move.

  From a head that is not zero, lest the backbone stands still.
  """
  random, side = np.random.default_rng(0), smallest_side(architecture)
  images = random.uniform(size=(BATCH, side, side, 1)).astype(np.float32)
  keras.utils.set_random_seed(1)
  with workers.strategy.scope():
    network = build_network(architecture, (side, side, 1), 2, NetworkOptions(dropout=0.0))
    kernel = network.get_layer('head').kernel
    kernel.assign(random.normal(scale=0.1, size=kernel.shape).astype(np.float32))
    optimizer = keras.optimizers.SGD(RATE)
    optimizer.build(network.trainable_variables)
  learning = Learning(network, optimizer, network.trainable_variables, np.ones(2, np.float32))
  train_step = make_train_step(workers.strategy, learning, BATCH)
  before = [weight.numpy() for weight in network.weights]
  found: dict[str, Array] = {}
  for name, batch in ('as it is', images), ('rounded', images + ROUNDING * random.normal(size=images.shape)):
    loss, *_ = train_step(*next(iter(distribute(workers.strategy, _share(batch, workers), workers.count))))
    moved = [weight.numpy() - old for weight, old in zip(network.weights, before, strict=True)]
    found |= {f'{name}: loss': np.array(float(loss)), f'{name}: moved': np.concatenate([one.ravel() for one in moved])}
    with workers.strategy.scope():
      for weight, old in zip(network.weights, before, strict=True):
        weight.assign(old)
  return found


def _share(images: Array, workers: Workers) -> tf.data.Dataset:
  targets = np.eye(2, dtype=np.float32)[np.arange(BATCH) % 2]
  own = workers.share.of_batch(BATCH)
  examples = tf.data.Dataset.from_tensor_slices((images.astype(np.float32)[own], targets[own]))
  return examples.batch(len(own), drop_remainder=True)


def main(folder: str, devices: str, index: str = '', addresses: str = '') -> None:
  make_devices(int(devices))
  if addresses:
    workers = Workers('multi_worker', Cluster(parse_workers(addresses), int(index)))
  else:
    workers = Workers('mirrored' if int(devices) > 1 else 'one_device')
  for architecture in ARCHITECTURES:
    np.savez(pathlib.Path(folder) / architecture, allow_pickle=False, **steps(architecture, workers))
    keras.backend.clear_session()


if __name__ == '__main__':
  main(*sys.argv[1:])
