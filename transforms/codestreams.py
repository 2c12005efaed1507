"""What a compressed frame says of itself, which counts for more than what the header says of it."""

from dataclasses import dataclass
from typing import Final

from pydicom.uid import (
  JPEG2000,
  UID,
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLossless,
  JPEGLSLossless,
)

from transforms.errors import InputError
from transforms.raster import read_jpeg_header

_JPEG_START: Final = b'\xff\xd8\xff'
_J2K_START: Final = b'\xff\x4f\xff\x51'  # SOC, SIZ
_JP2_START: Final = b'\x00\x00\x00\x0cjP  '
_JXL_STARTS: Final = (b'\xff\x0a', b'\x00\x00\x00\x0cJXL ')
_MOST_JP2_BYTES: Final = 1 << 16

_BASELINE: Final = 0xC0
_EXTENDED: Final = 0xC1
_PROGRESSIVE: Final = 0xC2
_LOSSLESS: Final = 0xC3
_JPEG_LS: Final = 0xF7


@dataclass(frozen=True, slots=True)
class Codestream:
  """Header of a compressed frame.

  Attributes:
    syntax: one that its decoder serves.
    bits: of a sample.
  """

  syntax: UID
  rows: int
  columns: int
  samples: int
  bits: int


def read_codestream(data: bytes) -> Codestream | None:
  """Reads the header of a JPEG, JPEG-LS or JPEG 2000 frame; None for what is none of them.

  Raises:
    InputError: `header-corrupt`, `unsupported-transfer-syntax`.
  """
  if data.startswith(_JPEG_START):
    return _jpeg(data)
  if data.startswith(_JXL_STARTS):
    raise InputError('unsupported-transfer-syntax', 'JPEG XL')
  start = _start_of_j2k(data)
  return _j2k(data, start) if start >= 0 and data.startswith(_J2K_START, start) else None


def without_jp2_header(data: bytes) -> bytes:
  """A JPEG 2000 frame from its codestream on.

  A header that was left on is against the standard (PS3.5 A.4.4), and common.
  pydicom walks its boxes, without end if one has no length.
  """
  return data[max(0, _start_of_j2k(data)) :]


def _start_of_j2k(data: bytes) -> int:
  return data.find(_J2K_START, 0, _MOST_JP2_BYTES) if data.startswith(_JP2_START) else 0


def _jpeg(data: bytes) -> Codestream:
  header = read_jpeg_header(data)
  if header.process in (_BASELINE, _EXTENDED, _PROGRESSIVE):
    syntax = JPEGBaseline8Bit if header.bits == 8 else JPEGExtended12Bit
  elif header.process in (_LOSSLESS, _JPEG_LS):
    syntax = JPEGLossless if header.process == _LOSSLESS else JPEGLSLossless
  else:
    raise InputError('unsupported-transfer-syntax', f'JPEG process of marker {header.process:02X}')
  return Codestream(syntax, header.rows, header.columns, header.channels, header.bits)


def _j2k(data: bytes, start: int) -> Codestream:
  """SIZ (ISO 15444-1 A.5.1); parts that other bits of it speak of are the codec's business."""
  x, y, x0, y0 = (int.from_bytes(data[start + at : start + at + 4], 'big') for at in (8, 12, 16, 20))
  samples = int.from_bytes(data[start + 40 : start + 42], 'big')
  if len(data) < start + 45:
    raise InputError('header-corrupt', 'JPEG 2000 without SIZ')
  return Codestream(JPEG2000, y - y0, x - x0, samples, (data[start + 42] & 0x7F) + 1)
