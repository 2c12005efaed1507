import numpy as np
import pytest

from model.intervals import auc_interval
from model.metrics import roc_auc


@pytest.mark.parametrize('area', [0.0, 0.2, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize(('positives', 'negatives'), [(1, 1), (1, 50), (30, 10), (390, 234)])
def test_it_holds_what_was_found_and_stays_in_range(area: float, positives: int, negatives: int) -> None:
  low, high = auc_interval(area, positives, negatives)
  assert 0 <= low <= area <= high <= 1
  assert high - low > 0.004


def test_more_images_make_it_narrower() -> None:
  widths = [high - low for low, high in (auc_interval(0.95, count, count) for count in (10, 40, 160))]
  assert widths[0] > 1.7 * widths[1] > 2.8 * widths[2]


def test_the_labels_may_change_sides() -> None:
  low, high = auc_interval(0.8, 20, 60)
  assert auc_interval(0.2, 60, 20) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(('shift', 'area'), [(1.0, 0.7602), (2.5, 0.9615)])
def test_it_covers_the_truth_as_often_as_it_says(shift: float, area: float) -> None:
  """Normal scores of unit variance, of which the true area is known: the normal distribution at shift / √2."""
  random = np.random.default_rng(0)
  truth = np.arange(80) < 40
  covered = 0
  for _ in range(300):
    found = roc_auc(truth, random.standard_normal(80) + shift * truth)
    assert found is not None
    low, high = auc_interval(found, 40, 40)
    covered += low <= area <= high
  assert 0.93 <= covered / 300 <= 0.985
