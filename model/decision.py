"""How a bundle decides: calibration and threshold, chosen on a validation as it is or under shift."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from model.calibration import Calibration, CalibrationMethod, fit
from model.metrics import Scored, compute_metrics
from model.predictions import Predictions
from model.shifted_table import Shifted
from model.thresholds import YOUDEN, ThresholdRule, choose_threshold

ThresholdOn = Literal['plain', 'shifted']

NORMAL_LABELS: Final = frozenset({'normal', 'negative', 'no finding', 'no_finding', 'healthy', 'none', '0'})


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOptions:
  """By which rules a bundle is to decide.

  Attributes:
    positive_label: for two classes; None takes the one that does not read as normal.
    calibration: how scores become probabilities; fitted on the validation split.
    threshold_rule: how the threshold is chosen, on the calibrated validation scores.
    threshold_on: what the two look at: the validation images as they are, or under the changes of `model.shifts`.
  """

  positive_label: str | None = None
  calibration: CalibrationMethod = 'identity'
  threshold_rule: ThresholdRule = YOUDEN
  threshold_on: ThresholdOn = 'shifted'


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
  """How a bundle decides, and the validation that it was chosen on.

  Attributes:
    calibration: from scores to probabilities.
    scored: the validation images as they are: probabilities, and the threshold.
    shifted: the same images under shift: probabilities.
  """

  calibration: Calibration
  scored: Scored
  shifted: Shifted


def decide(plain: Predictions, shifted: Shifted, labels: tuple[str, ...], options: DecisionOptions) -> Decision:
  """Fits the calibration and chooses the threshold.

  Args:
    plain: scores of the validation images as they are, not calibrated.
    shifted: scores of the same images under shift, not calibrated.
    labels: in the order of the scores.
    options: by which rules, and on which of the two.

  Raises:
    ValueError: if the positive label is none of the labels.
  """
  judged = plain if options.threshold_on == 'plain' else Predictions(shifted.truth, shifted.scores)
  calibration = fit(options.calibration, judged.truth, judged.scores)
  positive = choose_positive(labels, options.positive_label)
  threshold = None
  if positive is not None:
    probabilities = calibration.apply(judged.scores)[:, positive]
    threshold = choose_threshold(options.threshold_rule, judged.truth == positive, probabilities)
  scored = Scored(labels, plain.truth, calibration.apply(plain.scores), positive, threshold)
  return Decision(calibration, scored, replace(shifted, scores=calibration.apply(shifted.scores)))


def choose_positive(labels: Sequence[str], wanted: str | None) -> int | None:
  """Index of the positive class of two; None for more classes.

  Without a wish it is the last label, unless that one reads as normal and the other does not.

  Raises:
    ValueError: if the wanted label is none of the labels, or there are more than two.
  """
  if wanted is not None and (wanted not in labels or len(labels) != 2):
    raise ValueError(
      f'positive_label is {wanted!r}, the dataset has {len(labels)} labels; '
      'give one of two that dataset.json names, and none for more than two classes'
    )
  if len(labels) != 2:
    return None
  if wanted is not None:
    return labels.index(wanted)
  normal = [label.strip().lower() in NORMAL_LABELS for label in labels]
  return 0 if normal[1] and not normal[0] else 1


def rules(options: DecisionOptions) -> dict[str, Any]:
  """What a recipe says of how the decision was made."""
  return {'threshold_rule': asdict(options.threshold_rule), 'threshold_on': options.threshold_on}


def decided(scored: Scored, calibration: Calibration) -> dict[str, Any]:
  """The facts of a bundle that decide, and how well they do on validation."""
  return {
    'labels': scored.labels,
    'positive_label': None if scored.positive is None else scored.labels[scored.positive],
    'threshold': scored.threshold,
    'calibration': calibration.to_facts(),
    'metrics': compute_metrics(scored),
  }
