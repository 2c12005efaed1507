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

from model.metrics import youden_threshold

RuleKind = Literal['youden', 'sensitivity', 'specificity', 'cost']

_AIM: Final = re.compile(r'(sensitivity|specificity)\s*>=\s*([0-9.]+)')
_COST: Final = re.compile(r'cost\s*=\s*([0-9.]+)')


@dataclass(frozen=True, slots=True)
class ThresholdRule:
  """How the threshold is chosen.

  Attributes:
    kind: `youden` takes the highest sum of sensitivity and specificity
      (Youden, Cancer 1950); `sensitivity` the highest threshold that still
      finds that share of the cases; `specificity` the lowest that still
      leaves that share of the others alone; `cost` the least harm.
    value: the share, or how many false alarms are as bad as one missed case.
  """

  kind: RuleKind = 'youden'
  value: float = 1.0


YOUDEN: Final = ThresholdRule()


def parse_rule(text: str) -> ThresholdRule:
  """`youden`, `sensitivity>=0.95`, `specificity>=0.9`, or `cost=5`: a missed case is as bad as five false alarms.

  Raises:
    ValueError: if it is none of them.
  """
  if text == 'youden':
    return YOUDEN
  if (aim := _AIM.fullmatch(text)) and (share := _number(aim[2])) is not None and 0 < share <= 1:
    return ThresholdRule('sensitivity' if aim[1] == 'sensitivity' else 'specificity', share)
  if (cost := _COST.fullmatch(text)) and (ratio := _number(cost[1])) is not None and ratio > 0:
    return ThresholdRule('cost', ratio)
  raise ValueError(
    f'threshold_rule is {text!r}; expected youden, sensitivity>=X or specificity>=X with X above 0 and at most 1, '
    'or cost=X with X above 0'
  )


def choose_threshold(rule: ThresholdRule, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  """The threshold that a rule gives on scored images.

  Args:
    rule: how.
    positive: which images are positive: bool [N], some of either kind.
    scores: of the positive class, float [N].

  Returns:
    One of the scores, or for a specificity that no score reaches the next number above all.
  """
  if rule.kind == 'youden':
    return float(youden_threshold(positive, scores))
  return _CHOICES[rule.kind](rule.value, positive, scores)


def _for_sensitivity(share: float, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  falling = np.sort(scores[positive])[::-1]
  return float(falling[_count(share, len(falling)) - 1])


def _for_specificity(share: float, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  rising = np.sort(scores[~positive])
  last = rising[_count(share, len(rising)) - 1]  # the highest score that has to stay below the threshold
  above = scores[scores > last]
  return float(above.min() if len(above) else np.nextafter(last, np.inf))


def _for_cost(ratio: float, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
  candidates = np.append(np.unique(scores), np.nextafter(scores.max(), np.inf))
  missed = np.searchsorted(np.sort(scores[positive]), candidates)
  alarms = np.sum(~positive) - np.searchsorted(np.sort(scores[~positive]), candidates)
  return float(candidates[np.argmin(ratio * missed + alarms)])


_CHOICES: Final[dict[str, Callable[[float, NDArray[np.bool_], NDArray[np.floating]], float]]] = {
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
