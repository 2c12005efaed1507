"""How far a night's images and scores are from those of the training. Pure, and quick to import.

Two figures for each feature of the sketches of `transforms.statistics`:

PSI, the population stability index: sum of (q - p) ln(q / p) over groups of
bins, p of the training and q of the night (Jeffreys' divergence; Siddiqi,
Credit Risk Scorecards, 2006, for its use; 0.1 and 0.25 are its customary
limits). Groups hold a tenth of the training each, as is usual, or one bin that
has more; half an image is added to each, so that none is empty.

KS, the largest distance between the two cumulative distributions, for features
that have an order. Of bins it is never more than that of the values
themselves: what moves within a bin is not seen.

Both grow by chance alone where images are few, so each comes with what chance
alone can make of it. For PSI that is (1/n + 1/m) times a quantile of
chi-squared with one degree of freedom less than groups (Yurdakul and Naranjo,
Journal of Risk Model Validation, 2020); for KS sqrt(-ln(alpha / 2) / 2 (1/n +
1/m)) (Smirnov, 1948); n and m are effective sizes. The level is
`FALSE_ALARMS`, shared by all figures of a night. The pixels of an image are no
sample of their own: a histogram of n images varies at most as much as n single
pixels, one of each image, would, and is given no more than that.

A scanner is compared with its own images of the training. One that the
training does not know is compared with all of it, and only in what the model
sees and says: its header is of course not that of a mixture of scanners.
"""

import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

from transforms.statistics import BINS, ORDERED, OTHER_SCANNERS, UNKNOWN

STATISTICS_FORMAT: Final = 2
FALSE_ALARMS: Final = 0.001  # chance that a night without drift has any figure beyond its noise
PSI_LIMIT: Final = 0.25
KS_LIMIT: Final = 0.2  # of two normal distributions whose PSI is 0.25, half a deviation apart
MIN_IMAGES: Final = 50

_GROUP_SHARE: Final = 0.1
_SMOOTHING: Final = 0.5
_SEEN_BY_THE_MODEL: Final = ('intensity', 'score')
_SCANNER: Final = 'scanner'

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Training:
  """What a bundle knows of the images that it was made from.

  Attributes:
    inputs: sketch of the train split.
    scores: sketch of the scores on the validation split: those on the train split are of images that the
      network has seen, and more certain than any later ones.
    key_fingerprint: of the key behind the ids of scanners; ids of other keys are other ids.
  """

  inputs: Mapping[str, Any]
  scores: Mapping[str, Any]
  key_fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Thresholds:
  """From where on a figure is an alarm, if chance alone does not explain it."""

  max_psi: float = PSI_LIMIT
  max_ks: float = KS_LIMIT


@dataclass(frozen=True, slots=True)
class Excess:
  """A figure beyond its limit.

  Attributes:
    scanner: '' for all images.
    measure: `psi` or `ks`.
    limit: the threshold, or what chance can do where that is more.
    images: effective size, for as many as it stands.
  """

  scanner: str
  feature: str
  measure: str
  value: float
  limit: float
  images: int


def to_statistics(training: Training) -> dict[str, Any]:
  """The content of a bundle's statistics; `read_training` reads it."""
  return {
    'format_version': STATISTICS_FORMAT,
    'inputs': training.inputs,
    'scores': training.scores,
    'pseudonym_key_fingerprint': training.key_fingerprint,
  }


def read_training(path: str | pathlib.Path) -> Training | None:
  """The statistics of a bundle; None where they are of an earlier format, or there are none.

  Args:
    path: of the bundle's `training_statistics.json`.
  """
  file = pathlib.Path(path)
  values = json.loads(file.read_text(encoding='utf-8')) if file.is_file() else {}
  if values.get('format_version') != STATISTICS_FORMAT:
    return None
  return Training(values['inputs'], values['scores'], values['pseudonym_key_fingerprint'])


def drift_of(
  training: Training | None,
  night: Mapping[str, Any],
  key_fingerprint: str | None = None,
  min_images: int = MIN_IMAGES,
) -> Figures:
  """Compares a night with the training.

  Args:
    training: as of `read_training`.
    night: sketch of what was scored, as of `transforms.statistics.merge`; may be empty.
    key_fingerprint: of the key behind the night's ids.
    min_images: fewer images, counted by study, are not compared; nor are those of a scanner.

  Returns:
    Plain JSON. `available`, and `why` where it is not; else `images`,
    `effective_images` and `features`, for each feature `psi` and `psi_noise`,
    and for those with an order `ks` and `ks_noise`; and under `scanners` the
    same for each scanner with enough images, with `known`.
  """
  why = _why_not(training, night, min_images)
  if why or training is None:
    return {'available': False, 'why': why}
  same_key = key_fingerprint == training.key_fingerprint
  pairs = list(_pairs(training, night, min_images, same_key))
  alpha = FALSE_ALARMS / max(1, sum(1 + (feature in ORDERED) for _, feature, _ in pairs))
  figures: Figures = {'available': True, **_sizes(night['all']), 'features': {}, 'scanners': {}}
  for scanner, feature, pair in pairs:
    part = figures
    if scanner:
      known = same_key and scanner in training.inputs['scanners']
      blank = {**_sizes(night['scanners'][scanner]), 'known': known, 'features': {}}
      part = figures['scanners'].setdefault(scanner, blank)
    part['features'][feature] = pair.figures(alpha)
  return figures


