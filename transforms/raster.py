"""JPEG and PNG to 8-bit pixels, by OpenCV, after a look at the header.

The header is read here, so that nothing is allocated for an image that claims
to be too large, and nothing that OpenCV would decode in its own way: 12-bit,
lossless and arithmetic JPEG.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

from transforms.elements import Limits, Pixels
from transforms.errors import InputError
from transforms.grey_levels import stretch_to_8_bit
from transforms.png_chunks import without_ancillary_chunks
from transforms.sniff import Kind
from transforms.trace import note_step

# What OpenCV says of broken files would stand in the logs, once for each.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = b'\xff\xd9'
FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # SOFn; JPEG-LS has SOF55
_STANDALONE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_READ_BY_OPENCV: Final = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive
_PROGRESSIVE: Final = 0xC2
_MAX_SCANS: Final = 100  # encoders write about ten; a scan costs a pass over the image
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type

# EXIF orientation is ignored on purpose: rows and columns stay as they are in
# the file, for every reader and in training as in scoring. Radiographs that
# come as JPEG carry it by accident of the software that made them.
_GREY: Final = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
_RGB: Final = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True, slots=True)
class RasterHeader:
  """What the header declares.

  Attributes:
    bits: per sample.
    channels: components of a JPEG; samples of a PNG, its palette counted as 3.
    process: second byte of the JPEG frame marker; 0 for PNG.
    data_start: offset of the first byte after the header.
  """

  rows: int
  columns: int
  bits: int
  channels: int
  process: int = 0
  data_start: int = 0

  @property
  def is_grey(self) -> bool:
    """Whether it has no colour."""
    return self.channels < 3


def read_raster_header(data: bytes, kind: Kind, limits: Limits) -> RasterHeader:
  """Reads what a JPEG or PNG declares, and refuses what will not be decoded.

  Raises:
    InputError: `header-corrupt`, `too-large`, `unsupported-image`.
  """
  header = read_jpeg_header(data) if kind == Kind.JPEG else _read_png_header(data)
  if not header.rows or not header.columns:
    raise InputError('header-corrupt', f'{header.columns} columns, {header.rows} rows')
  if header.rows * header.columns > limits.max_pixels:
    raise InputError('too-large', f'{header.columns} x {header.rows} pixels')
  if kind == Kind.JPEG:
    check_jpeg(data, header)
  return header


def decode_raster(data: bytes, header: RasterHeader, channels: Literal[1, 3]) -> Pixels:
  """Decodes a JPEG or PNG. Releases the GIL.

  Args:
    data: the whole file.
    header: of `read_raster_header`.
    channels: 1 for grey, of which a JPEG's own luma is read directly; 3 for RGB.

  Returns:
    uint8, (rows, columns) or (rows, columns, 3). Alpha is dropped. 16-bit
    grey says nothing of the range in use, often 12 bits, and is stretched as
    DICOM values without a window are; 16-bit colour keeps its upper byte.

  Raises:
    InputError: `decode-failed`, also where the data break off.
  """
  wide_grey = header.bits == 16 and header.is_grey
  flags = _RGB if channels == 3 and not wide_grey else _GREY | (cv2.IMREAD_ANYDEPTH if wide_grey else 0)
  image = _imdecode(data if header.process else without_ancillary_chunks(data), flags)
  if image is None or image.shape[:2] != (header.rows, header.columns):
    raise InputError('decode-failed', f'{header.columns} x {header.rows} pixels declared')
  note_step('decoded by OpenCV: {}', 'JPEG' if header.process else f'PNG of {header.bits} bits')
  if channels == 1 and not header.is_grey:
    note_step('grey: Rec. 601 luma of RGB')
  if wide_grey:
    note_step('stretch: the middle 99 percent')
    image = stretch_to_8_bit(image)
  return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim < channels == 3 else image


def decode_pixels(data: bytes, channels: Literal[1, 3]) -> Pixels | None:
  """Decodes a JPEG to uint8, (rows, columns) or (rows, columns, 3) RGB; None where OpenCV cannot."""
  return _imdecode(data, _RGB if channels == 3 else _GREY)


def _imdecode(data: bytes, flags: int) -> np.ndarray | None:
  try:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
  except cv2.error:  # most defects return None; some, such as a failed assertion on the size, end here
    return None


def encode_png(image: Pixels) -> bytes:
  """A PNG of a grey or RGB picture, without any word about it."""
  _, data = cv2.imencode('.png', image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
  return data.tobytes()


def read_jpeg_header(data: bytes) -> RasterHeader:
  """Reads the marker segments of a JPEG or JPEG-LS up to the first scan (ISO 10918-1, B.1 and B.2).

  Raises:
    InputError: `header-corrupt` if the frame header is missing or broken.
  """
  for marker, start, end in jpeg_segments(data):
    if marker in FRAME_MARKERS and end - start >= 6:
      rows, columns = (int.from_bytes(data[start + at : start + at + 2], 'big') for at in (1, 3))
      return RasterHeader(rows, columns, data[start], data[start + 5], marker, end)
    if marker == _START_OF_SCAN:
      break
  raise InputError('header-corrupt', 'JPEG without frame header')


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
  """Marker, start and end of each segment's content, as long as they are well formed."""
  position = 2
  while position + 4 <= len(data) and data[position] == 0xFF:
    marker = data[position + 1]
    if marker == 0xFF:  # fill byte
      position += 1
    elif marker in _STANDALONE_MARKERS:
      position += 2
    else:
      end = position + 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
      if end > len(data):
        return
      yield marker, position + 4, end
      position = max(end, position + 4)


def check_jpeg(data: bytes, header: RasterHeader) -> None:
  """Refuses what OpenCV would not decode, or decode in part.

  Raises:
    InputError: `unsupported-image`, `decode-failed`, `bomb`.
  """
  if header.process not in _READ_BY_OPENCV or header.bits != 8:
    raise InputError('unsupported-image', f'JPEG process {header.process - 0xC0}, {header.bits} bits')
  # Without its end marker a JPEG was cut off. OpenCV 5 says so by itself; this
  # does not depend on its version. Nearly all end with it: a short look.
  if not data.endswith(_END_OF_IMAGE) and data.rfind(_END_OF_IMAGE, header.data_start) < 0:
    raise InputError('decode-failed', 'JPEG without end marker')
  if header.process == _PROGRESSIVE and data.count(b'\xff\xda', header.data_start) > _MAX_SCANS:
    raise InputError('bomb', f'JPEG of more than {_MAX_SCANS} scans')


def _read_png_header(data: bytes) -> RasterHeader:
  """Reads IHDR (ISO 15948, 11.2.2)."""
  if data[12:16] != b'IHDR' or len(data) < 33:
    raise InputError('header-corrupt', 'PNG without IHDR')
  columns, rows = (int.from_bytes(data[at : at + 4], 'big') for at in (16, 20))
  bits, colour_type = data[24], data[25]
  if colour_type not in _PNG_CHANNELS:
    raise InputError('header-corrupt', f'PNG colour type {colour_type}')
  return RasterHeader(rows, columns, 8 if colour_type == 3 else bits, _PNG_CHANNELS[colour_type])
