"""Files that say what they are, files that do not, and files that lie."""

import zlib
from io import BytesIO

import numpy as np
import pytest
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
  UID,
  DeflatedExplicitVRLittleEndian,
  ExplicitVRBigEndian,
  ExplicitVRLittleEndian,
  ImplicitVRLittleEndian,
  JPEGBaseline8Bit,
  RLELossless,
)

from tests.transforms import pictures
from transforms.codecs import StoredValues, stored_frame
from transforms.dicom import header_facts, read_dicom
from transforms.dicom_encoding import open_dicom
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.pixel_layout import pixel_layout
from transforms.transfer_syntaxes import GE_BIG_ENDIAN_PIXELS, PAPYRUS_IMPLICIT

VALUES = pictures.gradient(bits=12)


def stored(data: bytes) -> StoredValues:
  dicom = read_dicom(data, Limits())
  return stored_frame(dicom, pixel_layout(dicom, Limits()), 0)


def meta(uid: str, group_length: int | None = None) -> bytes:
  """A preamble and file meta information that declares the transfer syntax."""
  padded = uid.encode() + b'\0' * (len(uid) % 2)
  element = b'\x02\0\x10\0UI' + len(padded).to_bytes(2, 'little') + padded
  length = len(element) if group_length is None else group_length
  return bytes(128) + b'DICM' + b'\x02\0\0\0UL\x04\0' + length.to_bytes(4, 'little') + element


def body(*, implicit: bool = False, little_endian: bool = True) -> bytes:
  dataset = pictures.dicom_dataset(VALUES, BitsStored=12)
  if not little_endian:
    dataset.PixelData = VALUES.astype('>u2').tobytes()
  del dataset.file_meta
  buffer = BytesIO()
  dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=little_endian)
  return buffer.getvalue()


EXPLICIT, IMPLICIT, BIG = body(), body(implicit=True), body(little_endian=False)


def deflated(data: bytes, window: int = -15) -> bytes:
  deflate = zlib.compressobj(9, zlib.DEFLATED, window)
  return deflate.compress(data) + deflate.flush()


@pytest.mark.parametrize(
  ('data', 'found'),
  [
    (EXPLICIT, ExplicitVRLittleEndian),
    (IMPLICIT, ImplicitVRLittleEndian),
    (BIG, ExplicitVRBigEndian),
    (meta(ExplicitVRLittleEndian) + EXPLICIT, ExplicitVRLittleEndian),
    (meta(ExplicitVRLittleEndian)[132:] + EXPLICIT, ExplicitVRLittleEndian),  # no preamble
    (meta(ExplicitVRLittleEndian, 999) + EXPLICIT, ExplicitVRLittleEndian),  # group length wrong
    (meta(ExplicitVRLittleEndian, 0) + EXPLICIT, ExplicitVRLittleEndian),
    (meta(ExplicitVRLittleEndian) + IMPLICIT, ImplicitVRLittleEndian),  # the meta information lies
    (meta(ImplicitVRLittleEndian) + EXPLICIT, ExplicitVRLittleEndian),
    (meta(ImplicitVRLittleEndian) + BIG, ExplicitVRBigEndian),
    (meta(ExplicitVRBigEndian) + EXPLICIT, ExplicitVRLittleEndian),
    (meta('') + IMPLICIT, ImplicitVRLittleEndian),
    (meta(PAPYRUS_IMPLICIT) + IMPLICIT, ImplicitVRLittleEndian),
    (meta(JPEGBaseline8Bit) + EXPLICIT, ExplicitVRLittleEndian),  # decoded by someone, and not said
    (meta(RLELossless) + IMPLICIT, ExplicitVRLittleEndian),
    (meta(DeflatedExplicitVRLittleEndian) + deflated(EXPLICIT), DeflatedExplicitVRLittleEndian),
    (meta(DeflatedExplicitVRLittleEndian) + deflated(EXPLICIT, 15), DeflatedExplicitVRLittleEndian),  # as zlib
    (meta(DeflatedExplicitVRLittleEndian) + EXPLICIT, DeflatedExplicitVRLittleEndian),  # not deflated
    (meta(GE_BIG_ENDIAN_PIXELS) + body(implicit=True, little_endian=True), GE_BIG_ENDIAN_PIXELS),
    (bytes(128) + b'DICM' + EXPLICIT, ExplicitVRLittleEndian),
    (b'\0\0\0\0\x04\0\0\0\0\0\0\0' + IMPLICIT, ImplicitVRLittleEndian),  # a command set before (PS3.7 6.3)
    (EXPLICIT + bytes(1000), ExplicitVRLittleEndian),  # padding after the end
  ],
)
def test_pixels_are_read_as_they_are_written(data: bytes, found: UID) -> None:
  dicom = read_dicom(data, Limits())
  layout = pixel_layout(dicom, Limits())
  expected = VALUES.byteswap() & 0x0FFF if found == GE_BIG_ENDIAN_PIXELS else VALUES
  assert layout.transfer_syntax == found
  assert np.array_equal(stored_frame(dicom, layout, 0), expected)


