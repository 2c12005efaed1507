"""Stored values to what a radiologist would see, in 8 bits: the chain of PS3.3 C.11 and C.7.6.3.

All of the chain after unused bits are masked is a function of the stored value
alone. So it is computed for each value that occurs, not for each pixel, and
applied as a table.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from transforms.codecs import StoredValues
from transforms.dicom import item, number, text, third_party
from transforms.elements import Pixels
from transforms.errors import InputError
from transforms.grey_levels import Counts, GreyLevels, Numbers, finite, grey_levels, stretch, to_8_bit
from transforms.pixel_layout import Layout

_LUT_ENTRIES: Final = 1 << 16  # what a descriptor's 0 stands for


def display_frame(values: StoredValues, dataset: Dataset, layout: Layout, index: int) -> Pixels:
  """Renders one frame.

  Args:
    values: of `stored_frame`, (rows, columns), or (rows, columns, 3) RGB.
    dataset: whose LUTs, windows and functional groups apply.
    layout: of `pixel_layout`.
    index: of the frame, from 0.

  Returns:
    uint8, (rows, columns) grey or (rows, columns, 3) RGB.

  Raises:
    InputError: `header-corrupt` if a lookup table cannot be read.
  """
  if layout.samples == 3:
    return upper_byte(values, layout.bits_stored)
  levels = grey_levels(values)
  if layout.photometric == 'PALETTE COLOR':
    return levels.paint(palette_colours(levels.values, dataset))
  counts = _without_padding(levels, dataset, layout)
  with np.errstate(over='ignore', invalid='ignore'):  # a hostile slope; `finite` follows
    shown = finite(modality_values(levels.values, dataset, index))
    shares = _values_of_interest(shown, counts, dataset, index)
  return levels.paint(to_8_bit(1 - shares if is_inverse(dataset, layout) else shares))


def upper_byte(values: NDArray[Any], bits_stored: int) -> Pixels:
  """Colour of any depth to uint8."""
  if bits_stored < 8:
    return (np.minimum(values, (1 << bits_stored) - 1) * np.uint16(255) // ((1 << bits_stored) - 1)).astype(np.uint8)
  return np.minimum(values >> (bits_stored - 8), 255).astype(np.uint8)


def palette_colours(values: Numbers, dataset: Dataset) -> Pixels:
  """(n,) stored values to (n, 3) RGB (PS3.3 C.7.6.3.1.5, C.7.9)."""
  with third_party('header-corrupt', 'palette'):
    colours = apply_color_lut(values.astype(np.int64), dataset)[:, :3]
  # Entries of 8 bits in words of 16, the upper byte empty: against the standard, and common.
  return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)


def _without_padding(levels: GreyLevels, dataset: Dataset, layout: Layout) -> Counts:
  """Counts with padding at 0 (PS3.3 C.7.5.1.1.2); unchanged if nothing else is there."""
  prefix = layout.keyword.removesuffix('PixelData')  # '', Float, DoubleFloat
  first = number(dataset, f'{prefix}PixelPaddingValue')
  if first is None:
    return levels.counts
  last = number(dataset, f'{prefix}PixelPaddingRangeLimit')
  low, high = sorted(_with_sign(end, layout) for end in (first, first if last is None else last))
  counts = np.where((levels.values >= low) & (levels.values <= high), 0, levels.counts)
  return counts if counts.any() else levels.counts


def _with_sign(value: float, layout: Layout) -> float:
  """A padding value written as unsigned for pixels that are signed."""
  half = 1 << (layout.bits_allocated - 1)
  return value - 2 * half if layout.signed and layout.keyword == 'PixelData' and value >= half else value


def modality_values(values: Numbers, dataset: Dataset, index: int) -> Numbers:
  """Modality LUT, or rescale slope and intercept, of the frame (PS3.3 C.11.1, C.7.6.16.2.9)."""
  lut = item(dataset, 'ModalityLUTSequence')
  if lut is not None:
    return look_up(values, lut)
  group = frame_group(dataset, 'PixelValueTransformationSequence', index)
  return values * (number(group, 'RescaleSlope') or 1) + (number(group, 'RescaleIntercept') or 0)


def frame_group(dataset: Dataset, macro: str, index: int) -> Dataset:
  """The macro's item for the frame, or for all frames, else the data set itself (PS3.3 C.7.6.16)."""
  own = item(item(dataset, 'PerFrameFunctionalGroupsSequence', index), macro)
  shared = item(item(dataset, 'SharedFunctionalGroupsSequence'), macro)
  return own or shared or dataset


