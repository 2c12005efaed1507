"""Members that differ in network, grey levels and calibration, as one bundle, against a mean that is taken by hand."""

import dataclasses
import pathlib
import shutil
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from model.bundle import Bundle, BundleError, decision_facts, load_bundle, model_digest, to_json
from model.calibration import from_facts
from model.dataset import Dataset, DatasetError, open_dataset
from model.drift import read_training
from model.ensemble import open_members, write_mean
from model.evaluation import evaluate
from model.export import BundleOptions, write_bundle
from model.input_data import InputPipeline, read_examples
from model.intended_use import NOT_OF_ALL
from model.predictions import make_scorer, predict
from model.thresholds import parse_rule
from model.training import Trained
from tests.model.datasets import draw_items, encode, write_dataset
from tests.model.test_input_data import OPTIONS
from transforms.preprocess import PreprocessSpec

LABELS = ['NORMAL', 'PNEUMONIA']
RULE = parse_rule('sensitivity>=0.9')


@pytest.fixture(scope='module')
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
  """The same images, but fed to the network as 0 to 1; of the validation images every fifth has the other label."""
  items = draw_items({'train': 96, 'val': 32, 'test': 20}, LABELS)
  for number, item in enumerate(items):
    if item.split == 'val' and number % 5 == 0:
      items[number] = dataclasses.replace(item, label=LABELS[item.label == LABELS[0]])
  return open_dataset(write_dataset(tmp_path_factory.mktemp('data') / 'noisy', items, scaling='unit'))


