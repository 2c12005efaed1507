"""Whether a label names a patient: the folders of a PACS export are called after patients, studies and series."""

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from transforms.elements import HeaderFacts

# Shorter values of ASCII are grades and counts far more often than they name anybody: a label 1 beside a PatientID 1.
_SHORTEST: Final = 4
_WORD: Final = re.compile(r'[^\W_]+')
_DIGRAPH: Final = re.compile('([aou])e')  # as Müller is spelled without dots


def names_patient(label: str, facts: HeaderFacts, patient: str | None) -> bool:
  """Whether a label is a name or an id of the image's patient, study or series, however it is spelled.

  Args:
    label: of the image.
    facts: of its header.
    patient: as it is known otherwise, from a CSV or from the member name.
  """
  return any(_is_in(value, label) for value in _identities(facts, patient))


def _identities(facts: HeaderFacts, patient: str | None) -> Iterator[str]:
  ids = (facts.patient_id, facts.accession_number, facts.study_date, patient)
  uids = (facts.study_instance_uid, facts.series_instance_uid, facts.sop_instance_uid)
  yield from (value for value in (*ids, *uids) if value)
  for group in (facts.patient_name or '').split('='):  # one for each way of writing (PS3.5 6.2.1.2)
    yield ' '.join(group.split('^')[:2])  # family and given name; folders leave out what follows


def _is_in(value: str, label: str) -> bool:
  wanted, found = _words(value), _words(label)
  whole = ''.join(wanted)
  if not whole or (len(whole) < _SHORTEST and whole.isascii()):
    return False
  if ''.join(found) in (whole, ''.join(reversed(wanted))):
    return True
  is_peculiar = len(wanted) > 1 or any(char.isdigit() for char in whole)  # a family name alone may be a word
  return is_peculiar and set(wanted) <= set(found)


@functools.lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
  """Letters and digits, without what differs between systems: case, accents, and what stands between."""
  parts = unicodedata.normalize('NFKD', text.casefold())
  plain = ''.join(char for char in parts if not unicodedata.combining(char))
  return tuple(_WORD.findall(_DIGRAPH.sub(r'\1', plain)))
