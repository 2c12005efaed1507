"""Figures of merit of a classifier, from scores and labels alone.

Definitions as in scikit-learn 1.9; a figure that is undefined (a class
without images, a quotient of zeros) is None, never NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn.metrics
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
  """Scores with the truth.

  Attributes:
    labels: K class names.
    truth: int [N], the index of the true class.
    scores: float [N, K], in the order of the labels.
    positive: index of the positive class; None for more than two classes.
    threshold: the positive class is predicted from this score up.
  """

  labels: tuple[str, ...]
  truth: Ints
  scores: Floats
  positive: int | None
  threshold: float | None

  @property
  def predicted(self) -> Ints:
    """Index of the predicted class: int [N]."""
    if self.positive is None or self.threshold is None:
      return np.argmax(self.scores, axis=1)
    is_positive = self.scores[:, self.positive] >= self.threshold
    return np.where(is_positive, self.positive, 1 - self.positive)

  @property
  def shown(self) -> list[int]:
    """Classes that have a curve of their own: the positive one, or all."""
    return list(range(len(self.labels))) if self.positive is None else [self.positive]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
  """Points of an ROC or precision-recall curve, x against y."""

  x: Floats
  y: Floats


def compute_metrics(scored: Scored) -> dict[str, Any]:
  """All figures, ready for JSON.

  Returns:
    `count`, `accuracy`, `confusion_matrix` (rows: truth, columns: predicted,
    in the order of `labels`), `per_class` (one against the rest) and
    `summary`: the positive class for two classes, the macro average for more.
    An interval of a figure goes beside it, under `intervals`.
  """
  predicted = scored.predicted
  per_class = {label: class_metrics(scored, index) for index, label in enumerate(scored.labels)}
  return {
    'count': len(scored.truth),
    'labels': list(scored.labels),
    'positive_label': None if scored.positive is None else scored.labels[scored.positive],
    'threshold': scored.threshold,
    'accuracy': _defined(np.mean(predicted == scored.truth)) if len(predicted) else None,
    'summary': summarise(per_class) if scored.positive is None else per_class[scored.labels[scored.positive]],
    'per_class': per_class,
    'confusion_matrix': confusion_matrix(scored).tolist(),
    'intervals': {},
  }


def confusion_matrix(scored: Scored) -> Ints:
  """Int [K, K]: how many images of each true class (row) got each label (column)."""
  classes = len(scored.labels)
  pairs = scored.truth * classes + scored.predicted
  return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_metrics(scored: Scored, index: int) -> Figures:
  """Figures of one class against the rest; `support` is its number of images."""
  is_true, is_predicted = scored.truth == index, scored.predicted == index
  true_positives = int(np.sum(is_true & is_predicted))
  true_negatives = int(np.sum(~is_true & ~is_predicted))
  positives, chosen = int(np.sum(is_true)), int(np.sum(is_predicted))
  precision, recall = _quotient(true_positives, chosen), _quotient(true_positives, positives)
  return {
    'support': positives,
    'precision': precision,
    'recall': recall,
    'specificity': _quotient(true_negatives, len(is_true) - positives),
    'f1': _quotient(2 * true_positives, positives + chosen),
    'roc_auc': roc_auc(is_true, scored.scores[:, index]),
    'average_precision': average_precision(is_true, scored.scores[:, index]),
  }


def summarise(per_class: dict[str, Figures]) -> Figures:
  """Macro average: each class counts the same; None if a class has none."""
  names = next(iter(per_class.values())).keys() - {'support'}
  return {name: _mean([figures[name] for figures in per_class.values()]) for name in sorted(names)}


def roc_auc(is_true: NDArray[np.bool_], scores: Floats) -> float | None:
  """Area under the ROC curve; None where one of the two sides is empty."""
  return _defined(sklearn.metrics.roc_auc_score(is_true, scores)) if _has_both(is_true) else None


def average_precision(is_true: NDArray[np.bool_], scores: Floats) -> float | None:
  """Average precision, the area under the precision-recall steps."""
  return _defined(sklearn.metrics.average_precision_score(is_true, scores)) if _has_both(is_true) else None


def mean_auc(truth: Ints, scores: Floats) -> float | None:
  """What early stopping looks at: one-vs-rest ROC AUC, averaged over the classes that have one."""
  areas = [roc_auc(truth == index, scores[:, index]) for index in range(scores.shape[1])]
  return _mean([area for area in areas if area is not None])


def roc_curve(is_true: NDArray[np.bool_], scores: Floats) -> Curve | None:
  """False positive rate against true positive rate."""
  if not _has_both(is_true):
    return None
  false_positive_rate, true_positive_rate, _ = sklearn.metrics.roc_curve(is_true, scores)
  return Curve(false_positive_rate, true_positive_rate)


def precision_recall_curve(is_true: NDArray[np.bool_], scores: Floats) -> Curve | None:
  """Recall against precision."""
  if not _has_both(is_true):
    return None
  precision, recall, _ = sklearn.metrics.precision_recall_curve(is_true, scores)
  return Curve(recall, precision)


def youden_threshold(is_true: NDArray[np.bool_], scores: Floats) -> float:
  """The score with the highest sensitivity + specificity - 1 (Youden, Cancer 1950).

  Halfway to the next lower score, so that a later rounding error does not
  move an image across; 0.5 where one of the two sides is empty.
  """
  if not _has_both(is_true):
    return 0.5
  false_positive_rate, true_positive_rate, thresholds = sklearn.metrics.roc_curve(
    is_true, scores, drop_intermediate=False
  )
  best = float(thresholds[int(np.argmax(true_positive_rate - false_positive_rate))])
  if not math.isfinite(best):  # nothing is better than predicting no positive at all
    return 0.5
  return halfway_down(best, scores)


def halfway_down(lowest_positive: float, scores: Floats) -> float:
  """A threshold between a score and the next lower one; the score itself where there is none."""
  below = scores[scores < lowest_positive]
  return lowest_positive if len(below) == 0 else (lowest_positive + float(below.max())) / 2


def _has_both(is_true: NDArray[np.bool_]) -> bool:
  return bool(is_true.any() and not is_true.all())


def _quotient(part: int, whole: int) -> float | None:
  return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
  defined = [value for value in values if value is not None]
  return float(np.mean(defined)) if defined and len(defined) == len(values) else None


def _defined(value: Any) -> float | None:
  return float(value) if math.isfinite(value) else None
