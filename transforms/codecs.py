"""Stored values of one DICOM frame, by the codec of its transfer syntax.

pydicom finds the frame and calls the codec. Which codec is a choice, one for
each transfer syntax: a second that tries when the first fails would make
pixels depend on luck. None of them is under the GPL.
"""

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
  UID,
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLossless,
  JPEGLosslessSV1,
  JPEGLSLossless,
  JPEGLSNearLossless,
  JPEGLSTransferSyntaxes,
  JPEGTransferSyntaxes,
  RLELossless,
)

from transforms import pydicom_plugins
from transforms.dicom import (
  integer,
  is_standard_transfer_syntax,
  require_pixels,
  text,
  third_party,
  transfer_syntax_uid,
)
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.raster import RasterHeader, read_jpeg_header
from transforms.vocabularies import PHOTOMETRIC_INTERPRETATIONS

StoredValues = NDArray[Any]

_OPENJPEG: Final = 'radbeam-openjpeg'
_GDCM_12_BIT: Final = 'radbeam-gdcm'
_CODECS: Final[dict[str, str]] = {
  RLELossless: 'pydicom',
  JPEGBaseline8Bit: 'pillow',
  JPEGExtended12Bit: 'pillow',  # of 8 bits; those of 12 below
  JPEGLossless: 'gdcm',
  JPEGLosslessSV1: 'gdcm',
  JPEGLSLossless: 'pyjpegls',
  JPEGLSNearLossless: 'pyjpegls',
  **dict.fromkeys(pydicom_plugins.OPENJPEG_SYNTAXES, _OPENJPEG),
}
# Decoded by native code that crashes and hangs on hostile files; the others are safe to run in a thread.
NATIVE_CODEC_SYNTAXES: Final = frozenset([*_CODECS]) - {RLELossless, JPEGBaseline8Bit}


def _add_plugins() -> None:
  for uid in pydicom_plugins.OPENJPEG_SYNTAXES:
    get_decoder(uid).add_plugin(_OPENJPEG, (pydicom_plugins.__name__, 'decode_with_openjpeg'))
  get_decoder(JPEGExtended12Bit).add_plugin(_GDCM_12_BIT, (pydicom_plugins.__name__, 'decode_with_gdcm'))


_add_plugins()
gdcm.Trace.DebugOff()
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()

_SAMPLES: Final = {
  'MONOCHROME1': 1,
  'MONOCHROME2': 1,
  'PALETTE COLOR': 1,
  'RGB': 3,
  'YBR_FULL': 3,
  'YBR_FULL_422': 3,
  'YBR_ICT': 3,
  'YBR_RCT': 3,
}
# Their codestream has a precision and a sign of its own, which pydicom applies.
_CODESTREAM_CARRIES_BITS: Final = frozenset([*pydicom_plugins.OPENJPEG_SYNTAXES, *JPEGLSTransferSyntaxes])
_BITS_ALLOCATED: Final = (1, 8, 16, 32, 64)
_FREE_INFLATION_BYTES: Final = 16 << 20
_ITEM_TAG: Final = b'\xfe\xff\x00\xe0'
_END_OF_IMAGE: Final = b'\xff\xd9'
_LONGEST_PADDING_BYTES: Final = 64  # one is allowed; encoders add more
_J2K_START: Final = b'\xff\x4f\xff\x51'  # SOC, SIZ


@dataclass(frozen=True, slots=True)
class Layout:
  """The Image Pixel module (PS3.3 C.7.6.3), checked.

  Attributes:
    keyword: the element that holds the pixels.
    frames: that can be asked for; one beyond those present where data break off.
    high_bit: of the stored bits, from 0.
  """

  keyword: str
  transfer_syntax: UID
  rows: int
  columns: int
  frames: int
  samples: int
  photometric: str
  bits_allocated: int
  bits_stored: int
  high_bit: int
  signed: bool

  @property
  def frame_bits(self) -> int:
    """Bits of one decoded frame, before the padding of 1-bit frames."""
    bits = self.rows * self.columns * self.samples * self.bits_allocated
    return bits * 2 // 3 if self.photometric == 'YBR_FULL_422' and not self.is_encapsulated else bits

  @property
  def is_encapsulated(self) -> bool:
    """Whether the frames are fragments of codestreams (PS3.5 A.4)."""
    return self.transfer_syntax.is_encapsulated


def pixel_layout(dataset: Dataset, limits: Limits) -> Layout:
  """Reads and checks how the pixels are laid out, before anything is allocated for them.

  Raises:
    InputError: `auxiliary-file`, `no-pixel-data`, `header-corrupt`,
      `unsupported-image`, `unsupported-transfer-syntax`, `too-large` (one
      frame), `bomb` (all compressed frames together).
  """
  layout = _declared_layout(dataset, require_pixels(dataset))
  _check_layout(layout, limits)
  pixel_bytes = _pixel_bytes(dataset, layout.keyword)
  present = _count_fragments(pixel_bytes) if layout.is_encapsulated else 8 * len(pixel_bytes) // layout.frame_bits
  layout = replace(layout, frames=min(layout.frames, present + 1))
  allowed = max(_FREE_INFLATION_BYTES, limits.max_inflation_ratio * len(pixel_bytes))
  if layout.is_encapsulated and layout.frames * layout.frame_bits > 8 * allowed:
    raise InputError('bomb', f'{layout.frames} frames of {layout.columns} x {layout.rows} in {len(pixel_bytes)} bytes')
  return layout


