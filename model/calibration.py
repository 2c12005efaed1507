"""Scores that mean what they say: a map from a network's scores to probabilities, fitted on the validation split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

CalibrationMethod = Literal['identity', 'temperature', 'isotonic']

LEAST_SCORE: Final = 1e-7  # the logarithm of 0 is not finite
_LOG_TEMPERATURES: Final = (-3.0, 3.0)  # e^-3 to e^3: beyond, a network is broken, not badly calibrated
_SEARCH_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class Calibration:
  """A fitted map.

  Attributes:
    method: `identity` leaves the scores; `temperature` divides their
      logarithms by one number (Guo et al., ICML 2017), which changes no
      order; `isotonic` is a rising step-free line through knots (Zadrozny
      and Elkan, KDD 2002), for two classes and many validation images.
    temperature: above 1 takes away confidence.
    knots: of `isotonic`, scores of the second class, rising.
    values: probabilities at the knots, not falling.
  """

  method: CalibrationMethod = 'identity'
  temperature: float = 1.0
  knots: tuple[float, ...] = ()
  values: tuple[float, ...] = ()

  def to_facts(self) -> dict[str, Any]:
    """As `bundle.json` has it: the method, and what belongs to it."""
    if self.method == 'temperature':
      return {'method': self.method, 'temperature': self.temperature}
    if self.method == 'isotonic':
      return {'method': self.method, 'knots': list(self.knots), 'values': list(self.values)}
    return {'method': self.method}

  def apply(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores [N, K], rows that sum to 1, to probabilities of the same shape."""
    if self.method == 'temperature':
      return _softmax(np.log(np.maximum(scores, LEAST_SCORE)) / self.temperature).astype(np.float32)
    if self.method == 'isotonic':
      second = np.interp(scores[:, 1], self.knots, self.values)
      return np.stack([1.0 - second, second], axis=1).astype(np.float32)
    return scores


IDENTITY: Final = Calibration()


def from_facts(facts: Mapping[str, Any]) -> Calibration:
  """What `to_facts` gave.

  Raises:
    ValueError: if the method is unknown.
  """
  if facts['method'] not in get_args(CalibrationMethod):
    raise ValueError(f'calibration is {facts["method"]!r}; expected one of {", ".join(get_args(CalibrationMethod))}')
  lists = {name: tuple(facts[name]) for name in ('knots', 'values') if name in facts}
  return Calibration(facts['method'], facts.get('temperature', 1.0), **lists)


def fit(method: CalibrationMethod, truth: NDArray[np.int64], scores: NDArray[np.float32]) -> Calibration:
  """Fits a map on images that the network was not trained on.

  Args:
    method: which kind.
    truth: class indices, int [N].
    scores: [N, K], rows that sum to 1.

  Raises:
    ValueError: if `isotonic` is asked for with more than two classes.
  """
  if method == 'temperature':
    return Calibration(method, temperature=_best_temperature(truth, np.log(np.maximum(scores, LEAST_SCORE))))
  if method == 'isotonic':
    return _fit_isotonic(truth, scores)
  return IDENTITY


def _fit_isotonic(truth: NDArray[np.int64], scores: NDArray[np.float32]) -> Calibration:
  from sklearn.isotonic import IsotonicRegression  # of the extra `train`: workers apply a map, and fit none

  if scores.shape[1] != 2:
    raise ValueError(f'calibration is isotonic, there are {scores.shape[1]} classes; it needs two: take temperature')
  line = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds='clip').fit(scores[:, 1].astype(np.float64), truth == 1)
  knots, values = line.X_thresholds_.tolist(), line.y_thresholds_.tolist()
  if len(knots) == 1:  # all scores were equal
    knots, values = [knots[0], knots[0] + 1.0], [values[0], values[0]]
  return Calibration('isotonic', knots=tuple(knots), values=tuple(values))


def _best_temperature(truth: NDArray[np.int64], logarithms: NDArray[np.floating[Any]]) -> float:
  """The loss has one valley over the temperature: a ternary search finds its bottom."""
  low, high = _LOG_TEMPERATURES
  for _ in range(_SEARCH_STEPS):
    left, right = low + (high - low) / 3, high - (high - low) / 3
    if _loss(truth, logarithms, left) <= _loss(truth, logarithms, right):
      high = right
    else:
      low = left
  return float(np.exp((low + high) / 2))


def _loss(truth: NDArray[np.int64], logarithms: NDArray[np.floating[Any]], log_temperature: float) -> float:
  """Mean cross-entropy at a temperature."""
  scaled = logarithms.astype(np.float64) / np.exp(log_temperature)
  top = scaled.max(axis=1)
  sums = top + np.log(np.exp(scaled - top[:, np.newaxis]).sum(axis=1))
  return float(np.mean(sums - scaled[np.arange(len(truth)), truth]))


def _softmax(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
  raised = np.exp(values - values.max(axis=1, keepdims=True))
  return np.asarray(raised / raised.sum(axis=1, keepdims=True))