def test_the_declared_codec_is_a_fact_even_if_it_is_not_used() -> None:
  assert header_facts(read_dicom(meta(JPEGBaseline8Bit) + EXPLICIT, Limits())).transfer_syntax == JPEGBaseline8Bit
  assert header_facts(read_dicom(meta('1.2.3') + EXPLICIT, Limits())).transfer_syntax is None
  assert header_facts(read_dicom(meta('1.2.840.10008.1.2.4.110') + EXPLICIT, Limits())).transfer_syntax is not None


@pytest.mark.parametrize('kept', [0.5, 0.9, 0.99])
def test_a_deflated_data_set_that_breaks_off_keeps_its_beginning(kept: float) -> None:
  data = meta(DeflatedExplicitVRLittleEndian) + deflated(EXPLICIT)
  dicom = read_dicom(data[: int(kept * len(data))], Limits())
  assert header_facts(dicom).modality == 'CR'


def test_damaged_deflate_is_the_input_s_defect() -> None:
  with pytest.raises(InputError) as caught:
    open_dicom(meta(DeflatedExplicitVRLittleEndian) + b'\x07' * 100, Limits())
  assert caught.value.code == 'header-corrupt'


@pytest.mark.parametrize('cut', range(4))
def test_a_deflated_data_set_that_is_cut_before_it_begins_is_the_input_s_defect(cut: int) -> None:
  data = meta(DeflatedExplicitVRLittleEndian) + deflated(EXPLICIT)[:3]
  with pytest.raises(InputError) as caught:
    read_dicom(data[: len(data) - cut], Limits())
  assert caught.value.code == 'header-corrupt'


_MIB = 1 << 20


# Of zeros deflate makes some 1 / 700 to 1 / 900, with what stands before them: in all 32 MiB are 38 kB.
@pytest.mark.parametrize(
  ('size_bytes', 'limits', 'fits'),
  [
    (16 * _MIB, Limits(max_inflation_ratio=1), True),  # so much is free
    (16 * _MIB + 1, Limits(max_inflation_ratio=1), False),
    (32 * _MIB, Limits(max_inflation_ratio=700), False),
    (32 * _MIB, Limits(max_inflation_ratio=1000), True),
    (32 * _MIB, Limits(max_inflation_ratio=1000, max_member_bytes=32 * _MIB - 1), False),
    (15 * _MIB, Limits(max_member_bytes=15 * _MIB - 1), False),  # nor is more free than that
  ],
)
def test_inflation_is_limited(size_bytes: int, limits: Limits, fits: bool) -> None:
  data = meta(DeflatedExplicitVRLittleEndian) + deflated(EXPLICIT + bytes(size_bytes - len(EXPLICIT)))
  if fits:
    assert len(open_dicom(data, limits).data) == size_bytes
  else:
    with pytest.raises(InputError) as caught:
      open_dicom(data, limits)
    assert caught.value.code == 'bomb'


def test_zeros_are_not_read_as_elements_without_end() -> None:
  opened = open_dicom(bytes(1 << 20), Limits())
  assert opened.start == 800  # a hundred of them
