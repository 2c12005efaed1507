"""Conditions on header facts, as a site writes them in YAML: what `--select` and `--burned_in_regions` share.

Some facts are free text: series description, device model. They are looked at
here, in memory, and are no part of what leaves the function that decodes.
"""

import datetime
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom._uid_dict import UID_dictionary

from transforms import vocabularies
from transforms.dicom import Dicom
from transforms.dicom_values import text, texts
from transforms.elements import HeaderFacts
from transforms.yaml_entries import Entry, check_keys

_MAX_TEXT: Final = 1024  # LO has 64 characters (PS3.5 6.2); what is longer is cut before a pattern sees it
_MAX_IMAGE_TYPES: Final = 32


@dataclass(frozen=True, slots=True)
class Candidate:
  """One image as conditions see it; never leaves the function that decodes it.

  Attributes:
    format: `dicom`, `jpeg` or `png`.
    facts: as far as they could be read.
    image_type: values of (0008,0008).
    unknown: facts that a broken header does not tell, rather than not having them.
  """

  format: str
  facts: HeaderFacts
  image_type: tuple[str, ...] = ()
  model: str | None = None
  protocol_name: str | None = None
  series_description: str | None = None
  study_description: str | None = None
  unknown: frozenset[str] = frozenset()


def dicom_candidate(dataset: Dicom, facts: HeaderFacts) -> Candidate:
  """What conditions may ask of a DICOM object."""
  return Candidate(
    format='dicom',
    facts=facts,
    image_type=tuple(value.upper() for value in texts(dataset, 'ImageType')[:_MAX_IMAGE_TYPES]),
    model=text(dataset, 'ManufacturerModelName'),
    protocol_name=text(dataset, 'ProtocolName'),
    series_description=text(dataset, 'SeriesDescription'),
    study_description=text(dataset, 'StudyDescription'),
  )


@dataclass(frozen=True, slots=True)
class OneOf:
  """The fact has one of these values; None stands for a fact that is absent."""

  fact: str
  values: tuple[str | bool | None, ...]

  def holds(self, candidate: Candidate) -> bool:
    """Whether it does."""
    found = FACTS[self.fact].values(candidate)
    return any(value in self.values for value in found) if found else None in self.values


@dataclass(frozen=True, slots=True)
class Matches:
  """One of these regular expressions is found in the text, in any case; None matches where there is none."""

  fact: str
  patterns: tuple[str | None, ...]

  def holds(self, candidate: Candidate) -> bool:
    """Whether it is."""
    found = FACTS[self.fact].values(candidate)
    if not found:
      return None in self.patterns
    return any(_compiled(pattern).search(found[0][:_MAX_TEXT]) for pattern in self.patterns if pattern is not None)


@dataclass(frozen=True, slots=True)
class Within:
  """The fact lies between two values, both included; False where it is absent."""

  fact: str
  low: int | str | None
  high: int | str | None

  def holds(self, candidate: Candidate) -> bool:
    """Whether it does."""
    found = FACTS[self.fact].values(candidate)
    return bool(found) and (self.low is None or found[0] >= self.low) and (self.high is None or found[0] <= self.high)


Condition = OneOf | Matches | Within


