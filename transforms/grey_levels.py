"""Images of one sample a pixel, as the values that occur in them: what a display chain works on.

A chain is a function of the value alone. Where an image has few values it is
computed once for each, and applied as a table; where it has many (32 bits,
floats) in bands of pixels, so that the float64 in between stay small.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from transforms.elements import Pixels
from transforms.order_statistics import Counts, Numbers, order_statistics

_STRETCH_PERCENTILES: Final = (0.5, 99.5)  # a burnt-in marker or a dead pixel must not set the scale
_LARGEST: Final = 1e30  # keeps differences of hostile floats finite
_TABLE_ENTRIES: Final = 1 << 16
_BAND_PIXELS: Final = 1 << 18  # 2 MiB as float64: stays in the cache

Function = Callable[[Numbers], Numbers]
Weights = Callable[[Numbers, Counts], Counts]


class GreyLevels(Protocol):
  """What a chain needs to know of an image."""

  @property
  def all_numbers(self) -> bool:
    """Whether no pixel can be NaN or infinite."""

  def blocks(self) -> Iterator[tuple[Numbers, Counts]]:
    """Values, (n,) float64, finite, and the pixels of each, (n,) int64, 0 for those that are not numbers."""

  def paint(self, entries: Callable[[Numbers], Pixels]) -> Pixels:
    """The image with each value replaced by its entry, (n,) grey or (n, 3) RGB."""


@dataclass(frozen=True)  # no slots: `blocks` are counted once
class ValueTable:
  """An image of whole numbers that span no more than 65,536.

  Attributes:
    least: the lowest value.
    entries: how many values there are from the lowest to the highest.
    where: (rows, columns) uint8 or uint16, distance from the lowest.
  """

  least: int
  entries: int
  where: NDArray[Any]
  all_numbers: ClassVar[bool] = True

  @property
  def values(self) -> Numbers:
    """All from the lowest to the highest, also those that do not occur."""
    return np.arange(self.least, self.least + self.entries, dtype=np.float64)

  @cached_property
  def counts(self) -> Counts:
    """Pixels of each value."""
    counted = cv2.calcHist([self.where], [0], None, [self.entries], [0, self.entries])
    return counted.ravel().astype(np.int64)

  def blocks(self) -> Iterator[tuple[Numbers, Counts]]:
    """One block."""
    yield self.values, self.counts

  def paint(self, entries: Callable[[Numbers], Pixels]) -> Pixels:
    """By a table."""
    painted = entries(self.values)
    if painted.ndim > 1:
      return painted[self.where]
    table = np.zeros(1 << 8 * self.where.dtype.itemsize, np.uint8)
    table[: self.entries] = painted
    return cv2.LUT(self.where, table)


@dataclass(frozen=True, slots=True, eq=False)
class ValueBands:
  """An image of any other numbers, (rows, columns)."""

  image: NDArray[Any]
  all_numbers: ClassVar[bool] = False

  def blocks(self) -> Iterator[tuple[Numbers, Counts]]:
    """A block a band, a value a pixel."""
    pixels = self.image.reshape(-1)
    for band in band_slices(pixels):
      values = pixels[band].astype(np.float64)
      yield finite(values), np.isfinite(values).astype(np.int64)

  def paint(self, entries: Callable[[Numbers], Pixels]) -> Pixels:
    """Band by band."""
    painted = np.concatenate([entries(values) for values, _ in self.blocks()])
    return painted.reshape(self.image.shape + painted.shape[1:])


def band_slices(pixels: NDArray[Any]) -> Iterator[slice]:
  """Slices of the first axis, of some hundred thousand numbers each."""
  step = max(1, _BAND_PIXELS // max(1, pixels[:1].size))
  return (slice(start, start + step) for start in range(0, len(pixels), step))


def grey_levels(image: NDArray[Any]) -> GreyLevels:
  """Levels of a (rows, columns) image of integers or floats."""
  if image.dtype.kind not in 'iu':
    return ValueBands(image)
  least, greatest = int(image.min()), int(image.max())
  if greatest - least >= _TABLE_ENTRIES:
    return ValueBands(image)
  kind = np.uint8 if greatest - least < 256 else np.uint16
  where = image if least == 0 and image.dtype == kind else _distance(image, least, kind)
  return ValueTable(least, greatest - least + 1, np.ascontiguousarray(where))


def _distance(image: NDArray[Any], least: int, kind: type) -> NDArray[Any]:
  """Image less its lowest value; what overflows in between is taken back by the cast."""
  unsigned = image.view(f'u{image.dtype.itemsize}')
  offset = unsigned.dtype.type(least & np.iinfo(unsigned.dtype).max)
  return np.subtract(unsigned, offset, dtype=unsigned.dtype).astype(kind, copy=False)


def finite(values: Numbers) -> Numbers:
  """Numbers that can be subtracted: NaN becomes 0, what is huge is cut."""
  if np.isfinite(values).all() and np.abs(values).max(initial=0) <= _LARGEST:
    return values
  return np.clip(np.nan_to_num(values), -_LARGEST, _LARGEST)


def _as_it_is(values: Numbers) -> Numbers:
  return values


def all_count(_: Numbers, counts: Counts) -> Counts:
  """Every pixel matters."""
  return counts


def stretch(levels: GreyLevels, shown: Function = _as_it_is, counted: Weights = all_count) -> Function:
  """A percentile stretch; where the percentiles coincide from the least value to the greatest.

  Args:
    levels: of the image.
    shown: from its values to those that are stretched.
    counted: from values and counts to the counts that matter. Where none does, all do.

  Returns:
    From what `shown` gives to 0…1; all 0 for a constant image.
  """

  def blocks() -> Iterator[tuple[Numbers, Counts]]:
    return ((shown(values), counted(values, counts)) for values, counts in levels.blocks())

  last = sum(int(counts.sum()) for _, counts in blocks()) - 1
  if last < 0:
    return np.zeros_like if counted is all_count else stretch(levels, shown)
  low, high = order_statistics(blocks, [int(percent / 100 * last) for percent in _STRETCH_PERCENTILES])
  if low == high:
    low, high = order_statistics(blocks, [0, last])
  if low == high:
    return np.zeros_like
  return lambda values: np.clip((values - low) / (high - low), 0, 1)


def to_8_bit(shares: Numbers) -> Pixels:
  """0…1 to 0…255, rounded."""
  return np.rint(255 * shares).astype(np.uint8)


def stretch_to_8_bit(image: NDArray[Any]) -> Pixels:
  """Stretches an image of unknown range to uint8 of the same shape."""
  levels = grey_levels(image)
  shares = stretch(levels)
  return levels.paint(lambda values: to_8_bit(shares(values)))
