"""Palettes: stored values to colours (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, C.7.9)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from transforms.dicom_values import DataSet, integer, text, value_bytes
from transforms.elements import Pixels
from transforms.errors import InputError
from transforms.lookup_tables import Words, lut_entries, read_descriptor

_MOST_ENTRIES: Final = 1 << 16
_COLOURS: Final = ('Red', 'Green', 'Blue')
_COLOURED: Final = ('COLOR', 'MIXED')  # PS3.3 C.8.16.2.1.1.1
_DISCRETE: Final = 0  # kinds of segments
_LINEAR: Final = 1
_INDIRECT: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
  """A table of colours.

  Attributes:
    first: the stored value that its first entry stands for.
    colours: (n, 3) uint8 RGB.
  """

  first: int
  colours: Pixels

  def paint(self, values: NDArray[np.float64]) -> Pixels:
    """(n,) stored values to (n, 3) RGB; beyond its ends the palette is constant (PS3.3 C.7.6.3.1.5)."""
    return self.colours[np.clip(values - self.first, 0, len(self.colours) - 1).astype(np.int64)]

  def leave_out(self, values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts with those of values that it colours at 0."""
    return np.where(values >= self.first, 0, counts)


def supplemental_palette(dataset: DataSet) -> Palette | None:
  """The palette for the upper values of a grey image; None where there is none that can be read (PS3.3 C.7.6.19)."""
  if text(dataset, 'PixelPresentation') not in _COLOURED:
    return None
  try:
    return read_palette(dataset)
  except InputError:  # colour is on top: the image is grey without it
    return None


def read_palette(dataset: DataSet) -> Palette:
  """Reads the three tables, plain or segmented.

  Raises:
    InputError: `header-corrupt`.
  """
  entries, first, bits = read_descriptor(dataset, 'RedPaletteColorLookupTableDescriptor')
  tables = [_table(dataset, colour, entries, bits) for colour in _COLOURS]
  length = min(map(len, tables))
  if not length:
    raise InputError('header-corrupt', 'empty palette')
  # A first value of signed pixels, read as unsigned.
  signed = integer(dataset, 'PixelRepresentation') == 1
  return Palette(first - _MOST_ENTRIES if signed and first >= 1 << 15 else first, _upper_bytes(tables, length))


def _table(dataset: DataSet, colour: str, entries: int, bits: int) -> Words:
  plain = value_bytes(dataset, f'{colour}PaletteColorLookupTableData')
  if plain:
    return lut_entries(plain, dataset.encoding.order, entries)
  segments = value_bytes(dataset, f'Segmented{colour}PaletteColorLookupTableData')
  words = lut_entries(segments, dataset.encoding.order, len(segments) if bits <= 8 else len(segments) // 2)
  return _expand(words, entries, words_of_offset=4 if bits <= 8 else 2)


def _upper_bytes(tables: list[Words], length: int) -> Pixels:
  colours = np.stack([table[:length] for table in tables], axis=-1)
  # Entries of 8 bits in words of 16, the upper byte empty: against the standard, and common.
  return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)


def _expand(words: Words, entries: int, words_of_offset: int) -> Words:
  """Entries of a segmented table (PS3.3 C.7.9.2), as many as are wanted: a hostile one would not end."""
  table = np.zeros(entries, np.int64)
  filled = 0
  for segment in _segments(words, words_of_offset):
    drawn = _draw(segment, int(table[filled - 1]), entries - filled)
    table[filled : filled + drawn.size] = drawn
    filled += drawn.size
    if filled == entries:
      break
  return table[:filled]


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
  kind: int
  length: int
  data: Words  # of a linear one its last value


def _segments(words: Words, words_of_offset: int) -> Iterator[_Segment]:
  """Discrete and linear segments; an indirect one is replaced by those that it points to."""
  position = 0
  while position + 2 < len(words):  # a padding byte may follow the last
    segment, after = _segment(words, position, words_of_offset)
    if segment.kind == _INDIRECT:
      yield from _referenced(words, segment, words_of_offset)
    else:
      yield segment
    position = after


def _segment(words: Words, position: int, words_of_offset: int) -> tuple[_Segment, int]:
  kind, length = int(words[position]), int(words[position + 1])
  if kind not in (_DISCRETE, _LINEAR, _INDIRECT):
    raise InputError('header-corrupt', f'palette segment of kind {kind}')
  after = position + 2 + {_DISCRETE: length, _LINEAR: 1, _INDIRECT: words_of_offset}[kind]
  return _Segment(kind, length, words[position + 2 : after]), after


def _referenced(words: Words, reference: _Segment, words_of_offset: int) -> Iterator[_Segment]:
  """As many segments as the indirect one says, from the byte that it points to (PS3.3 C.7.9.2.3)."""
  bits_each = 32 // words_of_offset
  offset = sum(int(word) << bits_each * index for index, word in enumerate(reference.data))
  position = offset if words_of_offset == 4 else offset // 2
  for _ in range(reference.length):
    if position + 2 >= len(words):
      raise InputError('header-corrupt', 'palette segment beyond the table')
    segment, position = _segment(words, position, words_of_offset)
    if segment.kind == _INDIRECT:
      raise InputError('header-corrupt', 'palette segments that refer to each other')
    yield segment


def _draw(segment: _Segment, before: int, room: int) -> Words:
  if segment.kind == _DISCRETE:
    return segment.data[:room]
  steps = np.arange(1, segment.length + 1)[:room]
  return np.rint(before + (int(segment.data[0]) - before) * steps / segment.length).astype(np.int64)
