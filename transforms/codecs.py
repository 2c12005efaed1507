"""Stored values of one DICOM frame, by the codec of its transfer syntax."""

import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLSTransferSyntaxes,
  JPEGTransferSyntaxes,
  RLELossless,
)

from transforms.codestreams import read_codestream, without_jp2_header
from transforms.decode_pool import decode_pool
from transforms.dicom import Dicom
from transforms.elements import DEFAULT_LIMITS, Limits
from transforms.encapsulation import frame_bytes
from transforms.errors import InputError
from transforms.jpeg_colour import decode_baseline
from transforms.native_pixels import native_frame
from transforms.pixel_layout import Layout, with_subsampling
from transforms.pydicom_codecs import decode_with_pydicom
from transforms.trace import note_step
from transforms.transfer_syntaxes import (
  DECODERS,
  DEFLATED_FRAMES,
  ENCAPSULATED_UNCOMPRESSED,
  NATIVE_SYNTAXES,
  OPENJPEG_SYNTAXES,
)

StoredValues = NDArray[Any]

_CODESTREAM_CARRIES_BITS: Final = frozenset([*OPENJPEG_SYNTAXES, *JPEGLSTransferSyntaxes])
_END_OF_IMAGE: Final = b'\xff\xd9'
_LONGEST_PADDING_BYTES: Final = 64  # one is allowed; encoders add more


def stored_frame(dataset: Dicom, layout: Layout, index: int, limits: Limits = DEFAULT_LIMITS) -> StoredValues:
  """Decodes one frame; the others stay compressed.

  Args:
    dataset: of `read_dicom`.
    layout: of `pixel_layout`.
    index: of the frame, from 0.
    limits: on what a dangerous codec may take, which runs in a process of its own.

  Returns:
    (rows, columns) stored values, integer or float, unused bits masked; or
    (rows, columns, 3) RGB, unsigned.

  Raises:
    InputError: `decode-failed`; `header-corrupt` if the codestream's size is
      not what the header says; `decoder-crashed`, `decoder-timeout`,
      `decoder-memory`.
  """
  values = _decode(dataset, layout, index, limits)
  note_step('decoded by {}: {}', DECODERS.get(layout.transfer_syntax, 'numpy'), layout.transfer_syntax.name)
  if layout.samples == 3 or layout.keyword != 'PixelData' or layout.transfer_syntax in _CODESTREAM_CARRIES_BITS:
    return values
  sign = 'signed' if layout.signed else 'unsigned'
  note_step('kept {} of {} bits, the highest {}, {}', layout.bits_stored, layout.bits_allocated, layout.high_bit, sign)
  return mask_unused_bits(values, layout.bits_stored, _high_bit(layout))


def _decode(dataset: Dicom, layout: Layout, index: int, limits: Limits) -> StoredValues:
  if not layout.is_encapsulated:
    return native_frame(*_native_bytes(dataset.data, layout, index), layout)
  if index >= len(layout.fragments):
    raise InputError('decode-failed', 'pixel data break off')
  return _decode_codestream(frame_bytes(dataset.data, layout.fragments[index]), layout, limits)


def _decode_codestream(codestream: bytes, layout: Layout, limits: Limits) -> StoredValues:
  if layout.transfer_syntax == ENCAPSULATED_UNCOMPRESSED:
    return _uncompressed_frame(codestream, layout)
  if layout.transfer_syntax == DEFLATED_FRAMES:
    longer = layout.frame_bytes + 2  # than whole pixels are with their padding, if it holds something else
    return _uncompressed_frame(_inflate(codestream, longer), layout)
  _check_codestream(codestream, layout)
  if layout.transfer_syntax == JPEGBaseline8Bit:
    return decode_baseline(codestream, layout)
  if layout.transfer_syntax in OPENJPEG_SYNTAXES:
    codestream = without_jp2_header(codestream)
  if layout.transfer_syntax in NATIVE_SYNTAXES:
    return decode_pool().decode(codestream, layout, limits)
  return decode_with_pydicom(codestream, layout)


def _uncompressed_frame(frame: bytes, layout: Layout) -> StoredValues:
  layout = with_subsampling(layout, len(frame))
  if layout.is_subsampled and layout.columns % 2 == 1:
    raise InputError('header-corrupt', f'{layout.columns} columns, {layout.photometric}')
  return native_frame(memoryview(frame), 0, layout)


def _native_bytes(data: bytes, layout: Layout, index: int) -> tuple[memoryview, int]:
  """A frame's bytes, and where in the first its first bit is; 1-bit frames follow each other within a byte."""
  first_bit = index * layout.frame_bits
  first = layout.start + first_bit // 8
  last = min(layout.start + (first_bit + layout.frame_bits + 7) // 8, layout.end)
  if not layout.is_swapped or layout.bits_allocated >= 16:
    return memoryview(data)[first:last], first_bit % 8
  start = first - (first - layout.start) % 2
  words = data[start : last + (last - start) % 2]
  octets = np.frombuffer(words[: len(words) // 2 * 2], '>u2').astype('<u2').tobytes()
  return memoryview(octets)[first - start :], first_bit % 8


def _inflate(deflated: bytes, size: int) -> bytes:
  try:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, size)
  except zlib.error:
    raise InputError('decode-failed', 'deflated frame') from None


def _high_bit(layout: Layout) -> int:
  """Codestreams but RLE hold samples, not words: their unused bits are the upper ones."""
  words = DECODERS.get(layout.transfer_syntax, 'numpy') in ('numpy', 'zlib', 'pydicom')
  return layout.high_bit if words else layout.bits_stored - 1


def mask_unused_bits(values: StoredValues, bits_stored: int, high_bit: int) -> StoredValues:
  """Keeps the stored bits alone, extending the sign: the others may hold overlays (PS3.5 8.1.1, 8.1.2)."""
  width = 8 * values.dtype.itemsize
  above, below = width - 1 - high_bit, high_bit + 1 - bits_stored
  if bits_stored == 1 or above < 0 or (not above and not below):  # a frame of fewer bits than the header has
    return values
  masked = values << above
  masked >>= above + below
  return masked


def _check_codestream(codestream: bytes, layout: Layout) -> None:
  """Compares the codestream's own header with the object's before a codec allocates it, or crashes on it."""
  uid = layout.transfer_syntax
  if uid == RLELossless:
    return
  header = read_codestream(codestream)
  if header is None:
    raise InputError('decode-failed', f'{uid.name}, no codestream')
  if (header.rows, header.columns) != (layout.rows, layout.columns):
    raise InputError('header-corrupt', 'size of the codestream is not Rows x Columns')
  if header.samples != layout.samples or not 1 <= header.bits <= max(8, layout.bits_allocated):
    raise InputError('header-corrupt', f'codestream of {header.samples} samples, {header.bits} bits')
  if uid == JPEGExtended12Bit and header.samples != 1:
    raise InputError('unsupported-image', 'JPEG of 12 bits in colour')
  if DECODERS[header.syntax] != DECODERS[uid]:
    raise InputError('decode-failed', f'{uid.name}, codestream of another kind')
  is_jpeg = uid in JPEGTransferSyntaxes or uid in JPEGLSTransferSyntaxes
  if is_jpeg and _END_OF_IMAGE not in codestream[-_LONGEST_PADDING_BYTES:]:  # CharLS would search for seconds
    raise InputError('decode-failed', f'{uid.name}, no end marker')
