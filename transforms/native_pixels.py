"""Frames that are not compressed: from the bytes in the file to samples (PS3.5 8.1, PS3.3 C.7.6.3.1)."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from transforms.errors import InputError
from transforms.grey_levels import band_slices
from transforms.pixel_layout import Layout

StoredValues = NDArray[Any]

_KINDS: Final = {'FloatPixelData': 'f', 'DoubleFloatPixelData': 'f'}
_STUDIO_BLACK: Final = 16  # of YBR_PARTIAL: luma 16 to 235, colour 16 to 240
_STUDIO_LUMA: Final = 255 / 219
_STUDIO_COLOUR: Final = 255 / 224


def native_frame(frame: memoryview, first_bit: int, layout: Layout) -> StoredValues:
  """Reads one frame.

  Args:
    frame: its bytes; of a 1-bit frame from the byte that its first bit lies in.
    first_bit: of that byte, from the lowest.
    layout: of `pixel_layout`.

  Returns:
    (rows, columns) as stored, unused bits not masked; or (rows, columns, 3) RGB, unsigned.

  Raises:
    InputError: `decode-failed` if it breaks off.
  """
  if layout.bits_allocated == 1:
    return _one_bit(frame, layout, first_bit)
  if len(frame) < layout.frame_bytes:
    raise InputError('decode-failed', 'pixel data break off')
  if layout.bits_allocated == 12:
    return _twelve_bits(np.frombuffer(frame, np.uint8, layout.frame_bytes), layout)
  values = _words(frame, layout)
  return values.reshape(layout.rows, layout.columns) if layout.samples == 1 else _colour(values, layout)


def _one_bit(frame: memoryview, layout: Layout, first_bit: int) -> StoredValues:
  """Frames follow each other without a gap, within a byte too (PS3.5 8.1.1)."""
  pixels = layout.rows * layout.columns
  octets = np.frombuffer(frame[: (first_bit + pixels + 7) // 8], np.uint8)
  bits = np.unpackbits(octets, bitorder='little')[first_bit:][:pixels]
  if bits.size < pixels:
    raise InputError('decode-failed', 'pixel data break off')
  return bits.reshape(layout.rows, layout.columns)


def _twelve_bits(octets: NDArray[np.uint8], layout: Layout) -> StoredValues:
  """Two pixels in three bytes, the first in the lower bits (PS3.5 D.1, retired)."""
  pixels = layout.rows * layout.columns
  triples = np.resize(octets, -(-pixels // 2) * 3).reshape(-1, 3)
  values = np.empty((len(triples), 2), np.uint16)
  for band in band_slices(triples):
    low, middle, high = triples[band].astype(np.uint16).T
    values[band, 0] = low | (middle & 0x0F) << 8
    values[band, 1] = middle >> 4 | high << 4
  if layout.signed:
    values <<= 4
    values = values.view(np.int16)
    values >>= 4
  return values.reshape(-1)[:pixels].reshape(layout.rows, layout.columns)


def _words(frame: memoryview, layout: Layout) -> StoredValues:
  kind = _KINDS.get(layout.keyword, 'i' if layout.signed and layout.samples == 1 else 'u')
  dtype = np.dtype(f'{layout.order}{kind}{layout.bits_allocated // 8}')
  values = np.frombuffer(frame, dtype, layout.frame_bytes // dtype.itemsize)
  return values.astype(dtype.newbyteorder('='), copy=False)


def _colour(values: StoredValues, layout: Layout) -> StoredValues:
  rows, columns = layout.rows, layout.columns
  if layout.is_subsampled:
    return to_rgb(_spread(values.reshape(rows, -1, 4)), layout)
  if layout.planar == 1:
    return to_rgb(np.ascontiguousarray(values.reshape(3, rows, columns).transpose(1, 2, 0)), layout)
  return to_rgb(values.reshape(rows, columns, 3), layout)


def _spread(pairs: StoredValues) -> StoredValues:
  """Y1 Y2 Cb Cr of each two pixels to Y Cb Cr of each (PS3.3 C.7.6.3.1.2)."""
  first, second = pairs[..., [0, 2, 3]], pairs[..., [1, 2, 3]]
  return np.stack([first, second], axis=2).reshape(pairs.shape[0], -1, 3)


def to_rgb(values: StoredValues, layout: Layout) -> StoredValues:
  """Samples of a colour space to RGB (PS3.3 C.7.6.3.1.2).

  Args:
    values: (rows, columns, 3), unsigned.
    layout: whose photometric interpretation they have.
  """
  if not layout.photometric.startswith(('YBR_PARTIAL', 'YBR_FULL')):
    return values
  if values.dtype.itemsize > 2:
    raise InputError('unsupported-image', f'{layout.photometric} of {layout.bits_allocated} bits')
  rgb = np.empty_like(values)
  for band in band_slices(values):
    rgb[band] = _band_to_rgb(values[band], layout)
  return rgb


def _band_to_rgb(values: StoredValues, layout: Layout) -> StoredValues:
  if layout.photometric.startswith('YBR_PARTIAL'):
    values = _full_range(values)
  unused = 8 * values.dtype.itemsize - layout.bits_stored  # colour is about the middle of all bits in OpenCV
  return cv2.cvtColor(values[..., [0, 2, 1]] << unused, cv2.COLOR_YCrCb2RGB) >> unused


def _full_range(values: StoredValues) -> StoredValues:
  offsets = np.array([_STUDIO_BLACK, 128, 128], np.float32)
  scales = np.array([_STUDIO_LUMA, _STUDIO_COLOUR, _STUDIO_COLOUR], np.float32)
  full = (values - offsets) * scales + np.array([0, 128, 128], np.float32)
  return np.clip(np.rint(full), 0, 255).astype(np.uint8)
