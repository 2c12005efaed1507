"""Stored values to what a radiologist would see, in 8 bits: the chain of PS3.3 C.11 and C.7.6.3.

Unused bits are masked already. All that follows is a function of the stored
value alone, so it is put together once and applied to the values that occur.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transforms.codecs import StoredValues
from transforms.dicom_values import DataSet, item, number, text
from transforms.elements import Pixels
from transforms.errors import InputError
from transforms.grey_levels import (
  Function,
  GreyLevels,
  Weights,
  all_count,
  band_slices,
  finite,
  grey_levels,
  stretch,
  to_8_bit,
)
from transforms.lookup_tables import look_up
from transforms.order_statistics import Numbers
from transforms.palettes import Palette, read_palette, supplemental_palette
from transforms.pixel_layout import Layout
from transforms.trace import note_step

_MOST_LUT_BITS: Final = 16


def display_frame(values: StoredValues, dataset: DataSet, layout: Layout, index: int) -> Pixels:
  """Renders one frame.

  Args:
    values: of `stored_frame`, (rows, columns), or (rows, columns, 3) RGB.
    dataset: whose LUTs, windows and functional groups apply.
    layout: of `pixel_layout`.
    index: of the frame, from 0.

  Returns:
    uint8, (rows, columns) grey or (rows, columns, 3) RGB.

  Raises:
    InputError: `header-corrupt` if the palette or the modality LUT cannot be read.
  """
  if layout.samples == 3:
    note_step('colour: {} of {} bits to RGB of 8', layout.photometric, layout.bits_stored)
    return _colour(values, layout.bits_stored)
  levels = grey_levels(values)
  if layout.photometric == 'PALETTE COLOR':
    note_step('palette to RGB')
    return levels.paint(read_palette(dataset).paint)
  supplement = supplemental_palette(dataset)
  counted = _without_padding(dataset, layout) if supplement is None else supplement.leave_out
  with np.errstate(over='ignore', invalid='ignore'):  # a hostile slope; `finite` follows
    shown = _grey(levels, counted, dataset, layout, index)
  return shown if supplement is None else _coloured(shown, levels, supplement)


def _coloured(shown: Pixels, levels: GreyLevels, supplement: Palette) -> Pixels:
  """Grey, with the values of a supplemental palette in its colours (PS3.3 C.7.6.19)."""
  is_colour = levels.paint(lambda values: (values >= supplement.first).astype(np.uint8))
  return np.where(is_colour[..., None], levels.paint(supplement.paint), shown[..., None])


def _colour(values: StoredValues, bits_stored: int) -> Pixels:
  if values.dtype == np.uint8 and bits_stored == 8:
    return values
  shown = np.empty(values.shape, np.uint8)
  for band in band_slices(values):
    shown[band] = upper_byte(values[band], bits_stored)
  return shown


def upper_byte(values: NDArray[Any], bits_stored: int) -> Pixels:
  """Colour of any depth to uint8."""
  if bits_stored < 8:
    return (np.minimum(values, (1 << bits_stored) - 1) * np.uint16(255) // ((1 << bits_stored) - 1)).astype(np.uint8)
  return np.minimum(values >> (bits_stored - 8), 255).astype(np.uint8)


def _grey(levels: GreyLevels, counted: Weights, dataset: DataSet, layout: Layout, index: int) -> Pixels:
  modality = modality_function(dataset, index)
  voi = voi_function(dataset, index)
  turned = is_inverse(dataset, layout)
  if voi is not None:
    render = partial(_render, modality, voi, turned)
    shown = levels.paint(render)
    if _shows_something(shown, levels, render, counted):
      _note_inversion(turned, layout)
      return shown
    note_step('taken back: it shows one grey only')
  note_step('stretch: the middle 99 percent{}', '' if counted is all_count else ' of what is no padding')
  _note_inversion(turned, layout)
  return levels.paint(partial(_render, modality, stretch(levels, modality, counted), turned))


def _note_inversion(turned: bool, layout: Layout) -> None:
  if turned:
    note_step('inverted: {}', 'MONOCHROME1' if layout.photometric == 'MONOCHROME1' else 'PresentationLUTShape INVERSE')


def _render(modality: Function, voi: Function, turned: bool, values: Numbers) -> Pixels:
  shares = voi(modality(values))
  return to_8_bit(1 - shares if turned else shares)


def _shows_something(shown: Pixels, levels: GreyLevels, render: Callable[[Numbers], Pixels], counted: Weights) -> bool:
  """Whether the pixels that count have more than one grey."""
  if (counted is all_count and levels.all_numbers) or not np.ptp(shown):
    return bool(np.ptp(shown))
  greys = (np.unique(render(values)[counted(values, counts) > 0]) for values, counts in levels.blocks())
  return np.unique(np.concatenate([*greys])).size > 1


def _without_padding(dataset: DataSet, layout: Layout) -> Weights:
  """Sets the counts of padding to 0 (PS3.3 C.7.5.1.1.2)."""
  prefix = layout.keyword.removesuffix('PixelData')  # '', Float, DoubleFloat
  first = number(dataset, f'{prefix}PixelPaddingValue')
  if first is None:
    return all_count
  last = number(dataset, f'{prefix}PixelPaddingRangeLimit')
  low, high = sorted(_with_sign(end, layout) for end in (first, first if last is None else last))
  return lambda values, counts: np.where((values >= low) & (values <= high), 0, counts)


def _with_sign(value: float, layout: Layout) -> float:
  """A padding value written as unsigned for pixels that are signed."""
  half = 1 << (layout.bits_allocated - 1)
  return value - 2 * half if layout.signed and layout.keyword == 'PixelData' and value >= half else value


def modality_function(dataset: DataSet, index: int) -> Function:
  """Modality LUT, or rescale slope and intercept, of the frame (PS3.3 C.11.1, C.7.6.16.2.9).

  Raises:
    InputError: `header-corrupt` for a LUT that cannot be read.
  """
  lut = item(dataset, 'ModalityLUTSequence')
  if lut is not None:
    note_step('modality LUT')
    return look_up(lut)[0]
  group = frame_group(dataset, 'PixelValueTransformationSequence', index)
  slope, intercept = number(group, 'RescaleSlope') or 1, number(group, 'RescaleIntercept') or 0
  note_step('rescale: slope {}, intercept {}', slope, intercept)
  return lambda values: finite(values * slope + intercept)


def frame_group(dataset: DataSet, macro: str, index: int) -> DataSet:
  """The macro's item for the frame, or for all frames, else the data set itself (PS3.3 C.7.6.16)."""
  own = item(item(dataset, 'PerFrameFunctionalGroupsSequence', index), macro)
  shared = item(item(dataset, 'SharedFunctionalGroupsSequence'), macro)
  return own or shared or dataset


