"""JPEG frames of 8 bits in DICOM: which colours they hold, and their pixels, by OpenCV."""

from typing import Final

import numpy as np

from transforms.elements import Pixels
from transforms.errors import InputError
from transforms.pixel_layout import Layout
from transforms.raster import FRAME_MARKERS, check_jpeg, decode_pixels, jpeg_segments, read_jpeg_header

_JFIF: Final = 0xE0  # APP0
_ADOBE: Final = 0xEE  # APP14
_ADOBE_TRANSFORM_AT: Final = 11  # in its content: 0 none, else YCbCr
_RGB_IDS: Final = (b'RGB', b'rgb')
# As long as 12 bytes must be: version, two flags, and the transform of none: the samples are RGB.
_ADOBE_RGB: Final = b'\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00'
_START_BYTES: Final = 2
_SEGMENT_HEADER_BYTES: Final = 4


def decode_baseline(codestream: bytes, layout: Layout) -> Pixels:
  """Decodes a frame. Releases the GIL.

  Returns:
    uint8, (rows, columns) or (rows, columns, 3) RGB.

  Raises:
    InputError: `decode-failed`; `unsupported-image`, `bomb` as for JPEG files.
  """
  check_jpeg(codestream, read_jpeg_header(codestream))
  if layout.samples == 3 and holds_rgb(codestream, layout.photometric):
    codestream = _declared_as_rgb(codestream)
  image = decode_pixels(codestream, 1 if layout.samples == 1 else 3)
  if image is None or image.shape[:2] != (layout.rows, layout.columns):
    raise InputError('decode-failed', 'JPEG')
  return image.view(np.int8) if layout.signed and layout.samples == 1 else image


def holds_rgb(codestream: bytes, photometric: str) -> bool:
  """Whether the components of a frame are RGB, and not YCbCr.

  The frame was written by a library that knew: where it says what it holds,
  by a JFIF or Adobe marker, its components' names or their resolution, that
  counts, in the order of libjpeg. Else the photometric interpretation does,
  which is often that of the image before it was compressed.
  """
  adobe = None
  for marker, start, end in jpeg_segments(codestream):
    content = codestream[start:end]
    if marker == _JFIF and content.startswith(b'JFIF'):
      return False
    if marker == _ADOBE and content.startswith(b'Adobe') and len(content) > _ADOBE_TRANSFORM_AT:
      adobe = content[_ADOBE_TRANSFORM_AT]
    if marker in FRAME_MARKERS:
      return _frame_holds_rgb(content, adobe, photometric)
  return photometric == 'RGB'


def _frame_holds_rgb(header: bytes, adobe: int | None, photometric: str) -> bool:
  if adobe is not None:
    return adobe == 0
  names, sampling = header[6::3], header[7::3]  # ISO 10918-1 B.2.2
  if names in _RGB_IDS:
    return True
  return photometric == 'RGB' and len(set(sampling)) == 1


def _declared_as_rgb(codestream: bytes) -> bytes:
  """The frame with a marker that says that nothing was transformed, and without those that say otherwise."""
  kept = [codestream[:_START_BYTES], _ADOBE_RGB]
  position = _START_BYTES
  for marker, start, end in jpeg_segments(codestream):
    if marker not in (_JFIF, _ADOBE):
      kept.append(codestream[start - _SEGMENT_HEADER_BYTES : end])
    position = end
    if marker in FRAME_MARKERS:
      break
  return b''.join([*kept, codestream[position:]])
