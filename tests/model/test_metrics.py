import json
from typing import Any

import numpy as np
import pytest

from model.metrics import Scored, compute_metrics, mean_auc, youden_threshold


def _binary(truth: list[int], scores: list[float], threshold: float = 0.5) -> Scored:
  positive = np.array(scores)
  return Scored(
    ('n', 'p'), np.array(truth, int), np.stack([1 - positive, positive], axis=1).reshape(-1, 2), 1, threshold
  )


def test_two_classes_by_hand() -> None:
  metrics = compute_metrics(_binary([0, 0, 0, 1, 1], [0.1, 0.2, 0.7, 0.6, 0.4]))
  assert metrics['confusion_matrix'] == [[2, 1], [1, 1]]
  assert metrics['accuracy'] == 3 / 5
  expected = {'support': 2, 'precision': 0.5, 'recall': 0.5, 'specificity': 2 / 3, 'f1': 0.5, 'roc_auc': 4 / 6}
  assert {name: metrics['summary'][name] for name in expected} == pytest.approx(expected)
  assert metrics['summary']['average_precision'] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_positive_class_may_be_the_first() -> None:
  scored = Scored(('ill', 'normal'), np.array([0, 1]), np.array([[0.3, 0.7], [0.1, 0.9]]), 0, 0.2)
  assert scored.predicted.tolist() == [0, 1]
  assert compute_metrics(scored)['summary']['recall'] == 1


def test_three_classes_are_averaged_one_against_the_rest() -> None:
  scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
  metrics = compute_metrics(Scored(('a', 'b', 'c'), np.array([0, 1, 2, 1]), scores, None, None))
  assert metrics['confusion_matrix'] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
  assert metrics['summary']['recall'] == pytest.approx((1 + 0.5 + 1) / 3)
  assert metrics['summary']['precision'] == pytest.approx((0.5 + 1 + 1) / 3)
  assert metrics['positive_label'] is None


@pytest.mark.parametrize('truth', [[0, 0], [1, 1], []])
def test_undefined_figures_are_none_and_never_nan(truth: list[int]) -> None:
  metrics: dict[str, Any] = compute_metrics(_binary(truth, [0.2] * len(truth)))
  assert metrics['summary']['roc_auc'] is None
  json.dumps(metrics, allow_nan=False)


def test_youden_lies_between_the_two_scores_that_it_separates() -> None:
  truth = np.array([False, False, True, True, False])
  assert youden_threshold(truth, np.array([0.1, 0.3, 0.6, 0.9, 0.7])) == pytest.approx((0.3 + 0.6) / 2)
  assert youden_threshold(np.array([True, True]), np.array([0.1, 0.2])) == 0.5


def test_mean_auc_leaves_out_classes_without_images() -> None:
  scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
  assert mean_auc(np.array([0, 1, 0]), scores) == 1
  assert mean_auc(np.array([0, 0, 0]), scores) is None
