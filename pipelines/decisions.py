"""How a bundle is to decide, as flags say it: the same for a training and for an ensemble."""

from model.calibration import CalibrationMethod
from model.thresholds import ThresholdRule, parse_rule
from pipelines.exits import UsageError


def checked_calibration(method: CalibrationMethod, labels: int) -> CalibrationMethod:
  """The method, if it can be had for so many labels; looked at before hours of training.

  Raises:
    UsageError: if it cannot.
  """
  if method == 'isotonic' and labels != 2:
    raise UsageError(f'--calibration is isotonic, there are {labels} labels; it needs two: take temperature')
  return method


def threshold_rule(text: str) -> ThresholdRule:
  """The rule of `--threshold_rule`.

  Raises:
    UsageError: if it is none.
  """
  try:
    return parse_rule(text)
  except ValueError as error:
    raise UsageError(f'--{error}') from error
