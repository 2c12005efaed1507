"""What is missing from headers, and what contradicts the pixels."""

from typing import Any

import numpy as np
import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
  UID,
  ExplicitVRLittleEndian,
  JPEG2000Lossless,
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLossless,
  JPEGLSLossless,
  RLELossless,
)

from tests.transforms import pictures
from transforms.codecs import stored_frame
from transforms.dicom import Dicom
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.pixel_layout import Layout, pixel_layout
from transforms.transfer_syntaxes import decoder_of, name_of

GREY = pictures.gradient(bits=12)
COLOURS = pictures.colours()


def without(dataset: Dataset, *keywords: str) -> Dicom:
  for keyword in keywords:
    delattr(dataset, keyword)
  return pictures.parsed(dataset)


def layout_of(dicom: Dicom) -> Layout:
  return pixel_layout(dicom, Limits())


@pytest.mark.parametrize(
  'missing',
  [
    'BitsStored',
    'HighBit',
    'SamplesPerPixel',
    'PixelRepresentation',
    'PhotometricInterpretation',
    'BitsAllocated',
  ],
)
def test_a_grey_image_without_one_of_its_attributes(missing: str) -> None:
  dicom = without(pictures.dicom_dataset(GREY), missing)
  assert np.array_equal(stored_frame(dicom, layout_of(dicom), 0), GREY)
  assert layout_of(dicom).photometric == 'MONOCHROME2'


@pytest.mark.parametrize(
  'missing', ['BitsStored', 'SamplesPerPixel', 'PlanarConfiguration', 'PhotometricInterpretation', 'BitsAllocated']
)
def test_a_colour_image_without_one_of_its_attributes(missing: str) -> None:
  dicom = without(pictures.dicom_dataset(COLOURS), missing)
  assert np.array_equal(stored_frame(dicom, layout_of(dicom), 0), COLOURS)


@pytest.mark.parametrize('uid', [JPEGLSLossless, JPEG2000Lossless, JPEGLossless])
def test_a_compressed_image_tells_its_own_bits(uid: UID) -> None:
  dataset = pictures.compressed(pictures.dicom_dataset(GREY), uid, [GREY])
  dicom = without(dataset, 'BitsAllocated', 'BitsStored', 'HighBit')
  assert np.array_equal(stored_frame(dicom, layout_of(dicom), 0), GREY)


@pytest.mark.parametrize('missing', [['Rows'], ['Columns'], ['BitsAllocated', 'Rows']])
def test_what_cannot_be_guessed_is_corrupt(missing: list[str]) -> None:
  with pytest.raises(InputError) as caught:
    layout_of(without(pictures.dicom_dataset(GREY), *missing))
  assert caught.value.code == 'header-corrupt'


@pytest.mark.parametrize(
  ('declared', 'read'),
  [
    ('MONOCHROME2 ', 'MONOCHROME2'),
    ('monochrome1', 'MONOCHROME1'),
    ('PALETTE_COLOR', 'PALETTE COLOR'),
    ('PALETTE  COLOR', 'PALETTE COLOR'),
  ],
)
def test_photometric_interpretation_as_it_is_written(declared: str, read: str) -> None:
  assert (
    layout_of(pictures.parsed(pictures.dicom_dataset(GREY, PhotometricInterpretation=declared))).photometric == read
  )


@pytest.mark.parametrize(('frames', 'expected'), [('0', 1), ('', 1), (None, 1), ('1', 1), ('7', 2), ('2.0', 2)])
def test_number_of_frames(frames: str | None, expected: int) -> None:
  dataset = pictures.dicom_dataset(GREY)
  dataset.add_new('NumberOfFrames', 'DS', frames)
  assert layout_of(pictures.parsed(dataset)).frames == expected


CODECS = [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLossless]


@pytest.mark.parametrize('actual', CODECS[1:])
@pytest.mark.parametrize('declared', [*CODECS, JPEGBaseline8Bit, JPEGExtended12Bit, ExplicitVRLittleEndian])
def test_the_frame_decides_which_codec_it_is_of(actual: UID, declared: UID) -> None:
  dataset = pictures.compressed(pictures.dicom_dataset(GREY, BitsStored=12), actual, [GREY])
  dataset.file_meta.TransferSyntaxUID = declared
  dicom = pictures.parsed(dataset)
  assert np.array_equal(stored_frame(dicom, layout_of(dicom), 0), GREY)


def test_fragments_of_no_known_codec() -> None:
  dataset = pictures.compressed(pictures.dicom_dataset(GREY, BitsStored=12), RLELossless, [GREY])
  dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
  with pytest.raises(InputError) as caught:
    layout_of(pictures.parsed(dataset))
  assert caught.value.code == 'unsupported-transfer-syntax'


LISTED = [UID(uid) for uid, (_, kind, *_) in UID_dictionary.items() if kind == 'Transfer Syntax']
NEWER = [UID(f'1.2.840.10008.1.2.4.{number}') for number in (110, 111, 112)]
UNREAD = [uid for uid in (*LISTED, *NEWER) if decoder_of(uid) is None]


