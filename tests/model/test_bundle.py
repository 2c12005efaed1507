import json
import pathlib
import shutil
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from model.bundle import SAVED_MODEL, Bundle, BundleError, load_bundle
from model.calibration import CalibrationMethod, from_facts
from model.dataset import Dataset
from model.decision import choose_positive
from model.drift import read_training
from model.export import BundleOptions, write_bundle
from model.input_data import read_examples
from model.signatures import ServingModel
from model.thresholds import parse_rule
from model.training import Trained
from transforms.statistics import score_bin


@pytest.fixture
def copied(bundle: Bundle, tmp_path: pathlib.Path) -> pathlib.Path:
  return pathlib.Path(shutil.copytree(bundle.path, tmp_path / 'copy'))


def _edit(path: pathlib.Path, **changes: Any) -> None:
  values = json.loads((path / 'bundle.json').read_text())
  (path / 'bundle.json').write_text(json.dumps(values | changes))


def test_a_bundle_holds_what_a_reader_needs(bundle: Bundle, dataset: Dataset) -> None:
  bundle.verify()
  assert bundle.labels == ('NORMAL', 'PNEUMONIA')
  assert bundle.positive_label == 'PNEUMONIA'
  assert bundle.version == bundle.model_digest[:12]
  assert bundle.dataset_digest == dataset.digest
  assert bundle.spec == dataset.spec
  assert (bundle.intended_use.images, bundle.intended_use.terms['modality']) == (96, {'DX': 96})
  assert bundle.metrics['summary']['roc_auc'] > 0.95
  assert set(bundle.files) >= {
    'model.keras',
    'history.csv',
    'history.png',
    'model_card.md',
    'evaluation/validation.json',
  }


def test_no_file_names_a_path_of_the_machine(bundle: Bundle, dataset: Dataset) -> None:
  places = [str(dataset.path).encode(), str(bundle.path.parent).encode(), str(pathlib.Path.cwd()).encode()]
  files = [path for path in bundle.path.rglob('*') if path.is_file()]
  assert len(files) > 10
  assert not [path.name for path in files for place in places if place in path.read_bytes()]


def test_nothing_else_is_left_beside_it(bundle: Bundle) -> None:
  assert [path.name for path in bundle.path.parent.iterdir()] == ['bundle']


def test_training_statistics_are_those_of_the_images(bundle: Bundle, dataset: Dataset) -> None:
  file = bundle.path / 'training_statistics.json'
  training = read_training(file)
  assert training is not None
  inputs = training.inputs['all']
  assert (inputs['images'], inputs['features']['modality']) == (96, {'DX': 96})
  pixels = [np.frombuffer(row['image'], np.uint8) for row in read_examples(dataset, 'train').as_numpy_iterator()]
  counts, _ = np.histogram(np.concatenate(pixels), 32, (0, 256))
  assert inputs['features']['intensity'] == {str(position): count for position, count in enumerate(counts) if count}
  assert training.key_fingerprint == dataset.pseudonym_key_fingerprint
  assert json.loads(file.read_text())['counts'] == dataset.counts


def test_training_statistics_hold_the_scores_on_images_not_learnt(bundle: Bundle, trained: Trained) -> None:
  training = read_training(bundle.path / 'training_statistics.json')
  assert training is not None
  decided = [bundle.decide(scores)[1] for scores in trained.validation.scores]
  assert training.scores['all']['images'] == 32
  assert training.scores['all']['features'] == {'score': Counter(score_bin(one)['score'] for one in decided)}


def test_the_decision_follows_the_threshold(bundle: Bundle) -> None:
  threshold = bundle.threshold
  assert threshold is not None
  for probability, label in ((threshold + 1e-3, 'PNEUMONIA'), (threshold - 1e-3, 'NORMAL')):
    predicted, reported = bundle.decide(np.array([1 - probability, probability], np.float32))
    assert predicted == label
    assert reported == pytest.approx(probability, abs=1e-6)


@pytest.mark.parametrize(
  'name', ['saved_model/saved_model.pb', 'model_card.md', 'transform_graph/transform_fn/assets/labels']
)
def test_a_file_that_was_changed_is_named(copied: pathlib.Path, name: str) -> None:
  with (copied / name).open('ab') as file:
    file.write(b'x')
  with pytest.raises(BundleError, match=name):
    load_bundle(copied).verify()


