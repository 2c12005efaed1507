"""What a site does not want, or not as it is: selection and burned-in text, from bytes to frames."""

from typing import Any

import numpy as np
import pytest
from pydicom.uid import UID, JPEGBaseline8Bit

from tests.transforms import pictures
from transforms.burned_in import BurnedIn, read_regions
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame
from transforms.perceptual import perceptual_hash
from transforms.preprocess import PreprocessSpec
from transforms.select import read_rules

SPEC = PreprocessSpec(image_size=32)
GREY = np.maximum(pictures.gradient(64, 64, 8), 1).astype(np.uint8)
CHEST = read_rules('rules: [{include: chest, modality: [CR, DX], body_part: CHEST}]\ndefault: exclude')
REPORT = UID('1.2.840.10008.5.1.4.1.1.88.11')


def decode(data: bytes, **options: Any) -> list[Frame]:
  return list(decode_source(data, DecodeOptions(spec=SPEC, **options), keep_original=True))


def dicom(values: Any = GREY, **elements: Any) -> bytes:
  elements = {'WindowCenter': 128, 'WindowWidth': 256, **elements}  # LINEAR: 0 to 255 as they are
  return pictures.dicom_file(pictures.dicom_dataset(values, **elements))


def without_pixels(**elements: Any) -> bytes:
  dataset = pictures.dicom_dataset(GREY, **elements)
  del dataset.PixelData
  return pictures.dicom_file(dataset)


def report() -> bytes:
  dataset = pictures.dicom_dataset(GREY, SOPClassUID=REPORT, Modality='SR')
  for keyword in ('PixelData', 'Rows', 'Columns'):
    delattr(dataset, keyword)
  return pictures.dicom_file(dataset)


def outcome(data: bytes, **options: Any) -> list[tuple[int | None, str | None, str]]:
  return [
    (f.number, f.error.code if f.error else None, f.error.detail if f.error else '') for f in decode(data, **options)
  ]


LEFT_OUT = (None, 'not-selected', 'default')


@pytest.mark.parametrize(
  ('data', 'expected'),
  [
    (dicom(BodyPartExamined='CHEST'), [(1, None, '')]),
    (dicom(BodyPartExamined='HAND'), [LEFT_OUT]),
    (dicom(np.stack([GREY] * 3), NumberOfFrames=3, Modality='CT', BodyPartExamined='CHEST'), [LEFT_OUT]),
    (report(), [(None, 'no-pixel-data', 'SR')]),
    (pictures.png(GREY), [LEFT_OUT]),
    (pictures.pillow_jpeg(GREY), [LEFT_OUT]),
    (dicom(Modality='CT')[:-100], [LEFT_OUT]),  # what is not wanted need not be sound
    (without_pixels(Modality='CT'), [LEFT_OUT]),
    (without_pixels(BodyPartExamined='CHEST'), [(None, 'header-corrupt', 'Rows and Columns without pixel data')]),
    (bytes(128) + b'DICM', [(None, 'header-corrupt', 'no element could be read')]),
    (b'\xff\xd8\xff\xe0', [LEFT_OUT]),
    (b'', [(None, 'empty-file', '')]),
    (b'%PDF-1.7', [(None, 'auxiliary-file', '')]),
  ],
)
def test_only_what_the_rules_want_is_decoded(data: bytes, expected: list[tuple[int | None, str | None, str]]) -> None:
  assert outcome(data, select=CHEST) == expected


def test_what_is_left_out_keeps_its_facts_and_is_never_decoded() -> None:
  dataset = pictures.dicom_dataset(GREY, Modality='CT')
  dataset.file_meta.TransferSyntaxUID = UID('1.2.840.10008.1.2.4.100')  # a video: it has no decoder
  data = pictures.dicom_file(pictures.compressed(dataset, JPEGBaseline8Bit, [GREY]))
  (frame,) = decode(data, select=CHEST)
  assert (frame.error and frame.error.code, frame.facts.modality, frame.facts.rows) == ('not-selected', 'CT', 64)
  assert frame.pixels is None


