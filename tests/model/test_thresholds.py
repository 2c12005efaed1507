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
  found = scores[positive & (scores >= threshold)]
  assert all(rates(higher, positive, scores)[0] < share for higher in found[found > found.min()])


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


@pytest.mark.parametrize('rule', ['youden', 'sensitivity>=1', 'specificity>=1', 'cost=1'])
def test_a_threshold_between_scores_stands_a_rounding(rule: str) -> None:
  scores = np.array([0.1, 0.2, 0.6, 0.8], np.float32)
  assert choose_threshold(parse_rule(rule), scores > 0.5, scores) == pytest.approx(0.4)


@pytest.mark.parametrize('rule', ['specificity>=1', 'cost=0.1'])
def test_where_none_is_to_be_positive_the_threshold_is_above_all(rule: str) -> None:
  scores = np.array([0.1, 0.2, 0.6], np.float32)
  assert choose_threshold(parse_rule(rule), scores < 0.15, scores) == np.nextafter(scores[2], np.float32(1))


def logistic_scores(shares: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Of as many negatives and positives, whose log odds are Gaussian about 0 and 3, deviation 1: equal odds at 1.5."""
  positive = np.repeat([False, True], shares)
  log_odds = np.random.default_rng(seed).normal(np.where(positive, 3.0, 0.0))
  return positive, (1 / (1 + np.exp(-log_odds))).astype(np.float32)


@pytest.mark.parametrize('shares', [(2000, 2000), (400, 4000), (4000, 400)])
def test_balanced_is_where_either_class_is_as_likely(shares: tuple[int, int]) -> None:
  threshold = choose_threshold(ThresholdRule('balanced'), *logistic_scores(shares, 0))
  assert np.log(threshold / (1 - threshold)) == pytest.approx(1.5, abs=0.15)


def test_balanced_is_steadier_than_youden() -> None:
  drawn = [logistic_scores((100, 300), seed) for seed in range(40)]
  spread = {
    kind: np.std([choose_threshold(ThresholdRule(kind), *one) for one in drawn]) for kind in ('balanced', 'youden')
  }
  assert spread['balanced'] < 0.6 * spread['youden']


@pytest.mark.parametrize('scores', [[0.0, 0.1, 0.9, 1.0], [0.1, 0.2, 0.3, 0.4]])
def test_balanced_lies_between_classes_that_are_apart(scores: list[float]) -> None:
  threshold = choose_threshold(ThresholdRule('balanced'), np.array([False, False, True, True]), np.array(scores))
  assert scores[1] < threshold <= scores[2]


@pytest.mark.parametrize('scores', [[0.9, 0.8, 0.2, 0.1], [0.5, 0.5, 0.5, 0.5]])
@pytest.mark.parametrize('negatives', [0, 2])
def test_balanced_on_what_tells_nothing_is_youdens(scores: list[float], negatives: int) -> None:
  given_scores = np.arange(4) >= negatives, np.array(scores)
  assert choose_threshold(ThresholdRule('balanced'), *given_scores) == choose_threshold(ThresholdRule(), *given_scores)


@pytest.mark.parametrize(
  ('text', 'rule'),
  [
    ('youden', ThresholdRule()),
    ('balanced', ThresholdRule('balanced')),
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
  with pytest.raises(ValueError, match='expected youden, balanced, sensitivity>=X'):
    parse_rule(text)
