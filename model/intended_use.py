"""What kind of images a model was trained on, and which of those that come are of another kind.

Facts that have *terms* (modality, view position …) are kept as counts of the
train split, facts that are numbers (age, size) as the range of the middle 99 %.
An image is outside the intended use by this rule:

- A fact is judged only if half of the training images, and ten of them, state it.
- A term is known if 1 % of the images have it, or 100 images; one image alone
  is never enough, since archives hold strays.
- An image that does not state modality, view position or body part has the
  term `unknown`, which is known or not like any other. Elsewhere what is not
  stated is not judged.
- A number is outside beyond the range, widened: an age by a tenth of the range
  and by a year at least, rows and columns by half, their ratio by a quarter.
- JPEG and PNG have no header: of them format, colour and size are judged, and
  what a header states is counted over DICOM alone.

Grey levels of a picture, and of DICOM with 8 bits, were chosen by somebody
else than the pixel chain: hence `format` and `bits_stored`. How the devices
and the mixture of a night differ is the business of drift.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar

from transforms.vocabularies import OTHER

VERSION: Final = 2  # 1, which says nothing of itself, had counts of four columns over all images
UNKNOWN: Final = 'unknown'
NOT_OF_ALL: Final = 'not known to all'  # in place of terms that some of several models do not know
OUTSIDE: Final = 'outside-intended-use'
TERM_FLAGS: Final[Mapping[str, str]] = {
  'format': 'outside-format',
  'colour': 'outside-colour',
  'bits_stored': 'outside-bits',
  'modality': 'outside-modality',
  'body_part': 'outside-body-part',
  'view_position': 'outside-view',
  'sex': 'outside-sex',
}
RANGE_FLAGS: Final[Mapping[str, str]] = {
  'age_years': 'outside-age',
  'rows': 'outside-size',
  'columns': 'outside-size',
  'aspect': 'outside-size',
}
REASONS: Final = frozenset({*TERM_FLAGS.values(), *RANGE_FLAGS.values()})
COLUMNS: Final = (  # of a table of images, which decide all of these
  *('transfer_syntax', 'photometric', 'bits_stored', 'modality', 'body_part', 'view_position', 'sex'),
  *('age_years', 'rows', 'columns'),
)

_ABSENCE_IS_A_TERM: Final = frozenset({'modality', 'body_part', 'view_position'})
_PICTURES: Final = frozenset({'jpeg', 'png'})
_KNOWN_SHARE: Final = 0.01
_KNOWN_IMAGES: Final = 100
_STATED_SHARE: Final = 0.5
_STATED_IMAGES: Final = 10
_TAIL: Final = 0.005  # of the images, at either end of a range
_FACTORS: Final = {'rows': 1.5, 'columns': 1.5, 'aspect': 1.25}
_AGE_SHARE: Final = 0.1

Row = Mapping[str, Any]
T = TypeVar('T')


@dataclass(frozen=True, slots=True)
class Range:
  """Where the middle 99 % of the training images lie.

  Attributes:
    stated: images that state it.
    images: that could.
    low, high: years, pixels, or columns over rows.
  """

  stated: int
  images: int
  low: float
  high: float


@dataclass(frozen=True, slots=True)
class IntendedUse:
  """What a model was trained on.

  Attributes:
    images: of the train split; 0 where nothing is known.
    terms: for each fact, how many images have each term.
    ranges: for each fact that is a number and that some image states.
  """

  images: int = 0
  terms: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
  ranges: Mapping[str, Range] = field(default_factory=dict)

  def known_terms(self, fact: str) -> frozenset[str] | None:
    """The terms that belong to the intended use; None where too little is known of the fact."""
    counts = self.terms.get(fact, {})
    total = sum(counts.values())
    if not _is_judged(total - counts.get(UNKNOWN, 0), total):
      return None
    enough = min(_KNOWN_IMAGES, max(2, math.ceil(_KNOWN_SHARE * total)))
    return frozenset(term for term, count in counts.items() if count >= enough)

  def limits(self, fact: str) -> tuple[float, float] | None:
    """The widened range; None where too little is known of the fact."""
    found = self.ranges.get(fact)
    if found is None or not _is_judged(found.stated, found.images):
      return None
    if fact in _FACTORS:
      return found.low / _FACTORS[fact], found.high * _FACTORS[fact]
    margin = max(1.0, _AGE_SHARE * (found.high - found.low))
    return found.low - margin, found.high + margin

  def flags(self, row: Row) -> tuple[str, ...]:
    """Those of `transforms.quality.FLAGS` that say in what an image is outside, in alphabetic order.

    Args:
      row: an image's columns, as `COLUMNS` names them; a missing one counts as not stated.

    Returns:
      Nothing, or `OUTSIDE` and why.
    """
    why = {TERM_FLAGS[fact] for fact, term in terms_of(row).items() if self._is_other(fact, term)}
    why |= {RANGE_FLAGS[fact] for fact, value in numbers_of(row).items() if self._is_beyond(fact, value)}
    return tuple(sorted({OUTSIDE, *why})) if why else ()

  def _is_other(self, fact: str, term: str) -> bool:
    known = self.known_terms(fact)
    if known is None or (term == UNKNOWN and fact not in _ABSENCE_IS_A_TERM):
      return False
    return term not in known

  def _is_beyond(self, fact: str, value: float | None) -> bool:
    limits = self.limits(fact)
    return limits is not None and value is not None and not limits[0] <= value <= limits[1]

  def describe(self) -> list[tuple[str, str]]:
    """Each fact with what is known of it, for a reader."""
    terms = [(fact, self._describe_terms(fact)) for fact in TERM_FLAGS if fact in self.terms]
    return [*terms, *((fact, self._describe_range(fact)) for fact in RANGE_FLAGS if fact in self.ranges)]

  def _describe_terms(self, fact: str) -> str:
    counts, known = self.terms[fact], self.known_terms(fact)
    shown = ', '.join(
      f'{term} {count}' + ('' if known is None or term in known else ' (too few)')
      for term, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    return shown if known is not None else f'{shown} (not judged: too few state it)'

  def _describe_range(self, fact: str) -> str:
    found, limits = self.ranges[fact], self.limits(fact)
    shown = f'{found.low:.4g} to {found.high:.4g}'
    if limits is None:
      return f'{shown} (not judged: {found.stated} of {found.images} state it)'
    return f'{shown}; outside is below {max(0.0, limits[0]):.4g} and above {limits[1]:.4g}'

  def to_facts(self) -> dict[str, Any]:
    """Plain JSON, as `bundle.json` has it; `{}` where nothing is known."""
    if not self.images:
      return {}
    ranges = {fact: asdict(found) for fact, found in self.ranges.items()}
    terms = {fact: dict(counts) for fact, counts in self.terms.items()}
    return {'version': VERSION, 'images': self.images, 'terms': terms, 'ranges': ranges}


def intended_use_of(rows: Iterable[Row]) -> IntendedUse:
  """What a model is meant for that is trained on these images: rows of the index of a dataset, for `COLUMNS`."""
  images = 0
  terms: defaultdict[str, Counter[str]] = defaultdict(Counter)
  numbers: defaultdict[str, list[float | None]] = defaultdict(list)
  for row in rows:
    images += 1
    for fact, term in terms_of(row).items():
      terms[fact][term] += 1
    for fact, value in numbers_of(row).items():
      numbers[fact].append(value)
  counts = {fact: dict(sorted(counted.items())) for fact, counted in sorted(terms.items())}
  ranges = {fact: found for fact, values in sorted(numbers.items()) if (found := _range_of(values))}
  return IntendedUse(images, counts, ranges)


def from_facts(facts: Mapping[str, Any]) -> IntendedUse:
  """Reads what `to_facts` wrote, and the counts of bundles from before, which know no ranges.

  Raises:
    ValueError: if it is of another version, or cannot be read.
  """
  try:
    if 'version' not in facts:
      return _from_counts(facts)
    if facts['version'] != VERSION:
      raise ValueError(f'it has the version {facts["version"]!r}, expected {VERSION}')
    ranges = {fact: Range(**values) for fact, values in facts['ranges'].items()}
    return IntendedUse(facts['images'], _checked_counts(facts['terms']), ranges)
  except (AttributeError, KeyError, TypeError) as error:
    raise ValueError(f'it cannot be read ({type(error).__name__}: {error})') from None


def common_use(uses: Sequence[IntendedUse]) -> IntendedUse:
  """What several models are all meant for: an image that is unlike the training images of one of them is outside."""
  if all(use == uses[0] for use in uses):
    return uses[0]
  terms = {fact: _fewest(found) for fact, found in _by_fact([use.terms for use in uses])}
  ranges = {fact: _narrowest(found) for fact, found in _by_fact([use.ranges for use in uses])}
  return IntendedUse(min(use.images for use in uses), terms, ranges)


def _by_fact(uses: Sequence[Mapping[str, T]]) -> Iterator[tuple[str, list[T]]]:
  """Each fact with what those say of it that know it."""
  for fact in sorted({fact for use in uses for fact in use}):
    yield fact, [use[fact] for use in uses if fact in use]


def _fewest(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
  terms = sorted(set.intersection(*map(set, counts)))
  common = {term: min(one[term] for one in counts) for term in terms}
  rest = min(sum(one.values()) for one in counts) - sum(common.values())
  return common | ({NOT_OF_ALL: rest} if rest else {})


def _narrowest(ranges: Sequence[Range]) -> Range:
  return Range(
    min(one.stated for one in ranges),
    min(one.images for one in ranges),
    max(one.low for one in ranges),
    min(one.high for one in ranges),
  )


def _from_counts(facts: Mapping[str, Any]) -> IntendedUse:
  """Of version 1: for each column counts of its values, over all images."""
  counts = _checked_counts(facts)
  colours: Counter[str] = Counter()
  for photometric, count in counts.pop('photometric', {}).items():
    colours[_colour(photometric) or UNKNOWN] += count
  images = max((sum(values.values()) for values in counts.values()), default=colours.total())
  return IntendedUse(images, counts | ({'colour': dict(colours)} if colours else {}))


def _checked_counts(facts: Mapping[str, Any]) -> dict[str, Mapping[str, int]]:
  return {fact: {term: int(count) for term, count in values.items()} for fact, values in facts.items()}


def terms_of(row: Row) -> dict[str, str]:
  """The terms of an image for the facts that its kind of file can state."""
  is_picture = row.get('transfer_syntax') in _PICTURES
  terms: dict[str, str | None] = {'format': 'picture' if is_picture else 'dicom'}
  terms['colour'] = _colour(row.get('photometric'))
  if not is_picture:
    terms |= {fact: row.get(fact) for fact in sorted(_ABSENCE_IS_A_TERM)}
    terms |= {'bits_stored': _depth(row.get('bits_stored')), 'sex': _sex(row.get('sex'))}
  return {fact: term or UNKNOWN for fact, term in terms.items()}


def _colour(photometric: str | None) -> str | None:
  if not photometric or photometric in (UNKNOWN, OTHER):
    return None
  return 'grey' if photometric.startswith('MONOCHROME') else 'colour'


def _depth(bits_stored: int | None) -> str | None:
  if bits_stored is None:
    return None
  return 'up to 8' if bits_stored <= 8 else 'above 8'


def _sex(sex: str | None) -> str | None:
  """O is as rare everywhere as it says little of an image."""
  return sex if sex in ('F', 'M') else None


def numbers_of(row: Row) -> dict[str, float | None]:
  """The numbers of an image for the facts that its kind of file can state."""
  rows, columns = row.get('rows'), row.get('columns')
  numbers = {'rows': rows, 'columns': columns, 'aspect': columns / rows if rows and columns else None}
  return numbers if row.get('transfer_syntax') in _PICTURES else {'age_years': row.get('age_years'), **numbers}


def _is_judged(stated: int, images: int) -> bool:
  return stated >= max(_STATED_IMAGES, _STATED_SHARE * images)


def _range_of(values: Sequence[float | None]) -> Range | None:
  stated = sorted(value for value in values if value is not None)
  if not stated:
    return None
  last = len(stated) - 1
  cut = math.floor(_TAIL * last)
  return Range(len(stated), len(values), float(stated[cut]), float(stated[last - cut]))