def test_what_is_not_read() -> None:
  """Video, references, JPEG XL, arithmetic and hierarchical JPEG: nothing that was read before is missing."""
  assert len(UNREAD) == 40


@pytest.mark.parametrize('uid', [*UNREAD, UID('1.2.3.4')])
def test_transfer_syntaxes_without_decoder(uid: UID) -> None:
  dataset = pictures.compressed(pictures.dicom_dataset(GREY, BitsStored=12), JPEGLSLossless, [GREY])
  dataset.file_meta.TransferSyntaxUID = uid
  with pytest.raises(InputError) as caught:
    layout_of(pictures.parsed(dataset))
  detail = name_of(uid) or 'private or unknown'
  assert (caught.value.code, caught.value.detail) == ('unsupported-transfer-syntax', detail)


def test_pixels_elsewhere_are_not_fetched() -> None:
  dataset = pictures.dicom_dataset(GREY, PixelDataProviderURL='https://pacs/1')
  with pytest.raises(InputError) as caught:
    layout_of(without(dataset, 'PixelData'))
  assert (caught.value.code, caught.value.detail) == ('unsupported-transfer-syntax', 'JPIP Referenced')


@pytest.mark.parametrize(
  ('elements', 'code'),
  [
    ({'PhotometricInterpretation': 'YBR_PARTIAL_420'}, 'unsupported-image'),
    ({'PhotometricInterpretation': 'YBR_FULL_422', 'Columns': 63, 'PixelData': bytes(48 * 63 * 2)}, 'header-corrupt'),
    ({'PhotometricInterpretation': 'CMYK'}, 'unsupported-image'),
    ({'BitsAllocated': 64, 'BitsStored': 64, 'HighBit': 63}, 'unsupported-image'),
  ],
)
def test_colour_that_is_not_read(elements: dict[str, Any], code: str) -> None:
  with pytest.raises(InputError) as caught:
    layout_of(pictures.parsed(pictures.dicom_dataset(COLOURS, **elements)))
  assert caught.value.code == code


@pytest.mark.parametrize('stored', [10, 12, 16])
@pytest.mark.parametrize('uid', [JPEGBaseline8Bit, JPEGLossless, JPEGLSLossless, JPEG2000Lossless])
def test_the_precision_of_the_frame_counts_where_the_header_was_left_as_before_compression(
  uid: UID, stored: int
) -> None:
  grey = pictures.gradient(bits=8)
  dataset = pictures.compressed(pictures.dicom_dataset(grey), uid, [grey])
  dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, stored, stored - 1
  dicom = pictures.parsed(dataset)
  layout = layout_of(dicom)
  assert (layout.bits_allocated, layout.bits_stored, layout.high_bit) == (8, 8, 7)
  largest = 3 if uid == JPEGBaseline8Bit else 0
  assert np.abs(stored_frame(dicom, layout, 0).astype(int) - grey).max() <= largest


@pytest.mark.parametrize('uid', [JPEGLossless, JPEGLSLossless, JPEG2000Lossless])
def test_a_later_frame_of_fewer_bits_than_the_first_is_read(uid: UID) -> None:
  grey = pictures.gradient(bits=8)
  first = pictures.compressed(pictures.dicom_dataset(GREY, BitsStored=12), uid, [GREY])
  second = pictures.compressed(pictures.dicom_dataset(grey), uid, [grey])
  first.PixelData = encapsulate([get_frame(one.PixelData, 0, number_of_frames=1) for one in (first, second)])
  first.NumberOfFrames = 2
  dicom = pictures.parsed(first)
  assert np.array_equal(stored_frame(dicom, layout_of(dicom), 0), GREY)
  assert np.array_equal(stored_frame(dicom, layout_of(dicom), 1), grey)


@pytest.mark.parametrize('uid', [JPEGBaseline8Bit])
def test_a_colour_frame_of_8_bits_under_a_header_of_more(uid: UID) -> None:
  dataset = pictures.compressed(pictures.dicom_dataset(COLOURS), uid, [COLOURS])
  dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
  dicom = pictures.parsed(dataset)
  assert layout_of(dicom).bits_stored == 8
  assert np.abs(stored_frame(dicom, layout_of(dicom), 0).astype(int) - COLOURS).max() <= 8


def test_a_sound_frame_of_8_bits_behind_one_whose_header_cannot_be_read() -> None:
  grey = pictures.gradient(bits=8)
  dataset = pictures.compressed(pictures.dicom_dataset(GREY, BitsStored=12), JPEGBaseline8Bit, [grey])
  dataset.PixelData = encapsulate([b'\xff\xd8\xff\xc0\x00\x02', pictures.pillow_jpeg(grey)])
  dataset.NumberOfFrames = 2
  dicom = pictures.parsed(dataset)
  assert np.abs(stored_frame(dicom, layout_of(dicom), 1).astype(int) - grey).max() <= 3
