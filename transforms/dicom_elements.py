"""DICOM data elements where they lie in the file (PS3.5 7.1): found once, read only when asked for.

A library that makes an object of each element and item cannot be bounded: a
few megabytes of empty items cost gigabytes. Here a sequence is passed over by
its lengths and delimiters, without recursion, and counted.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from transforms.elements import Limits
from transforms.errors import InputError

ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_HEADER_BYTES: Final = 8

_SHORT_VRS: Final = 'AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US'
_LONG_VRS: Final = 'OB OD OF OL OV OW SQ SV UC UN UR UT UV'  # a length of 32 bits (PS3.5 7.1.2)
VRS: Final = {
  vr.encode(): (vr, is_long) for vrs, is_long in ((_SHORT_VRS, False), (_LONG_VRS, True)) for vr in vrs.split()
}
_EXPLICIT: Final = {order: Struct(f'{order}HH2sH').unpack_from for order in '<>'}
_LENGTH: Final = {order: Struct(f'{order}I').unpack_from for order in '<>'}


class Element(NamedTuple):
  """Where a value lies.

  Attributes:
    vr: as declared; '' where it is implicit, or none that is known.
    start: of the value.
    end: of the value; of a sequence of undefined length the end of its last item.
    is_open: whether the length was undefined.
  """

  vr: str
  start: int
  end: int
  is_open: bool


@dataclass(frozen=True, slots=True)
class Encoding:
  """How elements are written (PS3.5 A.1 to A.3); `order` as `struct` and numpy write it, `<` or `>`."""

  is_implicit: bool
  order: str


@dataclass(slots=True)
class Budget:
  """What is left of the limits on a header; shared by all its sequences."""

  elements: int
  depth: int

  @classmethod
  def of(cls, limits: Limits) -> 'Budget':
    """A full one."""
    return cls(limits.max_header_elements, limits.max_header_depth)

  def spend(self) -> None:
    """Pays for one element or item.

    Raises:
      InputError: `too-large`.
    """
    self.elements -= 1
    if self.elements < 0:
      raise InputError('too-large', 'more header elements than --max_header_elements')


def read_header(data: bytes, position: int, encoding: Encoding) -> tuple[int, str, int, int]:
  """Tag, VR, start and length of the value; 8 bytes at least must be left.

  What has no VR is read as implicit also where all is explicit: writers switch
  inside sequences, and within VR UN that is the rule (PS3.5 6.2.2). A VR that
  is not known has a length of 16 bits.
  """
  order = encoding.order
  group, number, vr, length = _EXPLICIT[order](data, position)
  tag = group << 16 | number
  if encoding.is_implicit or group == 0xFFFE:
    return tag, '', position + 8, _LENGTH[order](data, position + 4)[0]
  name, is_long = VRS.get(vr, ('', False))
  if is_long:
    return tag, name, position + 12, _length_at(data, position + 8, order)
  if name or (vr.isalpha() and vr.isupper()):
    return tag, name, position + 8, length
  return tag, '', position + 8, _LENGTH[order](data, position + 4)[0]


def _length_at(data: bytes, position: int, order: str) -> int:
  return _LENGTH[order](data, position)[0] if position + 4 <= len(data) else 0


def read_elements(data: bytes, start: int, end: int, encoding: Encoding, budget: Budget) -> dict[int, Element]:
  """Elements from `start` to the end of the item or the data, by tag; of a tag that occurs twice the last.

  A value that breaks off ends where the data end.

  Raises:
    InputError: `too-large` for too many, `header-corrupt` if nested too deep.
  """
  found: dict[int, Element] = {}
  position = start
  while position + _HEADER_BYTES <= end:
    budget.spend()
    tag, vr, value, length = read_header(data, position, encoding)
    if tag in (_ITEM_END, _SEQUENCE_END) or value > end:
      break
    if length == _UNDEFINED:
      value_end, position = _pass_items(data, value, end, encoding, budget)
    else:
      value_end = position = min(value + length, end)
    found[tag] = Element(vr, value, value_end, length == _UNDEFINED)
  return found


def read_items(data: bytes, element: Element, encoding: Encoding, budget: Budget) -> list[tuple[int, int]]:
  """Start and end of each item's content."""
  found: list[tuple[int, int]] = []
  position = element.start
  while position + _HEADER_BYTES <= element.end:
    budget.spend()
    tag, _, start, length = read_header(data, position, encoding)
    if tag != ITEM or start > element.end:
      break
    if length == _UNDEFINED:
      end, position = _pass_elements(data, start, element.end, encoding, budget)
    else:
      end = position = min(start + length, element.end)
    found.append((start, end))
  return found


def _pass_items(data: bytes, start: int, end: int, encoding: Encoding, budget: Budget) -> tuple[int, int]:
  """End of the last item, and of the sequence that they make up."""
  return _pass(data, start, end, encoding, budget, inside_item=False)


def _pass_elements(data: bytes, start: int, end: int, encoding: Encoding, budget: Budget) -> tuple[int, int]:
  """End of the last element, and of the item that they make up."""
  return _pass(data, start, end, encoding, budget, inside_item=True)


def _pass(
  data: bytes, start: int, end: int, encoding: Encoding, budget: Budget, *, inside_item: bool
) -> tuple[int, int]:
  """Passes over what has no length of its own, by the delimiters; to the end of the data where one is missing."""
  open_items = [inside_item]  # of each level whether it is an item; else it is a sequence
  position = start
  while position + _HEADER_BYTES <= end:
    budget.spend()
    tag, _, value, length = read_header(data, position, encoding)
    before = position
    position = value
    if tag == _SEQUENCE_END and open_items[-1]:  # the item's own delimiter was forgotten
      open_items.pop()
      if not open_items:
        return before, before
    if tag in (_ITEM_END, _SEQUENCE_END):
      open_items.pop()
      if not open_items:
        return before, position
    elif not open_items[-1] and tag != ITEM:
      # Nothing behind can be told apart. If there was no item at all it is no sequence: the rest is the value.
      return (end if before == start else before), end
    elif length != _UNDEFINED:
      position = value + length
    else:
      open_items.append(not open_items[-1])
      if (len(open_items) + 1) // 2 > budget.depth:
        raise InputError('header-corrupt', f'sequences nested more than {budget.depth} deep')
  return end, end