def _why_not(training: Training | None, night: Mapping[str, Any], min_images: int) -> str:
  if training is None:
    return 'bundle-without-statistics'
  if not night or effective_images(night['all']) < min_images:
    return 'too-few-images'
  if any(sketch.get('bins') != BINS for sketch in (training.inputs, training.scores, night)):
    return 'other-bins'
  return ''


def _sizes(group: Mapping[str, Any]) -> dict[str, int]:
  return {'images': group['images'], 'effective_images': round(effective_images(group))}


def effective_images(group: Mapping[str, Any]) -> float:
  """Kish's effective size of a group of a sketch, the images of a study taken for one another's copies."""
  squares: int = group['study_squares']
  return group['images'] ** 2 / squares if squares else 0.0


@dataclass(frozen=True, slots=True)
class Pair:
  """The counts of a feature in both samples, bin by bin, and the effective sizes of the samples.

  Attributes:
    is_ordered: whether the bins are in an order that means something.
    unknown: what has no value, in both: no part of the order, and a group of its own.
  """

  training: Sequence[int]
  night: Sequence[int]
  training_images: float
  night_images: float
  is_ordered: bool
  unknown: tuple[int, int] = (0, 0)

  def figures(self, alpha: float) -> dict[str, float]:
    """PSI and KS with what chance alone exceeds in a share `alpha` of all cases, at most."""
    p, q = self._in_groups()
    scale = 1 / self.training_images + 1 / self.night_images
    found = {
      'psi': psi(_smoothed(p, self.training_images), _smoothed(q, self.night_images)),
      'psi_noise': scale * chi_squared_quantile(len(p) - 1, alpha),
    }
    if self.is_ordered and all(map(sum, self._both)):
      found |= {'ks': ks(self.training, self.night), 'ks_noise': self._ks_noise(alpha)}
    return {name: round(value, 4) for name, value in found.items()}

  def _in_groups(self) -> tuple[list[int], list[int]]:
    """What each sample has in each group; groups that both have nothing in are none."""
    groups = grouped(self.training)
    p, q = ([sum(counts[position] for position in group) for group in groups] for counts in self._both)
    pairs = [pair for pair in (*zip(p, q, strict=True), self.unknown) if any(pair)]
    return [one for one, _ in pairs], [other for _, other in pairs]

  def _ks_noise(self, alpha: float) -> float:
    """Images without a value are no part of either distribution."""
    known = (sum(counts) / (sum(counts) + unknown) for counts, unknown in zip(self._both, self.unknown, strict=True))
    sizes = zip(known, (self.training_images, self.night_images), strict=True)
    return math.sqrt(-math.log(alpha / 2) / 2 * sum(1 / (share * images) for share, images in sizes))

  @property
  def _both(self) -> tuple[Sequence[int], Sequence[int]]:
    return self.training, self.night


def grouped(counts: Sequence[int]) -> list[list[int]]:
  """Neighbouring bins put together until they hold a tenth; a bin that holds a tenth stays alone.

  Returns:
    The positions of the bins in each group.
  """
  least = _GROUP_SHARE * sum(counts)
  groups: list[list[int]] = []
  gathered: list[int] = []
  for position, count in enumerate(counts):
    if count >= least > 0:
      groups += [gathered, [position]]
      gathered = []
    else:
      gathered.append(position)
      if sum(counts[position] for position in gathered) >= least > 0:
        groups.append(gathered)
        gathered = []
  return [group for group in [*groups, gathered] if group]


def _smoothed(counts: Sequence[int], images: float) -> list[float]:
  """Shares, half an image added to each; counts may be of pixels, so they are scaled to images first."""
  total = sum(counts) or 1
  return [(count / total * images + _SMOOTHING) / (images + _SMOOTHING * len(counts)) for count in counts]


def psi(training: Sequence[float], night: Sequence[float]) -> float:
  """Population stability index of two lists of shares, none of which is zero."""
  return sum((q - p) * math.log(q / p) for p, q in zip(training, night, strict=True))


