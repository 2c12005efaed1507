"""Trainings of which each is a process of its own: killed, repeated, on two devices."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from model.checkpoints import FILE
from model.dataset import Dataset
from tests.model.conftest import dataset, dataset_dir

__all__ = ['dataset', 'dataset_dir']

# Determinism is switched on for a whole process; a training that is killed needs one of its own anyway.
TRAIN = textwrap.dedent("""
  import hashlib, os, pathlib, signal, sys
  from model.dataset import open_dataset
  from model.recipe import Recipe
  from model.training import train
  from model.watching import Unwatched

  class Killer(Unwatched):
    def on_step(self, step, loss):
      if step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

  recipe = Recipe(
    epochs=4, batch_size=16, optimizer='adamw', weight_decay=1e-2, warmup_steps=4, clip_norm=1.0, average=0.9,
    head_steps=3, augment='strong', mixup=0.3, cutmix=0.5, balance='batches', views='mirror', deterministic=True,
    patience=9,
  )
  trained = train(open_dataset(sys.argv[1]), recipe, Killer(), pathlib.Path(sys.argv[2]))
  print(hashlib.sha256(b''.join(weights.tobytes() for weights in trained.network.get_weights())).hexdigest())
  print([(row.epoch, row.step, row.val_auc, row.train_loss) for row in trained.history])
""")


def _train(dataset: Dataset, folder: pathlib.Path, kill_at: int) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, '-c', TRAIN, str(dataset.path), str(folder), str(kill_at)]
  return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, 'PYTHONPATH': '.'})


def test_killed_and_started_again_it_ends_with_the_same_weights(dataset: Dataset, tmp_path: pathlib.Path) -> None:
  whole = _train(dataset, tmp_path / 'whole', 0)
  assert whole.returncode == 0, whole.stderr
  for kill_at in (2, 15, 20):  # before the first state, after two epochs, after three
    assert _train(dataset, tmp_path / 'killed', kill_at).returncode == -signal.SIGKILL
  with np.load(tmp_path / 'killed' / FILE) as saved:
    assert json.loads(saved['facts'].tobytes())['step'] == 18
  assert _train(dataset, tmp_path / 'killed', 0).stdout == whole.stdout


# Determinism is switched on for a whole process and stays on.
TWICE = textwrap.dedent("""
  import hashlib, sys
  from model.dataset import open_dataset
  from model.recipe import Recipe
  from model.training import train

  for seed in (5, 5, 6):
    options = Recipe(epochs=2, batch_size=16, augment='strong', mixup=0.4, seed=seed, deterministic=True)
    network = train(open_dataset(sys.argv[1]), options).network
    print(hashlib.sha256(b''.join(weights.tobytes() for weights in network.get_weights())).hexdigest())
""")


def test_the_same_seed_gives_the_same_weights_bit_for_bit(dataset: Dataset) -> None:
  command = [sys.executable, '-c', TWICE, str(dataset.path)]
  run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, 'PYTHONPATH': '.'})
  first, again, other = run.stdout.split()
  assert first == again != other


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
      optimizer = keras.optimizers.SGD(0.005)  # losses that rise multiply roundings
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
