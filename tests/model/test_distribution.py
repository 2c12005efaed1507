import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.distribution import Learning, example_losses, make_strategy, make_train_step
from model.networks.options import NetworkOptions
from model.networks.registry import build_network

# Logical devices are set before TensorFlow runs, hence in a process of its own.
STEPS = textwrap.dedent("""
  import json, keras, sys, numpy as np, tensorflow as tf
  from model.distribution import Learning, make_strategy, make_train_step
  from model.networks.options import NetworkOptions
  from model.networks.registry import build_network

  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
  random = np.random.default_rng(0)
  images = random.normal(size=(6, 16, 32, 32, 1)).astype(np.float32)
  targets = np.eye(2, dtype=np.float32)[random.integers(0, 2, (6, 16))]

  def losses(name, clip_norm):
    keras.utils.set_random_seed(1)
    strategy = make_strategy(name)
    with strategy.scope():
      network = build_network('cnn', (32, 32, 1), 2, NetworkOptions(dropout=0.0))
      optimizer = keras.optimizers.SGD(0.02)
      optimizer.build(network.trainable_variables)
    weights = np.array([0.7, 1.6], np.float32)
    learning = Learning(network, optimizer, network.trainable_variables, weights, clip_norm)
    step = make_train_step(strategy, learning, 16)
    batches = tf.data.Dataset.from_tensor_slices((images, targets)).unbatch().batch(16, drop_remainder=True)
    result = [float(step(*batch)[0]) for batch in strategy.experimental_distribute_dataset(batches)]
    return strategy.num_replicas_in_sync, result

  print(json.dumps([losses(name, float(sys.argv[1])) for name in ('one_device', 'mirrored')]))
""")


@pytest.mark.parametrize('clip_norm', ['0', '0.5'])
def test_two_devices_take_the_same_steps_as_one(clip_norm: str) -> None:
  command = [sys.executable, '-c', STEPS, clip_norm]
  run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, 'PYTHONPATH': '.'})
  (one, single), (two, mirrored) = json.loads(run.stdout.splitlines()[-1])
  assert (one, two) == (1, 2)
  assert len(single) == 6
  assert np.ptp(single) > 0.01  # it learns: equal losses are not those of a standing network
  np.testing.assert_allclose(single, mirrored, atol=1e-5)


def test_losses_are_cross_entropies() -> None:
  targets = tf.constant([[1.0, 0.0], [0.0, 1.0]])
  binary = example_losses(tf.constant([[0.2], [0.9]]), targets)
  np.testing.assert_allclose(binary, [-np.log(0.8), -np.log(0.9)], rtol=1e-5)
  three = tf.constant([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
  several = example_losses(tf.constant([[0.2, 0.5, 0.3], [0.1, 0.7, 0.2]]), three)
  np.testing.assert_allclose(several, [-np.log(0.2), -(np.log(0.7) + np.log(0.2)) / 2], rtol=1e-5)
  assert keras.backend.backend() == 'tensorflow'


@pytest.mark.parametrize('classes', [2, 3])
def test_a_network_that_is_certain_of_the_wrong_class_learns_better(classes: int) -> None:
  network = build_network('cnn', (32, 32, 1), classes, NetworkOptions(dropout=0.0))
  bias = network.get_layer('head').bias
  bias.assign([300.0, *[0.0] * (bias.shape[0] - 1)])
  optimizer = keras.optimizers.SGD(1.0)
  optimizer.build([bias])
  learning = Learning(network, optimizer, [bias], np.ones(classes, np.float32))
  right = np.eye(classes, dtype=np.float32)[[0 if classes == 2 else 2] * 4]
  loss, _, _ = make_train_step(make_strategy('one_device'), learning, 4)(tf.zeros((4, 32, 32, 1)), tf.constant(right))
  assert float(loss) == pytest.approx(300, rel=0.01)
  assert float(bias[0]) == pytest.approx(299)


def test_an_unknown_strategy_is_refused() -> None:
  with pytest.raises(ValueError, match="strategy is 'tpu'; it must be one of auto, one_device, mirrored, multi_worker"):
    make_strategy('tpu')  # type: ignore[arg-type]