def test_free_text_decides_and_is_in_no_frame() -> None:
  rules = read_rules('rules: [{exclude: planted, series_description: secret, model: planted}]\ndefault: include')
  (frame,) = decode(dicom(SeriesDescription='Secret', ManufacturerModelName='Planted'), select=rules)
  assert frame.error is not None
  assert (frame.error.code, frame.error.detail) == ('not-selected', 'planted')
  assert 'Secret' not in repr(frame)
  assert outcome(dicom(SeriesDescription='Secret'), select=rules) == [(1, None, '')]


DEVICE = read_regions('devices: [{name: scanner, model: ^EPIQ, rows: 64, mask_px: [[0, 0, 64, 16]]}]')
MASK = BurnedIn('mask', DEVICE)


@pytest.mark.parametrize(
  ('burned_in', 'elements', 'expected', 'flags'),
  [
    (BurnedIn(), {}, (1, None, ''), ()),
    (BurnedIn(), {'BurnedInAnnotation': 'YES'}, (1, None, ''), ('burned-in',)),
    (BurnedIn(), {'BurnedInAnnotation': 'NO'}, (1, None, ''), ()),
    (BurnedIn('reject'), {'BurnedInAnnotation': 'YES'}, (None, 'burned-in', 'declared by the header'), ()),
    (BurnedIn('reject'), {}, (1, None, ''), ()),
    (MASK, {}, (1, None, ''), ()),
    (MASK, {'ManufacturerModelName': 'EPIQ 7'}, (1, None, ''), ('burned-in-masked',)),
    (
      MASK,
      {'ManufacturerModelName': 'EPIQ 7', 'BurnedInAnnotation': 'YES'},
      (1, None, ''),
      ('burned-in', 'burned-in-masked'),
    ),
    (
      MASK,
      {'BurnedInAnnotation': 'YES'},
      (None, 'burned-in', 'declared by the header, and no region for the device'),
      (),
    ),
  ],
)
def test_burned_in_text(
  burned_in: BurnedIn, elements: dict[str, str], expected: tuple[int | None, str | None, str], flags: tuple[str, ...]
) -> None:
  data = dicom(**elements)
  assert outcome(data, burned_in=burned_in) == [expected]
  assert decode(data, burned_in=burned_in)[0].quality == flags


def test_a_mask_is_black_in_the_pixels_and_in_the_sample() -> None:
  data = dicom(PhotometricInterpretation='MONOCHROME1', ManufacturerModelName='EPIQ')  # black as displayed
  (plain,), (masked,) = decode(data), decode(data, burned_in=MASK)
  for name, rows in (('pixels', 8), ('original', 16)):
    before, after = getattr(plain, name), getattr(masked, name)
    assert before[:rows].min() < after[rows:].max()
    assert after[:rows].max() == 0
    assert before[:rows].max() > 0
    assert np.array_equal(after[rows:], before[rows:])


def test_a_mask_of_another_size_fails_each_frame() -> None:
  small = read_regions('devices: [{name: scanner, modality: CR, mask_px: [[0, 0, 65, 16]]}]')
  data = dicom(np.stack([GREY, GREY[::-1]]), NumberOfFrames=2)
  detail = 'a region does not fit into 64 x 64 pixels'
  assert outcome(data, burned_in=BurnedIn('mask', small)) == [(1, 'burned-in', detail), (2, 'burned-in', detail)]


def test_an_image_that_is_all_mask_is_blank() -> None:
  whole = read_regions('devices: [{name: scanner, format: png, mask_fraction: [[0, 0, 1, 1]]}]')
  assert outcome(pictures.png(GREY), burned_in=BurnedIn('mask', whole)) == [(1, 'blank', '')]


def test_lossy_images_say_so_and_images_have_a_perceptual_hash() -> None:
  (jpeg,), (png,) = decode(pictures.pillow_jpeg(GREY)), decode(pictures.png(GREY))
  assert (jpeg.quality, png.quality) == (('lossy-compressed',), ())
  assert png.pixels is not None
  assert png.perceptual_hash == perceptual_hash(png.pixels)
  (blank,) = decode(pictures.png(np.full((64, 64), 9, np.uint8)))
  assert (blank.perceptual_hash, blank.quality) == (None, ('blank',))
