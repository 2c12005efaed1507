"""Where a probability becomes a label: rules that are written down before the scores are seen.

A label is positive from the threshold on: `score >= threshold`.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from model.calibration import LEAST_SCORE
from model.metrics import halfway_down, youden_threshold

RuleKind = Literal['youden', 'balanced', 'sensitivity', 'specificity', 'cost']

_WEAK_PENALTY: Final = 1e4  # of the logistic curve: classes that are apart need one

_AIM: Final = re.compile(r'(sensitivity|specificity)\s*>=\s*([0-9.]+)')
_COST: Final = re.compile(r'cost\s*=\s*([0-9.]+)')


@dataclass(frozen=True, slots=True)
class ThresholdRule:
  """How the threshold is chosen.

  Attributes:
    kind: `youden` takes the highest sum of sensitivity and specificity
      (Youden, Cancer 1950); `balanced` estimates the same point by a curve:
      where a logistic regression of the class on the logarithm of the odds,
      either class weighing the same, says one half. Where classes are well
      apart the sum is flat and the highest one is chance; a curve is steadier
      (Fluss, Faraggi and Reiser, Biometrical Journal 2005). `sensitivity`
      takes the highest threshold that still finds that share of the cases,
      `specificity` the lowest that still leaves that share of the others
      alone, `cost` the least harm.
    value: the share, or how many false alarms are as bad as one missed case.
  """

  kind: RuleKind = 'youden'
  value: float = 1.0


YOUDEN: Final = ThresholdRule()
BALANCED: Final = ThresholdRule('balanced')


def parse_rule(text: str) -> ThresholdRule:
  """`youden`, `balanced`, `sensitivity>=0.95`, `specificity>=0.9`, or `cost=5`.

  The last says that a missed case is as bad as five false alarms.

  Raises:
    ValueError: if it is none of them.
  """
  if text == 'youden':
    return YOUDEN
  if text == 'balanced':
    return BALANCED
  if (aim := _AIM.fullmatch(text)) and (share := _number(aim[2])) is not None and 0 < share <= 1:
    return ThresholdRule('sensitivity' if aim[1] == 'sensitivity' else 'specificity', share)
  if (cost := _COST.fullmatch(text)) and (ratio := _number(cost[1])) is not None and ratio > 0:
    return ThresholdRule('cost', ratio)
  raise ValueError(
    f'threshold_rule is {text!r}; expected youden, balanced, sensitivity>=X or specificity>=X with X above 0 '
    'and at most 1, or cost=X with X above 0'
  )


def choose_threshold(rule: ThresholdRule, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  """The threshold that a rule gives on scored images.

  Args:
    rule: how.
    positive: which images are positive: bool [N], some of either kind.
    scores: of the positive class, float [N].

  Returns:
    Where the rule says that one of the scores is the lowest positive one, halfway from it to the next lower score, so
    that a later rounding does not move an image across; for `balanced` any number, and where no image is to be positive
    the next number above all.
  """
  return _CHOICES[rule.kind](rule.value, positive, scores)


def _for_the_highest_sum(_: float, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  return float(youden_threshold(positive, scores))


def _for_balance(_: float, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  if positive.all() or not positive.any():
    return float(youden_threshold(positive, scores))
  clipped = np.clip(scores.astype(np.float64), LEAST_SCORE, 1 - LEAST_SCORE)
  curve = LogisticRegression(C=_WEAK_PENALTY, class_weight='balanced')
  curve.fit(np.log(clipped / (1 - clipped))[:, np.newaxis], positive)
  slope, intercept = float(curve.coef_[0, 0]), float(curve.intercept_[0])
  if slope <= 0:  # scores that tell nothing have no such point
    return float(youden_threshold(positive, scores))
  return 0.5 - 0.5 * math.tanh(0.5 * intercept / slope)  # the score whose odds those are


def _for_sensitivity(share: float, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  falling = np.sort(scores[positive])[::-1]
  return halfway_down(float(falling[_count(share, len(falling)) - 1]), scores)


def _for_specificity(share: float, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  rising = np.sort(scores[~positive])
  last = rising[_count(share, len(rising)) - 1]  # the highest score that has to stay below the threshold
  above = scores[scores > last]
  return halfway_down(float(above.min()), scores) if len(above) else float(np.nextafter(last, np.inf))


def _for_cost(ratio: float, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  candidates = np.append(np.unique(scores), np.nextafter(scores.max(), np.inf))
  missed = np.searchsorted(np.sort(scores[positive]), candidates)
  alarms = np.sum(~positive) - np.searchsorted(np.sort(scores[~positive]), candidates)
  best = int(np.argmin(ratio * missed + alarms))
  return halfway_down(float(candidates[best]), scores) if best < len(candidates) - 1 else float(candidates[best])


_CHOICES: Final[dict[RuleKind, Callable[[float, NDArray[np.bool_], NDArray[np.floating]], float]]] = {
  'youden': _for_the_highest_sum,
  'balanced': _for_balance,
  'sensitivity': _for_sensitivity,
  'specificity': _for_specificity,
  'cost': _for_cost,
}


def _count(share: float, of: int) -> int:
  """How many make that share; 0.95 of 20 are 19, whatever their product rounds to."""
  return max(1, math.ceil(share * of - 1e-9))


def _number(text: str) -> float | None:
  try:
    return float(text)
  except ValueError:
    return None