def voi_function(dataset: DataSet, index: int) -> Function | None:
  """VOI LUT or window of the frame, to 0…1; None where there is none that can be used (PS3.3 C.11.2)."""
  group = frame_group(dataset, 'FrameVOILUTSequence', index)
  return _voi_lut(group) or _voi_window(group)


def _voi_lut(group: DataSet) -> Function | None:
  """First VOI LUT, by the bits that its descriptor declares (PS3.3 C.11.2.1.1)."""
  lut = item(group, 'VOILUTSequence')
  if lut is None:
    return None
  try:
    entry, bits = look_up(lut)
  except InputError:  # an item without table is seen in the wild: the window speaks for the image as well
    return None
  greatest = (1 << min(max(bits, 1), _MOST_LUT_BITS)) - 1
  note_step('VOI LUT: to 0…{}', greatest)
  return lambda values: np.clip(entry(values) / greatest, 0, 1)


def _voi_window(group: DataSet) -> Function | None:
  center, width = number(group, 'WindowCenter'), number(group, 'WindowWidth')
  if center is None or width is None:
    return None
  declared = text(group, 'VOILUTFunction')
  function = declared if declared in ('SIGMOID', 'LINEAR_EXACT') else 'LINEAR'
  shares = window(center, width, function)
  note_step('window: center {}, width {}, {}{}', center, width, function, '' if shares else ': not allowed')
  return shares


def window(center: float, width: float, function: str) -> Function | None:
  """A window.

  Args:
    center: (0028,1050).
    width: (0028,1051).
    function: (0028,1056): `SIGMOID` (PS3.3 C.11.2.1.3.1), `LINEAR_EXACT`
      (C.11.2.1.3.2); anything else is `LINEAR` (C.11.2.1.2.1).

  Returns:
    From output of the modality step to 0…1; None if the width is not allowed
    for the function.
  """
  if function in ('SIGMOID', 'LINEAR_EXACT'):
    if width <= 0:
      return None
    if function == 'SIGMOID':
      return lambda values: 1 / (1 + np.exp(-4 * ((values - center) / width)))
    return lambda values: np.clip((values - center) / width + 0.5, 0, 1)
  if width < 1:
    return None
  if width == 1:
    return lambda values: np.where(values <= center - 0.5, 0.0, 1.0)
  return lambda values: np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def is_inverse(dataset: DataSet, layout: Layout) -> bool:
  """Whether the least value is white: MONOCHROME1 demands it (PS3.3 C.7.6.3.1.2), the shape repeats it (C.11.6)."""
  return layout.photometric == 'MONOCHROME1' or text(dataset, 'PresentationLUTShape') == 'INVERSE'
