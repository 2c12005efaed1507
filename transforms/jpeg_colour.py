"""JPEG frames of 8 bits in DICOM: which colours they hold, and their pixels, by OpenCV."""

from typing import Final

import numpy as np

from transforms.elements import Pixels
from transforms.errors import InputError
from transforms.pixel_layout import Layout
from transforms.raster import FRAME_MARKERS, check_jpeg, decode_pixels, jpeg_segments, read_jpeg_header

_JFIF: Final = 0xE0  # APP0
_ADOBE: Final = 0xEE  # APP14
# As long as 12 bytes must be: version, two flags, and the transform of none: the samples are RGB.
_ADOBE_RGB: Final = b'\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00'
_START_BYTES: Final = 2
_SEGMENT_HEADER_BYTES: Final = 4


def decode_baseline(codestream: bytes, layout: Layout) -> Pixels:
  """Decodes a frame. Releases the GIL.

  What is declared as RGB is not transformed, whatever markers say, as by
  dcmtk: they come from the encoder's library, which did not know. Only with
  colours of a lower resolution than the first sample it cannot be RGB.

  Returns:
    uint8, (rows, columns) or (rows, columns, 3) RGB.

  Raises:
    InputError: `decode-failed`; `unsupported-image`, `bomb` as for JPEG files.
  """
  check_jpeg(codestream, read_jpeg_header(codestream))
  if layout.photometric == 'RGB' and not _is_subsampled(codestream):
    codestream = _declared_as_rgb(codestream)
  image = decode_pixels(codestream, 1 if layout.samples == 1 else 3)
  if image is None or image.shape[:2] != (layout.rows, layout.columns):
    raise InputError('decode-failed', 'JPEG')
  return image.view(np.int8) if layout.signed and layout.samples == 1 else image


def _is_subsampled(codestream: bytes) -> bool:
  """Whether components differ in their sampling factors (ISO 10918-1 B.2.2)."""
  for marker, start, end in jpeg_segments(codestream):
    if marker in FRAME_MARKERS:
      return len(set(codestream[start + 7 : end : 3])) > 1
  return False


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