def _declared_layout(dataset: Dataset, keyword: str) -> Layout:
  bits_allocated = integer(dataset, 'BitsAllocated') or 0
  bits_stored = integer(dataset, 'BitsStored') or bits_allocated
  high_bit = integer(dataset, 'HighBit')
  return Layout(
    keyword=keyword,
    transfer_syntax=transfer_syntax_uid(dataset),
    rows=integer(dataset, 'Rows') or 0,
    columns=integer(dataset, 'Columns') or 0,
    frames=integer(dataset, 'NumberOfFrames') or 1,
    samples=integer(dataset, 'SamplesPerPixel') or 1,
    photometric=(text(dataset, 'PhotometricInterpretation') or 'missing').upper(),
    bits_allocated=bits_allocated,
    bits_stored=bits_stored,
    high_bit=bits_stored - 1 if high_bit is None else high_bit,
    signed=integer(dataset, 'PixelRepresentation') == 1,
  )


def _check_layout(layout: Layout, limits: Limits) -> None:
  if not is_standard_transfer_syntax(layout.transfer_syntax):
    raise InputError('unsupported-transfer-syntax', 'private or unknown')
  if layout.is_encapsulated and layout.transfer_syntax not in _CODECS:
    raise InputError('unsupported-transfer-syntax', layout.transfer_syntax.name)
  if layout.photometric not in _SAMPLES:
    known = layout.photometric in PHOTOMETRIC_INTERPRETATIONS
    raise InputError(*(('unsupported-image', layout.photometric) if known else ('header-corrupt', 'photometric')))
  if layout.bits_allocated not in _BITS_ALLOCATED:
    raise InputError('unsupported-image', f'BitsAllocated {layout.bits_allocated}')
  _check_consistency(layout)
  if layout.rows * layout.columns > limits.max_pixels:
    raise InputError('too-large', f'{layout.columns} x {layout.rows} pixels')


def _check_consistency(layout: Layout) -> None:
  contradictions = {
    f'{layout.columns} columns, {layout.rows} rows': min(layout.rows, layout.columns) < 1,
    f'NumberOfFrames {layout.frames}': layout.frames < 1,
    f'SamplesPerPixel {layout.samples}, {layout.photometric}': layout.samples != _SAMPLES[layout.photometric],
    'one bit of three samples': layout.bits_allocated == 1 and layout.samples == 3,
    f'BitsStored {layout.bits_stored} of {layout.bits_allocated}': not 1 <= layout.bits_stored <= layout.bits_allocated,
    f'HighBit {layout.high_bit} of {layout.bits_allocated}': (
      not layout.bits_stored - 1 <= layout.high_bit < layout.bits_allocated
    ),
  }
  for found, is_wrong in contradictions.items():
    if is_wrong:
      raise InputError('header-corrupt', found)


def _pixel_bytes(dataset: Dataset, keyword: str) -> bytes:
  with third_party('header-corrupt', keyword):
    value = dataset[keyword].value
  if not value or not isinstance(value, bytes):
    raise InputError('decode-failed', f'{keyword} is empty')
  return value


def _count_fragments(encapsulated: bytes) -> int:
  """Fragments after the offset table, the last perhaps cut: each frame has at least one (PS3.5 A.4)."""
  position, items = 0, 0
  while encapsulated.startswith(_ITEM_TAG, position):
    items += 1
    position += 8 + int.from_bytes(encapsulated[position + 4 : position + 8], 'little')
  return max(0, items - 1)


def stored_frame(dataset: Dataset, layout: Layout, index: int) -> StoredValues:
  """Decodes one frame; the others stay compressed.

  Args:
    dataset: of `read_dicom`.
    layout: of `pixel_layout`.
    index: of the frame, from 0.

  Returns:
    (rows, columns) stored values, integer or float, unused bits masked; or
    (rows, columns, 3) RGB, unsigned.

  Raises:
    InputError: `decode-failed`; `header-corrupt` if the codestream's size is
      not what the header says.
  """
  if layout.bits_allocated == 1 and not layout.is_encapsulated:
    return _one_bit_frame(dataset.PixelData, layout, index)
  if layout.is_encapsulated:
    _check_codestream(dataset, layout, index)
  with third_party('decode-failed', layout.transfer_syntax.name):
    values, properties = get_decoder(layout.transfer_syntax).as_array(
      dataset,
      index=index,
      validate=False,  # of the whole object; the layout is checked
      decoding_plugin=_codec(layout),
      **_pydicom_options(layout),
    )
  if layout.samples == 3:
    return _require_rgb(values, str(properties['photometric_interpretation']))
  values = values.astype(values.dtype.newbyteorder('='), copy=False)
  if layout.keyword != 'PixelData' or layout.transfer_syntax in _CODESTREAM_CARRIES_BITS:
    return values
  return mask_unused_bits(values, layout.bits_stored, _high_bit(layout))


