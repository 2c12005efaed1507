"""Layers that compute in half precision, weights that stay float32."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from model.bundle import SAVED_MODEL
from model.dataset import Dataset
from model.distribution import Learning, make_strategy, make_train_step
from model.export import BundleOptions, write_bundle
from model.input_data import read_examples
from model.networks.options import NetworkOptions
from model.networks.registry import build_network
from model.optimization import make_optimizer
from model.recipe import Precision, Recipe
from model.training import Trained, train
from tests.model.conftest import OPTIONS


@pytest.fixture(scope='module')
def half(dataset: Dataset) -> Trained:
  return train(dataset, dataclasses.replace(OPTIONS, precision='bfloat16', average=0.9))


def test_it_learns(half: Trained) -> None:
  assert half.history[half.best_epoch - 1].val_auc > 0.95
  assert half.history[-1].train_loss < half.history[0].train_loss - 0.1


def test_what_is_kept_and_exported_is_float32(half: Trained, dataset: Dataset, tmp_path: pathlib.Path) -> None:
  assert {layer.compute_dtype for layer in half.network.layers} == {'float32'}
  bundle = write_bundle(half, dataset, tmp_path / 'bundle', BundleOptions('half', calibration='identity'))
  variables = tf.saved_model.load(str(bundle.path / SAVED_MODEL))
  images = [row['image'] for row in read_examples(dataset, 'val').as_numpy_iterator()]
  pixels = np.stack([np.frombuffer(image, np.uint8).reshape(dataset.spec.shape) for image in images])
  scores = variables.signatures['pixels'](pixels=tf.constant(pixels))['scores']
  assert scores.dtype == tf.float32
  np.testing.assert_allclose(scores.numpy(), half.validation.scores, atol=1e-5)


@dataclasses.dataclass
class Stepped:
  """A network before and after one step."""

  loss: float
  moved: NDArray[np.float64]
  scale: float | None


def one_step(precision: Precision, clip_norm: float, scale: float | None = None) -> Stepped:
  keras.utils.set_random_seed(3)
  keras.config.set_dtype_policy('float32' if precision == 'float32' else f'mixed_{precision}')
  network = build_network('cnn', (32, 32, 1), 2, NetworkOptions(dropout=0.0))
  keras.config.set_dtype_policy('float32')
  kernel = network.get_layer('head').kernel
  kernel.assign(np.random.default_rng(1).normal(scale=0.1, size=kernel.shape))
  recipe = Recipe(optimizer='sgd', learning_rate=0.1, schedule='constant', precision=precision)
  variables = network.trainable_variables
  optimizer = make_optimizer(recipe, 1, variables)
  if scale:
    optimizer.dynamic_scale.assign(scale)
  learning = Learning(network, optimizer, variables, np.ones(2, np.float32), clip_norm)
  random = np.random.default_rng(0)
  images, targets = random.normal(size=(8, 32, 32, 1)).astype(np.float32), np.eye(2, dtype=np.float32)[np.arange(8) % 2]
  before = [variable.numpy() for variable in variables]
  loss, *_ = make_train_step(make_strategy('one_device'), learning, 8)(tf.constant(images), tf.constant(targets))
  moved = np.concatenate([(new.numpy() - old).ravel() for new, old in zip(variables, before, strict=True)])
  assert {variable.dtype for variable in variables} == {'float32'}
  return Stepped(float(loss), moved, float(optimizer.dynamic_scale) if precision == 'float16' else None)


@pytest.mark.parametrize('clip_norm', [0.0, 0.1])
@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_a_step_is_that_of_full_precision_but_for_rounding(precision: Precision, clip_norm: float) -> None:
  scale = 1024 if precision == 'float16' else None
  half, full = one_step(precision, clip_norm, scale), one_step('float32', clip_norm)
  assert half.loss == pytest.approx(full.loss, abs=1e-2)
  assert half.loss != full.loss
  similarity = half.moved @ full.moved / np.linalg.norm(half.moved) / np.linalg.norm(full.moved)
  assert similarity > 0.995
  assert np.linalg.norm(half.moved) == pytest.approx(np.linalg.norm(full.moved), rel=0.01)
  assert half.scale == scale


@pytest.mark.parametrize('clip_norm', [0.0, 0.1])
def test_gradients_that_overflow_float16_are_left_out_and_halve_the_scale(clip_norm: float) -> None:
  stepped = one_step('float16', clip_norm, scale=1e30)
  assert np.isfinite(stepped.loss)
  assert not stepped.moved.any()
  assert stepped.scale == pytest.approx(5e29)
