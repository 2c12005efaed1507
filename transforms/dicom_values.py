"""Values of DICOM elements, as far as they can be made out: what is absent, empty or broken is None."""

import functools
import re
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from pydicom import charset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from transforms.dicom_elements import VRS, Budget, Element, Encoding, read_elements, read_items
from transforms.third_party import THIRD_PARTY_ERRORS

_LONGEST_TEXT_BYTES: Final = 1 << 14  # the longest that is asked for has 64 characters (PS3.5 6.2)
_PADDING: Final = ' \0\t\r\n'
_ITEM_TAG: Final = b'\xfe\xff\x00\xe0'
_CHARACTER_SET: Final = 0x00080005
_NUMBERS: Final = {'FD': 'd', 'FL': 'f', 'SL': 'i', 'SS': 'h', 'SV': 'q', 'UL': 'I', 'US': 'H', 'UV': 'Q', 'OW': 'H'}
_NO_TEXT: Final = frozenset(['AT', 'OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', *_NUMBERS])
_STRUCTS: Final = {(vr, order): Struct(order + code) for vr, code in _NUMBERS.items() for order in '<>'}
_NUMBER: Final = re.compile(r'[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?')


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
  """A data set, or an item of a sequence.

  Attributes:
    data: the file, inflated where it was deflated.
    encoding: of the elements.
    at: elements by tag.
    character_set: of texts, as declared here or by what this is an item of (PS3.5 6.1.2.3).
    budget: of the file.
    items: of sequences that were asked for, by tag: where each lies.
  """

  data: bytes
  encoding: Encoding
  at: dict[int, Element]
  character_set: str
  budget: Budget
  items: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

  def __len__(self) -> int:
    return len(self.at)

  def __contains__(self, keyword: str) -> bool:
    return _entry(keyword)[0] in self.at


def read_data_set(
  data: bytes, start: int, end: int, encoding: Encoding, budget: Budget, character_set: str = ''
) -> DataSet:
  """Finds the elements between two offsets.

  Raises:
    InputError: `too-large`, `header-corrupt`: beyond the limits on headers.
  """
  at = read_elements(data, start, end, encoding, budget)
  own = at.get(_CHARACTER_SET)
  declared = data[own.start : own.end].decode('latin-1') if own else ''
  return DataSet(data, encoding, at, declared.strip(_PADDING) or character_set, budget)


@functools.lru_cache(maxsize=1024)
def _entry(keyword: str) -> tuple[int, str]:
  """Tag and VR of the dictionary."""
  tag = tag_for_keyword(keyword)
  if tag is None:
    raise ValueError(f'{keyword!r} is no keyword of PS3.6')
  return tag, dictionary_VR(tag)


def value_bytes(data_set: DataSet, keyword: str) -> bytes:
  """The value as it stands in the file; empty where it is absent."""
  element = data_set.at.get(_entry(keyword)[0])
  return data_set.data[element.start : element.end] if element else b''


def texts(data_set: DataSet, keyword: str) -> list[str]:
  """All values, stripped; those that are empty as empty strings."""
  element = data_set.at.get(_entry(keyword)[0])
  if element is None or element.start == element.end or element.vr in _NO_TEXT:
    return []
  raw = data_set.data[element.start : min(element.end, element.start + _LONGEST_TEXT_BYTES)]
  decoded = raw.decode('ascii') if raw.isascii() and b'\x1b' not in raw else _decode(raw, data_set.character_set)
  return [value.strip(_PADDING) for value in decoded.split('\\')]


def _decode(raw: bytes, character_set: str) -> str:
  """Text in a declared character set (PS3.3 C.12.1.1.2); in Latin-1 where that cannot be."""
  try:
    encodings = charset.convert_encodings(character_set.split('\\'))
    return charset.decode_bytes(raw, encodings, {ord('\\')})
  except THIRD_PARTY_ERRORS:
    return raw.decode('latin-1')


def element_of(data_set: DataSet, keyword: str) -> Element | None:
  """Where the element lies."""
  return data_set.at.get(_entry(keyword)[0])


def text(data_set: DataSet, keyword: str) -> str | None:
  """First value; None where there is none."""
  values = texts(data_set, keyword)
  return values[0] or None if values else None


def numbers(data_set: DataSet, keyword: str) -> list[float | None]:
  """All values; None for one that is no finite number."""
  tag, vr = _entry(keyword)
  element = data_set.at.get(tag)
  if element is None:
    return []
  declared = element.vr if element.vr not in ('', 'UN') else vr.partition(' or ')[0]
  order = '<' if element.vr == 'UN' else data_set.encoding.order
  packed = _STRUCTS.get((declared, order))
  if packed is None:
    return [_number(value) for value in texts(data_set, keyword)]
  whole = (element.end - element.start) // packed.size * packed.size
  values = packed.iter_unpack(data_set.data[element.start : element.start + min(whole, _LONGEST_TEXT_BYTES)])
  return [value if abs(value) < float('inf') else None for (value,) in values]


def _number(value: str) -> float | None:
  """A decimal string; a comma is taken for a point (PS3.5 6.2, DS)."""
  if not _NUMBER.fullmatch(value):
    return None
  converted = float(value.replace(',', '.'))
  return converted if abs(converted) < float('inf') else None


def number(data_set: DataSet, keyword: str) -> float | None:
  """First value as a number; None where there is none that is finite."""
  values = numbers(data_set, keyword)
  return values[0] if values else None


def integer(data_set: DataSet, keyword: str) -> int | None:
  """First value as a whole number; None where there is none."""
  value = number(data_set, keyword)
  return int(value) if value is not None and value == int(value) else None


def integers(data_set: DataSet, keyword: str) -> list[int | None]:
  """All values as whole numbers; None for what is none."""
  return [int(value) if value is not None and value == int(value) else None for value in numbers(data_set, keyword)]


def item(data_set: DataSet | None, keyword: str, index: int = 0) -> DataSet | None:
  """One item of a sequence, from 0; None where there is none.

  Raises:
    InputError: `too-large`, `header-corrupt`: beyond the limits on headers.
  """
  tag, vr = _entry(keyword)
  element = None if data_set is None else data_set.at.get(tag)
  if data_set is None or element is None or vr != 'SQ':
    return None
  encoding = _encoding_inside(data_set, element)
  if tag not in data_set.items:
    data_set.items[tag] = read_items(data_set.data, element, encoding, data_set.budget)
  found = data_set.items[tag]
  if index >= len(found):
    return None
  start, end = found[index]
  if encoding.is_implicit and element.vr == 'UN' and data_set.data[start + 4 : start + 6] in VRS:
    encoding = Encoding(is_implicit=False, order=encoding.order)  # against the rule, and common
  return read_data_set(data_set.data, start, end, encoding, data_set.budget, data_set.character_set)


def _encoding_inside(data_set: DataSet, element: Element) -> Encoding:
  """Inside VR UN all is implicit and little endian (PS3.5 6.2.2, note 2); not all writers keep to that."""
  if element.vr != 'UN':
    return data_set.encoding
  little = data_set.data.startswith(_ITEM_TAG, element.start)
  return Encoding(is_implicit=True, order='<' if little else data_set.encoding.order)