def _one_bit_frame(packed: bytes, layout: Layout, index: int) -> StoredValues:
  """Frames follow each other without a gap, within a byte too (PS3.5 8.1.1): pydicom 3.0 cuts some short."""
  first, pixels = index * layout.frame_bits, layout.frame_bits
  octets = np.frombuffer(packed[first // 8 : (first + pixels + 7) // 8], np.uint8)
  bits = np.unpackbits(octets, bitorder='little')[first % 8 :][:pixels]
  if bits.size < pixels:
    raise InputError('decode-failed', 'pixel data break off')
  return bits.reshape(layout.rows, layout.columns)


def _codec(layout: Layout) -> str:
  if layout.transfer_syntax == JPEGExtended12Bit and layout.bits_stored > 8 and layout.samples == 1:
    return _GDCM_12_BIT
  return _CODECS.get(layout.transfer_syntax, '')  # none where nothing is compressed


def _pydicom_options(layout: Layout) -> dict[str, Any]:
  return {
    'number_of_frames': layout.frames,
    'samples_per_pixel': layout.samples,
    'photometric_interpretation': layout.photometric,
    'bits_stored': layout.bits_stored,
    'pixel_representation': int(layout.signed),
    'correct_unused_bits': False,  # takes the high bit for granted; done here
  }


def _require_rgb(values: StoredValues, photometric: str) -> StoredValues:
  if photometric != 'RGB':
    raise InputError('header-corrupt', f'{_SAMPLES.get(photometric, 0)} samples of undecoded colour')
  return values.view(values.dtype.str.replace('i', 'u'))


def _high_bit(layout: Layout) -> int:
  """Codestreams but RLE hold samples, not words: their unused bits are the upper ones."""
  words = not layout.is_encapsulated or layout.transfer_syntax == RLELossless
  return layout.high_bit if words else layout.bits_stored - 1


def mask_unused_bits(values: StoredValues, bits_stored: int, high_bit: int) -> StoredValues:
  """Keeps the stored bits alone, extending the sign: the others may hold overlays (PS3.5 8.1.1, 8.1.2)."""
  width = 8 * values.dtype.itemsize
  above, below = width - 1 - high_bit, high_bit + 1 - bits_stored
  if bits_stored == 1 or (not above and not below):
    return values
  return values << above >> (above + below)


def _check_codestream(dataset: Dataset, layout: Layout, index: int) -> None:
  """Compares the codestream's own size with the header's before a codec allocates it."""
  offsets = (dataset.get('ExtendedOffsetTable'), dataset.get('ExtendedOffsetTableLengths'))
  with third_party('decode-failed', f'{layout.transfer_syntax.name}, frame not found'):
    codestream = get_frame(
      BytesIO(dataset.PixelData),
      index,
      number_of_frames=layout.frames,
      extended_offsets=offsets if all(offsets) else None,
    )
  uid = layout.transfer_syntax
  if uid in JPEGTransferSyntaxes or uid in JPEGLSTransferSyntaxes:
    _check_jpeg_header(read_jpeg_header(codestream), layout)
    if _END_OF_IMAGE not in codestream[-_LONGEST_PADDING_BYTES:]:  # CharLS would search for seconds
      raise InputError('decode-failed', f'{uid.name}, no end marker')
  elif uid != RLELossless and _j2k_size(codestream) != (layout.rows, layout.columns):
    raise InputError('header-corrupt', 'size of the codestream is not Rows x Columns')


def _check_jpeg_header(header: RasterHeader, layout: Layout) -> None:
  """A frame header that disagrees: gdcm would crash on it."""
  if (header.rows, header.columns) != (layout.rows, layout.columns):
    raise InputError('header-corrupt', 'size of the codestream is not Rows x Columns')
  if header.channels != layout.samples or not 2 <= header.bits <= max(8, layout.bits_allocated):
    raise InputError('header-corrupt', f'codestream of {header.channels} samples, {header.bits} bits')


def _j2k_size(codestream: bytes) -> tuple[int, int]:
  """Rows and columns of a JPEG 2000 codestream, by its SIZ marker (ISO 15444-1 A.5.1)."""
  start = codestream.find(_J2K_START)  # not at 0 where a JP2 header was left on
  if start < 0:
    raise InputError('decode-failed', 'no JPEG 2000 codestream')
  x, y, x0, y0 = (int.from_bytes(codestream[start + at : start + at + 4], 'big') for at in (8, 12, 16, 20))
  return y - y0, x - x0
