"""What a bundle says of its validation under shift: rows for all that is pooled, strengths, families, changes."""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from model.intervals import auc_interval
from model.metrics import Scored, compute_metrics
from model.shifts import FAMILIES, SHIFTS, STRENGTHS, TOGETHER, VERSION, Variant, set_digest

SHIFTED_FILE: Final = 'evaluation/shifted.json'
Fact = Literal['strength', 'family', 'shift']

FIGURES: Final = ('roc_auc', 'sensitivity', 'specificity', 'accuracy')


@dataclass(frozen=True, slots=True, eq=False)
class Shifted:
  """Scores of shifted images: M rows, one for each image and variant that it drew.

  Attributes:
    truth: int [M], the index of the true class.
    scores: float32 [M, K].
    variants: what was done, for each row.
    images: int [M], which image; rows of one are not independent of each other.
  """

  truth: NDArray[np.int64]
  scores: NDArray[np.float32]
  variants: tuple[Variant, ...]
  images: NDArray[np.int64]

  def where(self, holds: Callable[[Variant], bool]) -> 'Shifted':
    """The rows of some variants."""
    kept = [holds(variant) for variant in self.variants]
    chosen = np.array(kept, bool)
    variants = tuple(variant for variant, keep in zip(self.variants, kept, strict=True) if keep)
    return Shifted(self.truth[chosen], self.scores[chosen], variants, self.images[chosen])

  def that(self, fact: Fact, value: str) -> 'Shifted':
    """The rows whose variant is of a change, a family or a strength."""
    return self.where(lambda variant: bool(getattr(variant, fact) == value))


def shifted_table(plain: Scored, shifted: Shifted) -> dict[str, Any]:
  """The content of a bundle's `SHIFTED_FILE`, ready for JSON.

  Args:
    plain: the images as they are, with the bundle's probabilities and threshold.
    shifted: the same images under the set of `model.shifts`, with the same calibration.

  Returns:
    `set_version` and `set_digest`, which tell whether two tables can be
    compared, and `rows`: `name`, `group`, `count` of rows, `images`, and
    `FIGURES` at the bundle's threshold, with `roc_auc_interval` for two
    classes. A figure that is undefined is None.
  """
  count = len(plain.truth)
  as_they_are = Shifted(np.asarray(plain.truth), np.asarray(plain.scores), (), np.arange(count))
  parts = [('as it is', 'plain', as_they_are), ('pooled', 'pooled', shifted), *_parts(shifted)]
  rows = [_row(name, group, part, plain) for name, group, part in parts]
  return {'set_version': VERSION, 'set_digest': set_digest(), 'rows': rows}


def _parts(shifted: Shifted) -> Iterator[tuple[str, str, Shifted]]:
  together = shifted.where(lambda variant: variant.shift == TOGETHER)
  single = shifted.where(lambda variant: variant.shift != TOGETHER)
  yield 'all at once', 'together', together
  names = tuple(shift.name for shift in SHIFTS)
  groups: dict[Fact, tuple[str, ...]] = {'strength': STRENGTHS, 'family': FAMILIES, 'shift': names}
  for fact, values in groups.items():
    for value in values:
      yield value, fact, single.that(fact, value)


def _row(name: str, group: str, part: Shifted, decided: Scored) -> dict[str, Any]:
  metrics = compute_metrics(replace(decided, truth=part.truth, scores=part.scores))
  summary = metrics['summary']
  return {
    'name': name,
    'group': group,
    'count': metrics['count'],
    'images': len(np.unique(part.images)),
    'roc_auc': summary['roc_auc'],
    'roc_auc_interval': _interval(summary['roc_auc'], part, decided.positive),
    'sensitivity': summary['recall'],
    'specificity': summary['specificity'],
    'accuracy': metrics['accuracy'],
  }


def _interval(area: float | None, part: Shifted, positive: int | None) -> list[float] | None:
  """Of as many independent images as there are, however often each was scored."""
  if area is None or positive is None:
    return None
  positives, negatives = (len(np.unique(part.images[(part.truth == positive) == side])) for side in (True, False))
  return list(auc_interval(area, positives, negatives))


def read_shifted_table(bundle: pathlib.Path) -> Mapping[str, Any] | None:
  """The table of a bundle; None for one from before there was any."""
  path = bundle / SHIFTED_FILE
  return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None
