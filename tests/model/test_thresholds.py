import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.thresholds import ThresholdRule, choose_threshold, parse_rule

_CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60).filter(
  lambda cases: len({positive for positive, _ in cases}) == 2
)


def split(cases: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
  return np.array([positive for positive, _ in cases]), np.array([score / 20 for _, score in cases])


def rates(threshold: float, positive: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
  return float(np.mean(scores[positive] >= threshold)), float(np.mean(scores[~positive] < threshold))


@given(_CASES, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_a_sensitivity_is_reached_by_no_higher_threshold(cases: list[tuple[bool, int]], share: float) -> None:
  positive, scores = split(cases)
  threshold = choose_threshold(ThresholdRule('sensitivity', share), positive, scores)
  assert rates(threshold, positive, scores)[0] >= share
  assert all(rates(higher, positive, scores)[0] < share for higher in scores[positive & (scores > threshold)])


@given(_CASES, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_a_specificity_is_reached_by_no_lower_threshold(cases: list[tuple[bool, int]], share: float) -> None:
  positive, scores = split(cases)
  threshold = choose_threshold(ThresholdRule('specificity', share), positive, scores)
  assert rates(threshold, positive, scores)[1] >= share
  assert all(rates(lower, positive, scores)[1] < share for lower in scores[scores < threshold])


@given(_CASES, st.sampled_from([0.1, 1.0, 7.0]))
def test_no_threshold_costs_less(cases: list[tuple[bool, int]], ratio: float) -> None:
  positive, scores = split(cases)

  def harm(threshold: float) -> float:
    return ratio * float(np.sum(scores[positive] < threshold)) + float(np.sum(scores[~positive] >= threshold))

  found = harm(choose_threshold(ThresholdRule('cost', ratio), positive, scores))
  assert all(found <= harm(other) + 1e-9 for other in [*scores, 2.0])


@pytest.mark.parametrize(
  ('text', 'rule'),
  [
    ('youden', ThresholdRule()),
    ('sensitivity>=0.95', ThresholdRule('sensitivity', 0.95)),
    ('specificity >= 1', ThresholdRule('specificity', 1.0)),
    ('cost=5', ThresholdRule('cost', 5.0)),
  ],
)
def test_rules_are_read(text: str, rule: ThresholdRule) -> None:
  assert parse_rule(text) == rule


@pytest.mark.parametrize(
  'text', ['', 'sensitivity', 'sensitivity>=1.5', 'specificity>=0', 'cost=0', 'cost=1.2.3', 'f1']
)
def test_other_rules_are_refused(text: str) -> None:
  with pytest.raises(ValueError, match='expected youden, sensitivity>=X'):
    parse_rule(text)
