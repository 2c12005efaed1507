"""Stored values of one DICOM frame, by the codec of its transfer syntax: pydicom finds the frame and calls it."""

from io import BytesIO
from typing import Any, Final

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGExtended12Bit, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes, RLELossless

from transforms import pydicom_plugins
from transforms.dicom import third_party
from transforms.errors import InputError
from transforms.pixel_layout import SAMPLES, Layout
from transforms.raster import RasterHeader, read_jpeg_header
from transforms.transfer_syntaxes import DECODERS, GDCM_12_BIT_PLUGIN, OPENJPEG_PLUGIN, OPENJPEG_SYNTAXES

StoredValues = NDArray[Any]


def _add_plugins() -> None:
  for uid in OPENJPEG_SYNTAXES:
    get_decoder(uid).add_plugin(OPENJPEG_PLUGIN, (pydicom_plugins.__name__, 'decode_with_openjpeg'))
  get_decoder(JPEGExtended12Bit).add_plugin(GDCM_12_BIT_PLUGIN, (pydicom_plugins.__name__, 'decode_with_gdcm'))


_add_plugins()
gdcm.Trace.DebugOff()
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()

_CODESTREAM_CARRIES_BITS: Final = frozenset([*OPENJPEG_SYNTAXES, *JPEGLSTransferSyntaxes])
_END_OF_IMAGE: Final = b'\xff\xd9'
_LONGEST_PADDING_BYTES: Final = 64  # one is allowed; encoders add more
_J2K_START: Final = b'\xff\x4f\xff\x51'  # SOC, SIZ


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
    return GDCM_12_BIT_PLUGIN
  return DECODERS.get(layout.transfer_syntax, '')  # none where nothing is compressed


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
    raise InputError('header-corrupt', f'{SAMPLES.get(photometric, 0)} samples of undecoded colour')
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
