import dataclasses
import json
import pathlib
import shutil
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from model.bundle import SAVED_MODEL, Bundle
from model.calibration import CalibrationMethod
from model.dataset import Dataset
from model.decision import ThresholdOn, decide
from model.evaluation import evaluate
from model.export import BundleOptions, write_bundle
from model.model_card import model_card
from model.predictions import Predictions
from model.report.html import render_report
from model.shifted_table import SHIFTED_FILE, Shifted, read_shifted_table
from model.shifted_validation import score_shifted
from model.shifts import VARIANTS, Pixels, set_digest
from model.thresholds import parse_rule
from model.training import Trained

LABELS = ('NORMAL', 'PNEUMONIA')


def two_columns(positive: list[float]) -> NDArray[np.float32]:
  scores = np.array(positive, np.float32)
  return np.stack([1 - scores, scores], axis=1)


# Under shift all scores of the four images rise: the threshold of the plain ones lets false alarms through.
PLAIN = Predictions(np.array([0, 0, 1, 1]), two_columns([0.02, 0.04, 0.1, 0.9]))
SHIFTED = Shifted(
  np.array([0, 0, 1, 1] * 2),
  two_columns([0.1, 0.3, 0.6, 0.9, 0.2, 0.4, 0.7, 0.95]),
  VARIANTS[:8],
  np.array([0, 1, 2, 3] * 2),
)


@pytest.mark.parametrize(
  ('on', 'rule', 'low', 'high'),
  [
    ('plain', 'youden', 0.04, 0.1),
    ('shifted', 'youden', 0.4, 0.6),
    ('plain', 'sensitivity>=1', 0.04, 0.1),
    ('shifted', 'sensitivity>=1', 0.4, 0.6),
    ('shifted', 'specificity>=1', 0.4, 0.601),
  ],
)
def test_the_threshold_is_chosen_on_what_was_asked_for(on: ThresholdOn, rule: str, low: float, high: float) -> None:
  options = BundleOptions('x', threshold_rule=parse_rule(rule), threshold_on=on)
  decision = decide(PLAIN, SHIFTED, LABELS, options)
  assert decision.scored.threshold is not None
  assert low < decision.scored.threshold <= high
  np.testing.assert_array_equal(decision.scored.scores, PLAIN.scores)
  np.testing.assert_array_equal(decision.scored.truth, PLAIN.truth)


@pytest.mark.parametrize('method', ['temperature', 'isotonic'])
def test_the_calibration_is_fitted_on_the_same(method: CalibrationMethod) -> None:
  plain, shifted = (
    decide(PLAIN, SHIFTED, LABELS, BundleOptions('x', calibration=method, threshold_on=on))
    for on in get_args(ThresholdOn)
  )
  assert plain.calibration != shifted.calibration
  for decision in (plain, shifted):
    np.testing.assert_array_equal(decision.scored.scores, decision.calibration.apply(PLAIN.scores))
    np.testing.assert_array_equal(decision.shifted.scores, decision.calibration.apply(SHIFTED.scores))


def test_more_than_two_classes_have_no_threshold() -> None:
  plain = Predictions(np.array([0, 1, 2]), np.eye(3, dtype=np.float32))
  shifted = Shifted(plain.truth, plain.scores, VARIANTS[:3], np.arange(3))
  assert decide(plain, shifted, ('a', 'b', 'c'), BundleOptions('x')).scored.threshold is None


def test_the_table_of_a_bundle_is_that_of_what_it_answers(bundle: Bundle, dataset: Dataset) -> None:
  """Scored again, through the SavedModel."""
  pixels = tf.saved_model.load(str(bundle.path / SAVED_MODEL)).signatures['pixels']

  def score(images: Pixels) -> NDArray[np.float32]:
    return np.asarray(pixels(pixels=tf.constant(images))['scores'])

  again = score_shifted(score, dataset)
  table = read_shifted_table(bundle.path)
  assert table is not None
  assert table['set_digest'] == set_digest()
  rows = {row['name']: row for row in table['rows']}
  assert (rows['as it is']['count'], rows['pooled']['count'], rows['pooled']['images']) == (32, 160, 32)
  assert bundle.threshold is not None
  predicted = again.scores[:, 1] >= bundle.threshold
  assert rows['pooled']['accuracy'] == pytest.approx(np.mean(predicted == again.truth), abs=0.01)
  jpeg = again.that('shift', 'jpeg')
  assert rows['jpeg']['count'] == len(jpeg.truth)
  assert rows['jpeg']['sensitivity'] == pytest.approx(np.mean(jpeg.scores[jpeg.truth == 1, 1] >= bundle.threshold))
  assert rows['as it is']['roc_auc'] == bundle.metrics['summary']['roc_auc']


@pytest.mark.parametrize('on', ['plain', 'shifted'])
def test_the_recipe_says_what_the_threshold_was_chosen_on(
  trained: Trained, dataset: Dataset, tmp_path: pathlib.Path, on: ThresholdOn
) -> None:
  written = write_bundle(trained, dataset, tmp_path / 'b', BundleOptions('x', threshold_on=on))
  assert written.recipe['threshold_on'] == on
  assert SHIFTED_FILE in written.files


def test_the_card_has_a_line_for_every_row(bundle: Bundle) -> None:
  table = read_shifted_table(bundle.path)
  assert table is not None
  card = (bundle.path / 'model_card.md').read_text()
  lines = [line.split(' | ') for line in card.splitlines() if line.startswith('| ')]
  assert [line[0].removeprefix('| ') for line in lines[2:]] == [row['name'] for row in table['rows']]
  pooled = next(row for row in table['rows'] if row['group'] == 'pooled')
  assert f'| {pooled["name"]} | 160 | {pooled["roc_auc"]:.4f} | ' in card


def test_a_bundle_from_before_has_no_table(bundle: Bundle, dataset: Dataset, tmp_path: pathlib.Path) -> None:
  copied = pathlib.Path(shutil.copytree(bundle.path, tmp_path / 'copy'))
  assert 'Validation under shift' in render_report(evaluate(copied, dataset.path))
  (copied / SHIFTED_FILE).unlink()
  values = json.loads((copied / 'bundle.json').read_text())
  values['files'].pop(SHIFTED_FILE)
  (copied / 'bundle.json').write_text(json.dumps(values))
  assert 'Validation under shift' not in render_report(evaluate(copied, dataset.path))
  assert 'under shift' not in model_card(dataclasses.replace(bundle, path=copied))
