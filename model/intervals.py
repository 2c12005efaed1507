"""Intervals of figures of merit: what another sample of as many images would have given."""

from collections.abc import Callable
from typing import Final

Interval = tuple[float, float]

_Z: Final = 1.959964  # 95 %
_HALVINGS: Final = 50


def auc_interval(area: float, positives: int, negatives: int) -> Interval:
  """The 95 % interval of an area under the ROC curve.

  By inverting a score test whose variance is that of Hanley and McNeil
  (Radiology 1982) at the area asked about: method 5 of Newcombe (Statistics
  in Medicine 2006). It stays within 0 and 1, and has a width where the area
  found is 1, unlike DeLong's and a bootstrap's.

  Args:
    area: as found.
    positives: independent images of the class, at least one.
    negatives: independent images of the others, at least one.
  """

  def too_far(true_area: float) -> bool:
    return (area - true_area) ** 2 > _Z**2 * _variance(true_area, positives, negatives)

  return _edge(too_far, area, 0.0), _edge(too_far, area, 1.0)


def _variance(area: float, positives: int, negatives: int) -> float:
  shared = ((positives + negatives) / 2 - 1) * ((1 - area) / (2 - area) + area / (1 + area))  # pairs share images
  return area * (1 - area) * (1 + shared) / (positives * negatives)


def _edge(too_far: Callable[[float], bool], inside: float, outside: float) -> float:
  """Where it becomes too far on the way to an end."""
  for _ in range(_HALVINGS):
    middle = (inside + outside) / 2
    inside, outside = (inside, middle) if too_far(middle) else (middle, outside)
  return outside