def ks(training: Sequence[float], night: Sequence[float]) -> float:
  """Two-sample Kolmogorov-Smirnov distance of counts in the same bins, in their order."""
  p, q = sum(training), sum(night)
  difference = largest = 0.0
  for one, other in zip(training, night, strict=True):
    difference += one / p - other / q
    largest = max(largest, abs(difference))
  return largest


def chi_squared_quantile(degrees: int, alpha: float) -> float:
  """What chi-squared exceeds with probability `alpha`, within 8 % (Wilson and Hilferty, PNAS 1931)."""
  if degrees < 2:
    return degrees * NormalDist().inv_cdf(1 - alpha / 2) ** 2
  if degrees == 2:
    return -2 * math.log(alpha)
  part = 2 / (9 * degrees)
  return degrees * (1 - part + NormalDist().inv_cdf(1 - alpha) * math.sqrt(part)) ** 3


def _pairs(
  training: Training, night: Mapping[str, Any], min_images: int, same_key: bool
) -> Iterable[tuple[str, str, Pair]]:
  """What is compared: scanner ('' for all), feature, counts."""
  for feature, sketch in _features(training):
    yield from _pair('', feature, sketch['all'], night['all'])
  if same_key and any(scanner != OTHER_SCANNERS for scanner in training.inputs['scanners']):
    yield '', _SCANNER, _scanner_pair(training.inputs, night)
  for scanner, group in sorted(night['scanners'].items()):
    if scanner == OTHER_SCANNERS or effective_images(group) < min_images:
      continue
    known = same_key and scanner in training.inputs['scanners']
    for feature, sketch in _features(training):
      if known:
        own = sketch['scanners'].get(scanner)
        if own and effective_images(own) >= min_images:
          yield from _pair(scanner, feature, own, group)
      elif feature in _SEEN_BY_THE_MODEL:
        yield from _pair(scanner, feature, sketch['all'], group)


def _features(training: Training) -> Iterable[tuple[str, Mapping[str, Any]]]:
  yield from ((feature, training.inputs) for feature in sorted(training.inputs['all']['features']))
  yield from ((feature, training.scores) for feature in sorted(training.scores['all']['features']))


def _pair(
  scanner: str, feature: str, training: Mapping[str, Any], night: Mapping[str, Any]
) -> Iterable[tuple[str, str, Pair]]:
  ours, theirs = training['features'].get(feature), night['features'].get(feature)
  if ours and theirs:
    yield scanner, feature, pair_of(ours, theirs, effective_images(training), effective_images(night), feature)


def pair_of(
  training: Mapping[str, int], night: Mapping[str, int], training_images: float, night_images: float, feature: str
) -> Pair:
  """Puts the bins of both in one order: of the numbers, or of the names, among which new ones are anywhere."""
  apart = training.get(UNKNOWN, 0), night.get(UNKNOWN, 0)
  names = sorted((training.keys() | night.keys()) - {UNKNOWN})
  if feature in ORDERED:
    numbers = [int(name) for name in names]
    names = [str(number) for number in range(min(numbers, default=0), max(numbers, default=0) + 1)]
  ours, theirs = ([counts.get(name, 0) for name in names] for counts in (training, night))
  return Pair(ours, theirs, training_images, night_images, feature in ORDERED, apart)


def _scanner_pair(training: Mapping[str, Any], night: Mapping[str, Any]) -> Pair:
  """From which scanners images come, of those that the training knows."""
  known = training['scanners'].keys() - {OTHER_SCANNERS}
  ours, theirs = ({UNKNOWN: _images(sketch)} for sketch in (training, night))
  for counts, sketch in ((ours, training), (theirs, night)):
    for scanner in known & sketch['scanners'].keys():
      counts[scanner] = sketch['scanners'][scanner]['images']
      counts[UNKNOWN] -= counts[scanner]
  sizes = effective_images(training['all']), effective_images(night['all'])
  return pair_of(ours, theirs, *sizes, _SCANNER)


def _images(sketch: Mapping[str, Any]) -> int:
  images: int = sketch['all']['images']
  return images


def alarms_of(figures: Mapping[str, Any], thresholds: Thresholds) -> list[Excess]:
  """The figures beyond threshold and chance, all images first, the largest of each scanner first."""
  if not figures.get('available'):
    return []
  limits = {'psi': thresholds.max_psi, 'ks': thresholds.max_ks}
  parts = {'': figures, **figures['scanners']}
  found = [
    Excess(scanner, feature, measure, found[measure], max(limit, found[f'{measure}_noise']), part['effective_images'])
    for scanner, part in parts.items()
    for feature, found in part['features'].items()
    for measure, limit in limits.items()
    if measure in found
  ]
  beyond = [excess for excess in found if excess.value > excess.limit]
  return sorted(beyond, key=lambda excess: (excess.scanner, -excess.value / excess.limit, excess.feature))