@pytest.fixture(scope='module')
def other(trained: Trained, noisy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
  """Another network: of half the weights, with other grey levels and another calibration."""
  network = keras.models.clone_model(trained.network)
  network.set_weights([weights / 2 for weights in trained.network.get_weights()])
  batches = InputPipeline(noisy, OPTIONS).evaluation_batches('val')
  halved = dataclasses.replace(trained, network=network, validation=predict(make_scorer(network), batches))
  options = BundleOptions('halved', calibration='isotonic', threshold_on='plain')
  return write_bundle(halved, noisy, tmp_path_factory.mktemp('models') / 'other', options)


@pytest.fixture(scope='module')
def mean(bundle: Bundle, other: Bundle, noisy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
  options = BundleOptions('both', calibration='temperature', threshold_rule=RULE, threshold_on='plain')
  ensemble = open_members([bundle.path, other.path], noisy)
  return write_mean(ensemble, tmp_path_factory.mktemp('models') / 'mean', options)


def pixels_of(dataset: Dataset, split: Any = 'val') -> NDArray[np.uint8]:
  rows = read_examples(dataset, split).as_numpy_iterator()
  return np.stack([np.frombuffer(row['image'], np.uint8).reshape(dataset.spec.shape) for row in rows])


def saved_scores(bundle: Bundle, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
  saved = tf.saved_model.load(str(bundle.path / 'saved_model'))
  scores: NDArray[np.float32] = saved.signatures['pixels'](pixels=tf.constant(pixels))['scores'].numpy()
  return scores


def test_it_scores_the_calibrated_mean_of_its_members(
  mean: Bundle, bundle: Bundle, other: Bundle, noisy: Dataset
) -> None:
  pixels = pixels_of(noisy, 'test')
  members = [saved_scores(member, pixels) for member in (bundle, other)]
  assert np.abs(members[0] - members[1]).max() > 0.1
  calibration = from_facts(mean.calibration)
  assert calibration.method == 'temperature'
  assert calibration.temperature > 1
  np.testing.assert_allclose(saved_scores(mean, pixels), calibration.apply(np.mean(members, axis=0)), atol=1e-6)


def test_all_its_signatures_give_the_same_scores(mean: Bundle) -> None:
  items = draw_items({'test': 4}, LABELS, seed=9)
  saved = tf.saved_model.load(str(mean.path / 'saved_model')).signatures
  expected = saved_scores(mean, np.stack([item.pixels for item in items]))
  examples = saved['examples'](examples=tf.constant([encode(item) for item in items]))['scores']
  np.testing.assert_allclose(examples, expected, atol=1e-6)
  pngs = tf.constant([tf.io.encode_png(item.pixels).numpy() for item in items])
  np.testing.assert_allclose(saved['raw_images'](raw_images=pngs)['scores'], expected, atol=1e-6)


def test_calibration_and_threshold_are_chosen_on_the_validation_split(mean: Bundle, noisy: Dataset) -> None:
  scores = saved_scores(mean, pixels_of(noisy))[:, 1]
  sick = np.array([row['label'] == b'PNEUMONIA' for row in read_examples(noisy, 'val').as_numpy_iterator()])
  assert mean.threshold is not None
  found = np.count_nonzero(scores[sick] >= mean.threshold)
  assert found / sick.sum() >= 0.9 > (found - 1) / sick.sum()
  assert mean.recipe['threshold_rule'] == {'kind': 'sensitivity', 'value': 0.9}
  again = evaluate(mean.path, noisy.path, 'val').metrics
  assert again['confusion_matrix'] == mean.metrics['confusion_matrix']


def test_it_says_what_it_is_made_of(mean: Bundle, bundle: Bundle, other: Bundle, dataset: Dataset) -> None:
  mean.verify()
  assert (mean.name, mean.labels, mean.positive_label) == ('both', tuple(LABELS), 'PNEUMONIA')
  facts = mean.recipe['members']
  assert [one['model_digest'] for one in facts] == [bundle.model_digest, other.model_digest]
  assert [one['threshold'] for one in facts] == [bundle.threshold, other.threshold]
  assert facts[0]['recipe'] == bundle.recipe
  assert (mean.recipe['method'], mean.recipe['tuned_on']) == ('mean', dataset.digest)
  assert mean.recipe['unseen_by_members'] is True
  assert mean.intended_use.terms['modality'] == {'DX': 96}
  card = (mean.path / 'model_card.md').read_text()
  assert f'quadrants {bundle.version}' in card
  assert f'halved {other.version}' in card


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def test_its_members_can_be_got_at(mean: Bundle, bundle: Bundle, other: Bundle) -> None:
  seen = set()
  for number, member in enumerate((bundle, other), 1):
    kept = mean.path / 'members' / f'{number:02d}'
    assert load_bundle(kept).model_digest == member.model_digest
    assert contents(kept / 'transform_graph') == contents(member.path / 'transform_graph')
    found = keras.models.load_model(kept / 'model.keras').get_weights()
    expected = keras.models.load_model(member.path / 'model.keras').get_weights()
    assert all(np.array_equal(one, two) for one, two in zip(found, expected, strict=True))
    seen.add((float(np.abs(found[0]).mean()), *contents(kept / 'transform_graph').values()))
  assert len(seen) == 2, 'the members differ: one could not stand for the other'


def test_nights_can_be_compared_with_its_scores(mean: Bundle) -> None:
  training = read_training(mean.path / 'training_statistics.json')
  assert training is not None
  assert training.scores['all']['images'] == 32


def test_no_file_names_a_path_of_the_machine(mean: Bundle, bundle: Bundle, dataset: Dataset) -> None:
  places = [str(path).encode() for path in (dataset.path, bundle.path.parent, mean.path.parent, pathlib.Path.cwd())]
  files = [path for path in mean.path.rglob('*') if path.is_file()]
  assert len(files) > 20
  assert not [path.name for path in files for place in places if place in path.read_bytes()]


def test_without_a_dataset_it_is_the_plain_mean(
  bundle: Bundle, other: Bundle, dataset: Dataset, tmp_path: pathlib.Path
) -> None:
  use = dataclasses.replace(other.intended_use, images=90, terms={'modality': {'CR': 20, 'DX': 70}})
  elsewhere = rewritten(other, tmp_path / 'elsewhere', intended_use=use)
  found = write_mean(open_members([bundle.path, elsewhere]), tmp_path / 'mean', BundleOptions('both'))
  assert found.intended_use.terms['modality'] == {'DX': 70, NOT_OF_ALL: 20}, 'what one of them has not seen is outside'
  pixels = pixels_of(dataset)
  expected = np.mean([saved_scores(member, pixels) for member in (bundle, other)], axis=0)
  np.testing.assert_allclose(saved_scores(found, pixels), expected, atol=1e-6)
  assert bundle.threshold is not None
  assert other.threshold is not None
  assert found.threshold == pytest.approx((bundle.threshold + other.threshold) / 2)
  assert (found.metrics, found.recipe['threshold_rule'], found.recipe['tuned_on']) == ({}, None, None)
  assert read_training(found.path / 'training_statistics.json') is None
  assert 'was not measured' in (found.path / 'model_card.md').read_text()
  assert found.dataset_digest == dataset.digest


def test_an_ensemble_can_be_a_member(mean: Bundle, bundle: Bundle, dataset: Dataset, tmp_path: pathlib.Path) -> None:
  nested = write_mean(open_members([mean.path, bundle.path]), tmp_path / 'nested', BundleOptions('nested'))
  pixels = pixels_of(dataset)
  expected = np.mean([saved_scores(member, pixels) for member in (mean, bundle)], axis=0)
  np.testing.assert_allclose(saved_scores(nested, pixels), expected, atol=1e-6)
  assert (nested.path / 'members/01/members/02/model.keras').is_file()


def test_what_members_were_trained_on_is_told_apart(
  trained: Trained, bundle: Bundle, dataset: Dataset, tmp_path: pathlib.Path
) -> None:
  elsewhere = dataclasses.replace(dataset, digest='e' * 64, pseudonym_key_fingerprint='0' * 16)
  foreign = write_bundle(trained, elsewhere, tmp_path / 'foreign', BundleOptions('foreign', calibration='temperature'))
  found = write_mean(open_members([bundle.path, foreign.path], dataset), tmp_path / 'mean', BundleOptions('both'))
  assert found.recipe['unseen_by_members'] is False
  assert found.dataset_digest not in (dataset.digest, elsewhere.digest)
  assert found.pseudonym_key_fingerprint is None
  assert [one['dataset_digest'] for one in found.recipe['members']] == [dataset.digest, elsewhere.digest]


@pytest.mark.parametrize('times', [1, 2])
def test_a_member_alone_is_no_ensemble(bundle: Bundle, times: int) -> None:
  with pytest.raises(BundleError, match=f'found {times} bundles of 1 different models, expected two or more'):
    open_members([bundle.path] * times)


def rewritten(bundle: Bundle, path: pathlib.Path, **changes: Any) -> pathlib.Path:
  """A bundle of the same files that says something else."""
  shutil.copytree(bundle.path, path)
  said = dataclasses.replace(bundle, name='odd', **changes)
  said = dataclasses.replace(said, model_digest=model_digest(said.files, decision_facts(said)))
  (path / 'bundle.json').write_text(to_json(said))
  return path


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'labels': ('HEALTHY', 'PNEUMONIA')}, r"labels of quadrants-\w+: \('NORMAL', 'PNEUMONIA'\), of odd-\w+: \('HEA"),
    ({'positive_label': 'NORMAL'}, r'the positive label of quadrants-\w+: PNEUMONIA, of odd-\w+: NORMAL; members'),
    (
      {'spec': PreprocessSpec(48)},
      r'the preprocessing of quadrants-\w+: .*32.*, of odd-\w+: .*48.*; members',
    ),
  ],
)
def test_members_that_do_not_agree_are_refused(
  bundle: Bundle, tmp_path: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
  odd = rewritten(bundle, tmp_path / 'odd', **changes)
  with pytest.raises(BundleError, match=message):
    open_members([bundle.path, odd])


def test_a_dataset_of_other_labels_is_refused(bundle: Bundle, other: Bundle, dataset: Dataset) -> None:
  changed = dataclasses.replace(dataset, labels=('HEALTHY', 'SICK'))
  with pytest.raises(DatasetError, match='the dataset has 2 labels, quadrants 2, and they are not the same'):
    open_members([bundle.path, other.path], changed)


def test_images_of_one_class_decide_nothing(bundle: Bundle, other: Bundle, tmp_path: pathlib.Path) -> None:
  items = [item for item in draw_items({'train': 8, 'val': 8}, LABELS) if (item.split, item.label) != ('val', 'NORMAL')]
  one_class = open_dataset(write_dataset(tmp_path / 'dataset', items))
  with pytest.raises(DatasetError, match='labelled images of one class, and calibration and threshold need two'):
    write_mean(open_members([bundle.path, other.path], one_class), tmp_path / 'mean', BundleOptions('mean'))
