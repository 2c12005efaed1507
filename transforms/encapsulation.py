"""Which fragments make up which compressed frame (PS3.5 A.4)."""

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_ITEM: Final = b'\xfe\xff\x00\xe0'
_HEADER_BYTES: Final = 8
_MOST_FRAGMENTS: Final = 1 << 20
_STARTS: Final = (b'\xff\xd8\xff', b'\xff\x4f\xff\x51', b'\x00\x00\x00\x0cjP  ')  # JPEG and JPEG-LS, JPEG 2000, JP2


@dataclass(frozen=True, slots=True)
class Fragment:
  """One item.

  Attributes:
    offset: of the item from the first one after the offset table: what tables point to.
    start: of its content, in the file.
    end: of its content; the data's end where it breaks off.
  """

  offset: int
  start: int
  end: int


Frames = tuple[tuple[Fragment, ...], ...]


def is_encapsulated(data: bytes, start: int) -> bool:
  """Whether a value starts as a sequence of fragments does, with an item."""
  return data.startswith(_ITEM, start)


def frame_bytes(data: bytes, fragments: Iterable[Fragment]) -> bytes:
  """A compressed frame."""
  return b''.join(data[fragment.start : fragment.end] for fragment in fragments)


def read_frames(data: bytes, start: int, end: int, count: int, offsets: Sequence[int] = ()) -> Frames:
  """Puts fragments together.

  Args:
    data: that hold the value.
    start: of the value, an item: the basic offset table, perhaps empty.
    end: of the value.
    count: of frames that are declared.
    offsets: of the extended offset table, perhaps empty (PS3.3 C.7.6.3.1.8).

  Returns:
    Fragments by frame: as many frames as can be told apart, at most `count`.
    Tables that do not fit the fragments are ignored: wrong ones are common.
  """
  items = _fragments(data, start, end)
  table, fragments = items[:1], items[1:]
  if count == 1:
    return (tuple(fragments),) if fragments else ()
  if len(fragments) > count:
    fragments = [fragment for fragment in fragments if fragment.start < fragment.end]
  if len(fragments) <= count:
    return tuple((fragment,) for fragment in fragments)
  found = [fragment.offset for fragment in fragments]
  basic = [int.from_bytes(data[at : at + 4], 'little') for at in range(table[0].start, table[0].end - 3, 4)]
  for candidate in (offsets, basic, _starts_of_codestreams(data, fragments)):
    if len(candidate) == count and _fit(candidate, found):
      firsts = [bisect_left(found, offset) for offset in candidate]
      return tuple(tuple(fragments[a:b]) for a, b in zip(firsts, [*firsts[1:], len(fragments)], strict=True))
  return ()


def _fit(offsets: Sequence[int], found: Sequence[int]) -> bool:
  """Whether they are offsets of fragments, in ascending order, from the first."""
  ascending = all(a < b for a, b in itertools.pairwise(offsets))
  return ascending and offsets[0] == 0 and set(offsets) <= set(found)


def _starts_of_codestreams(data: bytes, fragments: Sequence[Fragment]) -> list[int]:
  return [fragment.offset for fragment in fragments if data.startswith(_STARTS, fragment.start, fragment.end)]


def _fragments(data: bytes, start: int, end: int) -> list[Fragment]:
  """Items of the value, the offset table first."""
  found: list[Fragment] = []
  position, first = start, None
  while data.startswith(_ITEM, position) and position + _HEADER_BYTES <= end and len(found) < _MOST_FRAGMENTS:
    content = position + _HEADER_BYTES
    after = content + int.from_bytes(data[position + 4 : content], 'little')
    found.append(Fragment(position - (first or 0), content, min(after, end)))
    first = after if first is None else first
    position = after
  return found
