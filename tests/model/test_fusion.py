"""A head over the embeddings of two networks, against the same arithmetic on embeddings that Keras gives."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from model.bundle import Bundle, BundleError
from model.calibration import from_facts
from model.dataset import Dataset, DatasetError
from model.ensemble import Ensemble, open_members, write_mean
from model.export import BundleOptions, write_bundle
from model.fusion import FusionOptions, fit_head, write_fusion
from model.input_data import InputPipeline
from model.training import Trained
from tests.model.test_ensemble import pixels_of, saved_scores
from tests.model.test_input_data import OPTIONS

CLASSES = [2, 3]


@pytest.fixture(scope='module')
def ensemble(trained: Trained, bundle: Bundle, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
  """With a second network, of half the weights."""
  network = keras.models.clone_model(trained.network)
  network.set_weights([weights / 2 for weights in trained.network.get_weights()])
  folder = tmp_path_factory.mktemp('models') / 'halved'
  halved = write_bundle(dataclasses.replace(trained, network=network), dataset, folder, BundleOptions('halved'))
  return open_members([bundle.path, halved.path], dataset)


@pytest.fixture(scope='module')
def fused(ensemble: Ensemble, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
  options = BundleOptions('fused', calibration='temperature')
  return write_fusion(ensemble, tmp_path_factory.mktemp('models') / 'fused', options, FusionOptions(0.2))


def drawn(classes: int, count: int = 300) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
  """Features of which the first two tell the classes apart, the third is constant, and the fourth is large."""
  random = np.random.default_rng(classes)
  truth = np.arange(count) % classes
  features = random.normal(size=(count, 4)) + np.stack([truth, truth == 1, 0 * truth, 0 * truth], axis=1)
  return (features * [1, 1, 0, 1e3] + [0, 0, 5, 7e3]).astype(np.float32), truth


def loss(kernel: NDArray[np.float64], bias: NDArray[np.float64], decay: float, classes: int) -> float:
  """Of standardised features: mean cross-entropy and half the decay times the squared weights."""
  features, truth = drawn(classes)
  deviation = np.where(features.std(axis=0) > 0, features.std(axis=0), 1)
  logits = ((features - features.mean(axis=0)) / deviation) @ kernel + bias
  if classes == 2:
    logits = np.concatenate([0 * logits, logits], axis=1)
  likelihoods = np.exp(logits - logits.max(axis=1, keepdims=True))
  chosen = likelihoods[np.arange(len(truth)), truth] / likelihoods.sum(axis=1)
  return float(-np.log(chosen).mean() + decay / 2 * np.sum(kernel**2))


@pytest.mark.parametrize('classes', CLASSES)
@pytest.mark.parametrize('decay', [0.01, 1.0])
def test_no_other_head_has_a_lower_loss(classes: int, decay: float) -> None:
  features, truth = drawn(classes)
  kernel, bias = fit_head(features, truth, classes, decay).get_weights()
  deviation = features.std(axis=0)[:, np.newaxis]
  standard = np.where(deviation > 0, deviation, 1) * kernel
  shift = bias + features.mean(axis=0) @ kernel
  least = loss(standard, shift, decay, classes)
  random = np.random.default_rng(0)
  for _ in range(50):
    moved = standard + random.normal(size=standard.shape) * 0.03
    assert loss(moved, shift + random.normal(size=shift.shape) * 0.03, decay, classes) > least - 1e-5


@pytest.mark.parametrize('classes', CLASSES)
def test_a_head_gives_probabilities(classes: int) -> None:
  features, truth = drawn(classes)
  scores = fit_head(features, truth, classes, 0.01)(features).numpy()
  if classes == 2:
    scores = np.concatenate([1 - scores, scores], axis=1)
  np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
  assert np.mean(scores.argmax(axis=1) == truth) > 0.6


def test_the_saved_model_is_the_head_over_both_embeddings(fused: Bundle, ensemble: Ensemble, dataset: Dataset) -> None:
  images = np.concatenate([batch.numpy() for batch, _ in InputPipeline(dataset, OPTIONS).evaluation_batches('val')])
  parts = []
  for bundle in ensemble.bundles:
    network = keras.models.load_model(bundle.path / 'model.keras')
    parts.append(keras.Model(network.input, network.get_layer('features').output)(images).numpy())
  second = keras.models.load_model(fused.path / 'model.keras')(np.concatenate(parts, axis=1)).numpy()
  expected = from_facts(fused.calibration).apply(np.concatenate([1 - second, second], axis=1))
  np.testing.assert_allclose(saved_scores(fused, pixels_of(dataset)), expected, atol=1e-5)
  assert fused.metrics['summary']['roc_auc'] > 0.95


def test_it_says_how_it_was_made(fused: Bundle) -> None:
  fused.verify()
  facts = {name: fused.recipe[name] for name in ('method', 'weight_decay', 'features')}
  assert facts == {'method': 'fusion', 'weight_decay': 0.2, 'features': [64, 64]}
  assert [one['name'] for one in fused.recipe['members']] == ['quadrants', 'halved']


def test_it_is_the_same_every_time(fused: Bundle, ensemble: Ensemble, dataset: Dataset, tmp_path: pathlib.Path) -> None:
  again = write_fusion(
    ensemble, tmp_path / 'again', BundleOptions('fused', calibration='temperature'), FusionOptions(0.2)
  )
  np.testing.assert_array_equal(saved_scores(again, pixels_of(dataset)), saved_scores(fused, pixels_of(dataset)))
  assert again.threshold == fused.threshold


def test_without_a_dataset_there_is_nothing_to_learn(ensemble: Ensemble, tmp_path: pathlib.Path) -> None:
  with pytest.raises(DatasetError, match='no dataset to train it on; give --dataset'):
    write_fusion(dataclasses.replace(ensemble, dataset=None), tmp_path / 'fused', BundleOptions('fused'))


def test_an_ensemble_is_no_member_of_a_fusion(
  ensemble: Ensemble, bundle: Bundle, dataset: Dataset, tmp_path: pathlib.Path
) -> None:
  mean = write_mean(ensemble, tmp_path / 'mean', BundleOptions('mean'))
  with pytest.raises(BundleError, match=r'mean-\w+ is an ensemble, and fusion needs the one network of each'):
    write_fusion(open_members([mean.path, bundle.path], dataset), tmp_path / 'fused', BundleOptions('fused'))


def test_a_network_without_an_embedding_is_refused(
  trained: Trained, ensemble: Ensemble, bundle: Bundle, dataset: Dataset, tmp_path: pathlib.Path
) -> None:
  flat = keras.Sequential([keras.Input(dataset.spec.shape), keras.layers.Flatten(), keras.layers.Dense(1, 'sigmoid')])
  bare = write_bundle(dataclasses.replace(trained, network=flat), dataset, tmp_path / 'bare', BundleOptions('bare'))
  assert isinstance(saved_scores(bare, pixels_of(dataset)), np.ndarray)
  with pytest.raises(BundleError, match=r"the network of bare-\w+ has no layer 'features'"):
    write_fusion(open_members([bundle.path, bare.path], dataset), tmp_path / 'fused', BundleOptions('fused'))