def look_up(values: Numbers, lut: Dataset) -> Numbers:
  """Applies a Modality or VOI LUT; beyond its ends it is constant (PS3.3 C.11.1.1, C.11.2.1.1)."""
  with third_party('header-corrupt', 'lookup table'):
    entries, first, _ = (int(part) for part in lut.LUTDescriptor)
    table = _lut_data(lut, entries or _LUT_ENTRIES)
  if not len(table):
    raise InputError('header-corrupt', 'empty lookup table')
  if first >= 1 << 15 and values.min() < 0:  # signed values, descriptor read as unsigned
    first -= 1 << 16
  return table[np.clip(values - first, 0, len(table) - 1).astype(np.int64)].astype(np.float64)


def _lut_data(lut: Dataset, entries: int) -> NDArray[Any]:
  data = lut.LUTData
  if not isinstance(data, bytes):  # VR US: numbers already
    return np.atleast_1d(np.asarray(data, np.int64))[:entries]
  if len(data) < 2 * entries:
    return np.frombuffer(data, np.uint8)[:entries]
  _, little_endian = lut.original_encoding
  return np.frombuffer(data, '>u2' if little_endian is False else '<u2', count=entries)


def _values_of_interest(values: Numbers, counts: Counts, dataset: Dataset, index: int) -> Numbers:
  """VOI LUT or window, 0…1; a percentile stretch where there is neither, or it shows one grey only."""
  group = frame_group(dataset, 'FrameVOILUTSequence', index)
  shares = _voi_lut(values, group)
  if shares is None:
    shares = _voi_window(values, group)
  if shares is not None and np.ptp(to_8_bit(shares[counts > 0]) if counts.any() else [0]):
    return shares
  return stretch(values, counts)


def _voi_lut(values: Numbers, group: Dataset) -> Numbers | None:
  """First VOI LUT, by the bits that its descriptor declares (PS3.3 C.11.2.1.1)."""
  lut = item(group, 'VOILUTSequence')
  if lut is None:
    return None
  output = look_up(values, lut)
  with third_party('header-corrupt', 'lookup table'):
    bits = int(lut.LUTDescriptor[2])
  return np.clip(output / ((1 << min(max(bits, 1), 16)) - 1), 0, 1)


def _voi_window(values: Numbers, group: Dataset) -> Numbers | None:
  center, width = number(group, 'WindowCenter'), number(group, 'WindowWidth')
  if center is None or width is None:
    return None
  return window(values, center, width, text(group, 'VOILUTFunction') or 'LINEAR')


def window(values: Numbers, center: float, width: float, function: str) -> Numbers | None:
  """Applies a window.

  Args:
    values: output of the modality step.
    center: (0028,1050).
    width: (0028,1051).
    function: (0028,1056): `SIGMOID` (PS3.3 C.11.2.1.3.1), `LINEAR_EXACT`
      (C.11.2.1.3.2); anything else is `LINEAR` (C.11.2.1.2.1).

  Returns:
    0…1; None if the width is not allowed for the function.
  """
  if function in ('SIGMOID', 'LINEAR_EXACT'):
    if width <= 0:
      return None
    distance = (values - center) / width
    return 1 / (1 + np.exp(-4 * distance)) if function == 'SIGMOID' else np.clip(distance + 0.5, 0, 1)
  if width < 1:
    return None
  if width == 1:
    return np.where(values <= center - 0.5, 0.0, 1.0)
  return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def is_inverse(dataset: Dataset, layout: Layout) -> bool:
  """Whether the least value is white: MONOCHROME1 demands it (PS3.3 C.7.6.3.1.2), the shape repeats it (C.11.6)."""
  return layout.photometric == 'MONOCHROME1' or text(dataset, 'PresentationLUTShape') == 'INVERSE'
