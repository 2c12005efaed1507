"""Sketches of what a model is fed and what it says: counts in fixed bins, over all images and for each scanner.

Bins are fixed so that sketches add up: a sketch holds whole numbers only, and
`merge` adds them, in any order and grouping, exactly. They are plain JSON of
ids, codes and counts, and lie in markers, run records and bundles:

  {"bins": "1",                                    # which bins; others cannot be compared with these
   "all": {"images": 9, "study_squares": 17, "features": {"modality": {"DX": 9}, "intensity": {"0": 451584}, …}},
   "scanners": {scanner_id: the same for its images, …}}

`intensity` counts the grey values of the pixels that the model is fed. All
images have as many of them, so each weighs the same, however large it came:
32 numbers more or less, and a mean over images. Scores are binned by their
log-odds: most lie close to 0 or 1, where bins of equal width see nothing, and
a rank statistic such as KS does not mind.

Images of a study are alike, the frames of a film nearly equal: they tell less
than as many studies would. `study_squares` adds up the squares of the images of
each study, for Kish's effective size (Survey Sampling, 1965, 8.2), at its most
careful: as if the images of a study all told the same. A study that is cut
between two sketches counts as two.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # numpy stays out of what only adds up sketches
  from transforms.elements import Histogram

Statistics = dict[str, Any]

BINS: Final = '1'
CATEGORIES: Final = (
  'modality',
  'view_position',
  'body_part',
  'manufacturer',
  'sex',
  'photometric',
  'transfer_syntax',
  'bits_stored',
  'quality',
)
ORDERED: Final = ('intensity', 'rows', 'columns', 'aspect', 'age', 'score')
UNKNOWN: Final = 'unknown'
OTHER_SCANNERS: Final = 'other'
MAX_SCANNERS: Final = 64
INTENSITY_BINS: Final = 32

_PER_OCTAVE: Final = 4  # of rows and columns; a quarter octave is 19 %
_ASPECT_PER_OCTAVE: Final = 8
_YEARS: Final = 10
_PER_LOG_ODD: Final = 4
_SCORE_BINS: Final = 64  # up to log-odds of 8: 0.0003 to 0.9997
# How flags begin that depend on other images or on a model, not on the image alone.
_RELATIVE: Final = ('duplicate-', 'outside-')


def grey_counts(histogram: 'Histogram') -> tuple[int, ...]:
  """The counts of 256 grey levels in `INTENSITY_BINS` bins of equal width."""
  return tuple(histogram.reshape(INTENSITY_BINS, -1).sum(axis=1).tolist())


def input_bins(row: Mapping[str, Any]) -> dict[str, str]:
  """The bins of an image's header facts.

  Args:
    row: of the predictions or of the index of a dataset, which may lack columns.
  """
  bins = {name: str(value) for name in CATEGORIES[:-1] if (value := row.get(name)) is not None}
  rows, columns, age = row.get('rows'), row.get('columns'), row.get('age_years')
  if rows and columns:
    bins['rows'] = str(round(_PER_OCTAVE * math.log2(rows)))
    bins['columns'] = str(round(_PER_OCTAVE * math.log2(columns)))
    bins['aspect'] = str(round(_ASPECT_PER_OCTAVE * math.log2(columns / rows)))
  if age is not None:
    bins['age'] = str(age // _YEARS)
  flags = sorted({flag for flag in row.get('quality') or () if not flag.startswith(_RELATIVE)})
  bins['quality'] = ' '.join(flags) or 'none'
  return {name: bins.get(name, UNKNOWN) for name in (*CATEGORIES, 'rows', 'columns', 'aspect', 'age')}


def score_bin(probability: float) -> dict[str, str]:
  """The bin of a probability, by its log-odds: a quarter wide, the first and the last open."""
  safe = min(max(probability, 1e-9), 1 - 1e-9)
  position = math.floor(_PER_LOG_ODD * math.log(safe / (1 - safe))) + _SCORE_BINS // 2
  return {'score': str(min(max(position, 0), _SCORE_BINS - 1))}


@dataclass(slots=True)
class _Group:
  """Counts over some images."""

  studies: Counter[str] = field(default_factory=Counter)
  features: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
  grey: list[int] = field(default_factory=lambda: [0] * INTENSITY_BINS)

  def add(self, study: str, bins: Mapping[str, str], grey: Sequence[int] | None) -> None:
    self.studies[study] += 1
    for name, value in bins.items():
      self.features[name][value] += 1
    if grey is not None:
      self.grey = [before + more for before, more in zip(self.grey, grey, strict=True)]

  def to_json(self) -> Statistics:
    features = {name: dict(sorted(counts.items())) for name, counts in sorted(self.features.items())}
    intensity = {str(position): count for position, count in enumerate(self.grey) if count}
    return {
      'images': self.studies.total(),
      'study_squares': sum(count * count for count in self.studies.values()),
      'features': features | ({'intensity': intensity} if intensity else {}),
    }


class Sketch:
  """Collects a sketch, image by image."""

  def __init__(self) -> None:
    self._all = _Group()
    self._scanners: defaultdict[str, _Group] = defaultdict(_Group)

  def add(self, row: Mapping[str, Any], bins: Mapping[str, str], grey: Sequence[int] | None = None) -> None:
    """Counts an image.

    Args:
      row: of a table; tells scanner and study, or what stands for a study where there is none.
      bins: of its features: `input_bins`, `score_bin`, or both.
      grey: its pixels by intensity, as of `grey_counts`.
    """
    study = row.get('study_id') or row.get('source_id') or row.get('image_id') or ''
    scanner = row.get('scanner_id')
    self._all.add(study, bins, grey)
    if scanner:
      self._scanners[scanner].add(study, bins, grey)

  def to_json(self) -> Statistics:
    """The sketch; the same images give the same, in whichever order they came."""
    scanners = {scanner: group.to_json() for scanner, group in sorted(self._scanners.items())}
    return {'bins': BINS, 'all': self._all.to_json(), 'scanners': scanners}


def merge(parts: Iterable[Mapping[str, Any]]) -> Statistics:
  """The sum of sketches; empty ones add nothing.

  Raises:
    ValueError: if they have different bins.
  """
  total: Statistics = {}
  for part in parts:
    _add(total, part)
  return total


def _add(total: Statistics, part: Mapping[str, Any]) -> None:
  for name, value in part.items():
    if isinstance(value, Mapping):
      _add(total.setdefault(name, {}), value)
    elif isinstance(value, str):
      if total.setdefault(name, value) != value:
        raise ValueError(f'a sketch with the bins {value!r} cannot be added to one with the bins {total[name]!r}')
    else:
      total[name] = total.get(name, 0) + value


def reported(statistics: Mapping[str, Any]) -> Statistics:
  """A sketch for a record: the scanners with most images by name, the rest together as `other`.

  Only here and not in `merge`, so that the sum does not depend on the order.
  """
  if not statistics:
    return {}
  scanners = statistics['scanners']
  named = sorted(scanners.keys() - {OTHER_SCANNERS}, key=lambda scanner: (-scanners[scanner]['images'], scanner))
  kept = {scanner: scanners[scanner] for scanner in sorted(named[:MAX_SCANNERS])}
  rest = [scanners[scanner] for scanner in [*named[MAX_SCANNERS:], OTHER_SCANNERS] if scanner in scanners]
  return {**statistics, 'scanners': kept | ({OTHER_SCANNERS: merge(rest)} if rest else {})}
