"""The values that occur in an image, how often, and where: what a display chain works on."""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from transforms.elements import Pixels

_STRETCH_PERCENTILES: Final = (0.5, 99.5)  # a burnt-in marker or a dead pixel must not set the scale
_LARGEST: Final = 1e30  # keeps differences of hostile floats finite

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GreyLevels:
  """Levels of an image of one sample a pixel.

  Attributes:
    values: (n,) float64, finite. Each value of the type for 8 and 16 bits;
      else each pixel is its own level.
    counts: (n,) int64, pixels of that value; 0 for those that are not numbers.
    where: index into `values` of each pixel, in the image's shape.
  """

  values: Numbers
  counts: Counts
  where: NDArray[Any]

  def paint(self, table: Pixels) -> Pixels:
    """The image with each value replaced by its entry, (n,) grey or (n, 3) RGB."""
    if table.ndim == 1 and self.where.dtype.itemsize <= 2:
      return cv2.LUT(self.where, table)
    return table[self.where]


def grey_levels(image: NDArray[Any]) -> GreyLevels:
  """Levels of a (rows, columns) image of integers or floats."""
  if image.dtype.kind in 'iu' and image.dtype.itemsize <= 2:
    bits = np.ascontiguousarray(image).view(f'u{image.dtype.itemsize}')
    patterns = np.arange(1 << 8 * image.dtype.itemsize, dtype=bits.dtype)
    counts = cv2.calcHist([bits], [0], None, [patterns.size], [0, patterns.size]).ravel().astype(np.int64)
    return GreyLevels(patterns.view(image.dtype).astype(np.float64), counts, bits)
  values = image.ravel().astype(np.float64)
  counts = np.isfinite(values).astype(np.int64)
  return GreyLevels(finite(values), counts, np.arange(values.size).reshape(image.shape))


def finite(values: Numbers) -> Numbers:
  """Numbers that can be subtracted: NaN becomes 0, what is huge is cut."""
  return np.clip(np.nan_to_num(values), -_LARGEST, _LARGEST)


def stretch(values: Numbers, counts: Counts) -> Numbers:
  """Percentile stretch to 0…1; where the percentiles coincide from the least value to the greatest.

  Args:
    values: (n,) levels.
    counts: (n,) how often each occurs; 0 takes it out of the percentiles.

  Returns:
    (n,), all 0 for a constant image.
  """
  low, high = _percentiles(values, counts, _STRETCH_PERCENTILES)
  if low == high:
    low, high = _percentiles(values, counts, (0, 100))
  if low == high:
    return np.zeros_like(values)
  return np.clip((values - low) / (high - low), 0, 1)


def _percentiles(values: Numbers, counts: Counts, percents: tuple[float, float]) -> tuple[float, float]:
  present = np.flatnonzero(counts)
  if not present.size:
    return 0.0, 0.0
  ordered = present[np.argsort(values[present], kind='stable')]
  cumulative = np.cumsum(counts[ordered])
  ranks = np.searchsorted(cumulative, [percent / 100 * (cumulative[-1] - 1) for percent in percents], side='right')
  low, high = values[ordered[ranks]]
  return float(low), float(high)


def to_8_bit(shares: Numbers) -> Pixels:
  """0…1 to 0…255, rounded."""
  return np.rint(255 * shares).astype(np.uint8)


def stretch_to_8_bit(image: NDArray[Any]) -> Pixels:
  """Stretches an image of unknown range to uint8 of the same shape."""
  levels = grey_levels(image)
  return levels.paint(to_8_bit(stretch(levels.values, levels.counts)))