def hold(conditions: tuple[Condition, ...], candidate: Candidate) -> bool | None:
  """Whether all conditions hold; None where that depends on what is unknown."""
  known = [condition for condition in conditions if condition.fact not in candidate.unknown]
  if not all(condition.holds(candidate) for condition in known):
    return False
  return True if len(known) == len(conditions) else None


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
  return re.compile(pattern, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Fact:
  """How a fact is found in a candidate, and how a condition on it is read."""

  values: Callable[[Candidate], tuple[Any, ...]]
  read: Callable[[str, Entry], Condition]


def read_conditions(entries: Mapping[str, Entry]) -> tuple[Condition, ...]:
  """Reads the conditions of a rule or region.

  Raises:
    RulesError: naming the line.
  """
  return tuple(FACTS[name].read(name, entry) for name, entry in entries.items())


def _attribute(name: str) -> Callable[[Candidate], tuple[Any, ...]]:
  def found(candidate: Candidate) -> tuple[Any, ...]:
    value = getattr(candidate if name in Candidate.__slots__ else candidate.facts, name)
    return () if value is None else (value,)

  return found


def _derived(candidate: Candidate) -> tuple[bool, ...]:
  """Value 1 of Image Type (PS3.3 C.7.6.1.1.2)."""
  return (candidate.image_type[0] == 'DERIVED',) if candidate.image_type else ()


def _terms(term: Callable[[str], str | None], expected: str) -> Callable[[str, Entry], OneOf]:
  """Reads texts that `term` brings to the form of the facts, or refuses by None."""

  def read_one(entry: Entry) -> str | None:
    if entry.value is None:
      return None
    found = term(entry.value) if isinstance(entry.value, str) else None
    if found is None:
      raise entry.error(f'expected {expected}, found {entry.shown}')
    return found

  return lambda fact, entry: OneOf(fact, tuple(map(read_one, entry.one_or_more())))


def _vocabulary(term: Callable[[str], str | None], name: str) -> Callable[[str, Entry], OneOf]:
  def known(given: str) -> str | None:
    found = term(given)
    return None if found == vocabularies.OTHER and given.lower() != vocabularies.OTHER else found

  return _terms(known, f'a {name} that radbeam knows (whatever else a header holds is `other`)')


def _uid(kind: str) -> Callable[[str], str | None]:
  by_keyword = {entry[4]: uid for uid, entry in UID_dictionary.items() if entry[1] == kind and entry[4]}

  def found(given: str) -> str | None:
    return given if re.fullmatch(r'[0-9.]{1,64}', given) else by_keyword.get(given)

  return found


def _read_truth(fact: str, entry: Entry) -> OneOf:
  if not isinstance(entry.value, bool | None):
    raise entry.error(f'expected true, false or null, found {entry.shown}')
  return OneOf(fact, (entry.value,))


def _read_patterns(fact: str, entry: Entry) -> Matches:
  return Matches(fact, tuple(map(_pattern, entry.one_or_more())))


def _pattern(entry: Entry) -> str | None:
  if not isinstance(entry.value, str | None):
    raise entry.error(f'expected a regular expression, found {entry.shown}; quote it')
  try:
    _compiled(entry.value or '')
  except (re.error, OverflowError, RecursionError) as error:
    raise entry.error(f'{entry.shown} is no regular expression of Python ({error})') from None
  return entry.value


def _range(bound: Callable[[Entry], int | str], what: str) -> Callable[[str, Entry], Within]:
  def read(fact: str, entry: Entry) -> Within:
    if not isinstance(entry.value, dict):
      return Within(fact, bound(entry), bound(entry))
    check_keys(entry.value, ('from', 'to'), f'{fact}, which takes {what} or both ends of a range')
    low, high = (bound(entry.value[key]) if key in entry.value else None for key in ('from', 'to'))
    if not entry.value or (low is not None and high is not None and low > high):  # type: ignore[operator]
      raise entry.error(f'{fact} holds for nothing; expected {what}, or `from` and `to`, the lower one first')
    return Within(fact, low, high)

  return read


def _whole(entry: Entry) -> int:
  if not isinstance(entry.value, int) or isinstance(entry.value, bool) or entry.value < 0:
    raise entry.error(f'expected a whole number, found {entry.shown}')
  return entry.value


def _day(entry: Entry) -> str:
  """As DICOM writes a date (PS3.5 6.2, DA): its order is that of the days."""
  given = entry.value
  if isinstance(given, datetime.datetime) or not isinstance(given, datetime.date):
    raise entry.error(f'expected a date such as 2024-01-31, found {entry.shown}')
  return given.strftime('%Y%m%d').zfill(8)


def _formats(given: str) -> str | None:
  return given if given in ('dicom', 'jpeg', 'png') else None


_VOCABULARIES: Final[Mapping[str, Callable[[str], str | None]]] = {
  'modality': vocabularies.modality,
  'view_position': vocabularies.view_position,
  'body_part': vocabularies.body_part,
  'manufacturer': vocabularies.manufacturer,
  'photometric': vocabularies.photometric,
}
_UIDS: Final = {'sop_class_uid': 'SOP Class', 'transfer_syntax': 'Transfer Syntax'}

FACTS: Final[Mapping[str, _Fact]] = {
  'format': _Fact(_attribute('format'), _terms(_formats, 'dicom, jpeg or png')),
  **{name: _Fact(_attribute(name), _vocabulary(term, name)) for name, term in _VOCABULARIES.items()},
  'image_type': _Fact(lambda candidate: candidate.image_type, _terms(str.upper, 'a text')),
  'derived': _Fact(_derived, _read_truth),
  'lossy': _Fact(_attribute('lossy'), _read_truth),
  **{
    name: _Fact(_attribute(name), _terms(_uid(kind), f'the UID or keyword of a {kind}')) for name, kind in _UIDS.items()
  },
  'study_date': _Fact(_attribute('study_date'), _range(_day, 'a date')),
  **{
    name: _Fact(_attribute(name), _range(_whole, 'a number'))
    for name in ('rows', 'columns', 'number_of_frames', 'age_years')
  },
  **{
    name: _Fact(_attribute(name), _read_patterns)
    for name in ('model', 'protocol_name', 'series_description', 'study_description')
  },
}

# What a header that cannot be read leaves unknown.
UNKNOWN_OF_DICOM: Final = frozenset(FACTS) - {'format'}
UNKNOWN_OF_RASTER: Final = frozenset({'rows', 'columns', 'photometric', 'number_of_frames'})