def test_missing_and_added_files_are_named(copied: pathlib.Path) -> None:
  (copied / 'history.csv').rename(copied / 'other.csv')
  with pytest.raises(BundleError, match=r'history\.csv .* has the digest none'):
    load_bundle(copied).verify()


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'threshold': 0.01}, 'states the model digest'),
    ({'labels': ['PNEUMONIA', 'NORMAL']}, 'states the model digest'),
    ({'preprocess_digest': '0' * 64}, 'says 000000000000'),
    ({'format_version': 2}, 'format version 2, expected 1'),
  ],
)
def test_an_edited_bundle_is_refused(copied: pathlib.Path, changes: dict[str, Any], message: str) -> None:
  _edit(copied, **changes)
  with pytest.raises(BundleError, match=message):
    load_bundle(copied)


def test_an_unfinished_bundle_is_refused(tmp_path: pathlib.Path) -> None:
  with pytest.raises(BundleError, match='which train writes last'):
    load_bundle(tmp_path)


def test_a_bundle_is_replaced_only_if_wished(
  bundle: Bundle, trained: Trained, dataset: Dataset, tmp_path: pathlib.Path
) -> None:
  target = tmp_path / 'bundle'
  target.mkdir()
  (target / 'old').touch()
  with pytest.raises(BundleError, match='exists already'):
    write_bundle(trained, dataset, target, BundleOptions('x'))
  again = write_bundle(trained, dataset, target, BundleOptions('x', version='7', overwrite=True))
  again.verify()
  assert again.version == '7'
  assert [path.name for path in tmp_path.iterdir()] == ['bundle']
  assert again.threshold == bundle.threshold


@pytest.mark.parametrize(
  ('labels', 'wanted', 'positive'),
  [
    (['NORMAL', 'PNEUMONIA'], None, 1),
    (['Cancer', 'No Finding'], None, 0),
    (['0', '1'], None, 1),
    (['cat', 'dog'], None, 1),
    (['cat', 'dog'], 'cat', 0),
    (['a', 'b', 'c'], None, None),
  ],
)
def test_the_positive_class(labels: list[str], wanted: str | None, positive: int | None) -> None:
  assert choose_positive(labels, wanted) == positive


@pytest.mark.parametrize('labels', [['a', 'b'], ['a', 'b', 'c']])
def test_a_positive_label_that_is_none_is_refused(labels: list[str]) -> None:
  with pytest.raises(ValueError, match=f"positive_label is 'x', the dataset has {len(labels)} labels"):
    choose_positive(labels, 'x')


def test_reading_a_bundle_does_not_load_tensorflow(bundle: Bundle) -> None:
  code = 'import sys; from model.bundle import load_bundle; load_bundle(sys.argv[1]).verify()'
  code += "; sys.exit(any(name in sys.modules for name in ('tensorflow', 'apache_beam', 'sklearn')))"
  subprocess.run([sys.executable, '-c', code, str(bundle.path)], check=True)


@pytest.mark.parametrize('method', ['temperature', 'isotonic'])
def test_a_bundle_scores_as_it_was_calibrated(
  trained: Trained, dataset: Dataset, tmp_path: pathlib.Path, method: CalibrationMethod
) -> None:
  options = BundleOptions('cnn', calibration=method, threshold_rule=parse_rule('sensitivity>=0.9'))
  bundle = write_bundle(trained, dataset, tmp_path / 'bundle', options)
  calibration = from_facts(bundle.calibration)
  assert calibration.method == method
  images = next(iter(read_examples(dataset, 'val').batch(8)))['image']
  pixels = tf.reshape(tf.io.decode_raw(images, tf.uint8), [-1, *dataset.spec.shape])
  signatures = tf.saved_model.load(str(tmp_path / 'bundle' / SAVED_MODEL)).signatures
  plain = ServingModel(trained.network, dataset.transform_graph, dataset.spec).score_pixels(pixels)['scores']
  found = signatures['pixels'](pixels=pixels)['scores']
  np.testing.assert_allclose(found, calibration.apply(plain.numpy()), atol=1e-5)
  assert bundle.recipe['threshold_rule'] == {'kind': 'sensitivity', 'value': 0.9}
