import logging
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
  UID,
  DeflatedExplicitVRLittleEndian,
  ExplicitVRBigEndian,
  ExplicitVRLittleEndian,
  ImplicitVRLittleEndian,
  JPEG2000Lossless,
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLossless,
  JPEGLosslessSV1,
  JPEGLSLossless,
  RLELossless,
)

from tests.transforms import pictures
from transforms.codecs import StoredValues, mask_unused_bits, stored_frame
from transforms.dicom import Dicom, FrameChoice, frame_numbers, header_facts, read_dicom
from transforms.elements import HeaderFacts, Limits
from transforms.errors import InputError
from transforms.pixel_layout import Layout, pixel_layout


def _open(data: bytes, limits: Limits | None = None) -> tuple[Dicom, Layout]:
  dataset = read_dicom(data, limits or Limits())
  return dataset, pixel_layout(dataset, limits or Limits())


def _stored(data: bytes, index: int = 0) -> StoredValues:
  dataset, layout = _open(data)
  return stored_frame(dataset, layout, index)


def _native(dataset: Dataset, uid: UID) -> bytes:
  dataset.file_meta.TransferSyntaxUID = uid
  if uid == ExplicitVRBigEndian and dataset.BitsAllocated > 8:
    values = np.frombuffer(dataset.PixelData, f'<u{dataset.BitsAllocated // 8}')
    dataset.PixelData = values.byteswap().tobytes()
  return pictures.dicom_file(dataset)


@pytest.mark.parametrize(
  'uid', [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize(
  ('bits', 'signed'), [(8, False), (10, False), (12, True), (16, False), (16, True), (32, False)]
)
def test_uncompressed(uid: UID, bits: int, signed: bool) -> None:
  values = pictures.gradient(bits=bits, signed=signed)
  stored = _stored(_native(pictures.dicom_dataset(values, BitsStored=bits), uid))
  assert stored.dtype == values.dtype
  assert np.array_equal(stored, values)


LOSSLESS = [RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLossless, JPEGLosslessSV1]


@pytest.mark.parametrize('uid', LOSSLESS)
@pytest.mark.parametrize(('bits', 'signed'), [(8, False), (12, False), (16, False), (16, True)])
def test_lossless(uid: UID, bits: int, signed: bool) -> None:
  values = pictures.gradient(bits=bits, signed=signed)
  dataset = pictures.compressed(pictures.dicom_dataset(values, BitsStored=bits), uid, [values])
  assert np.array_equal(_stored(pictures.dicom_file(dataset)), values)


@pytest.mark.parametrize(('uid', 'bits', 'tolerance'), [(JPEGBaseline8Bit, 8, 2), (JPEGExtended12Bit, 12, 4)])
def test_lossy(uid: UID, bits: int, tolerance: int) -> None:
  values = pictures.gradient(bits=bits)
  dataset = pictures.compressed(pictures.dicom_dataset(values, BitsStored=bits), uid, [values])
  assert np.abs(_stored(pictures.dicom_file(dataset)).astype(int) - values).max() <= tolerance


COLOURS = pictures.colours()
_WEIGHTS = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
YBR = np.clip(np.rint(COLOURS @ _WEIGHTS.T + [0, 128, 128]), 0, 255).astype(np.uint8)


def _ybr_422() -> bytes:
  """Y1 Y2 Cb Cr for each two pixels (PS3.3 C.7.6.3.1.2), of a picture without change across."""
  flat = np.repeat(YBR[:, :1], COLOURS.shape[1], axis=1)
  return np.stack([flat[:, ::2, 0], flat[:, 1::2, 0], flat[:, ::2, 1], flat[:, ::2, 2]], axis=-1).tobytes()


@pytest.mark.parametrize(
  ('elements', 'expected', 'tolerance'),
  [
    ({}, COLOURS, 0),
    ({'PlanarConfiguration': 1, 'PixelData': COLOURS.transpose(2, 0, 1).tobytes()}, COLOURS, 0),
    ({'PhotometricInterpretation': 'YBR_FULL', 'PixelData': YBR.tobytes()}, COLOURS, 2),
    (
      {'PhotometricInterpretation': 'YBR_FULL_422', 'PixelData': _ybr_422()},
      np.repeat(COLOURS[:, :1], COLOURS.shape[1], axis=1),
      2,
    ),
  ],
)
def test_colour(elements: dict[str, Any], expected: StoredValues, tolerance: int) -> None:
  stored = _stored(pictures.dicom_file(pictures.dicom_dataset(COLOURS, **elements)))
  assert np.abs(stored.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(
  ('uid', 'photometric', 'tolerance'),
  [
    (RLELossless, 'RGB', 0),
    (JPEGLSLossless, 'RGB', 0),
    (JPEG2000Lossless, 'YBR_RCT', 0),
    (JPEGBaseline8Bit, 'YBR_FULL_422', 6),
  ],
)
def test_compressed_colour(uid: UID, photometric: str, tolerance: int) -> None:
  dataset = pictures.compressed(pictures.dicom_dataset(COLOURS), uid, [COLOURS])
  dataset.PhotometricInterpretation = photometric
  assert np.abs(_stored(pictures.dicom_file(dataset)).astype(int) - COLOURS).max() <= tolerance


@pytest.mark.parametrize('uid', [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_each_frame_is_its_own(uid: UID) -> None:
  frames = [pictures.gradient(bits=12), pictures.gradient(bits=12)[::-1].copy(), pictures.gradient(bits=11)]
  dataset = pictures.dicom_dataset(np.stack(frames), NumberOfFrames=3)
  if uid.is_encapsulated:
    dataset = pictures.compressed(dataset, uid, frames)
  data = pictures.dicom_file(dataset)
  for index, frame in enumerate(frames):
    assert np.array_equal(_stored(data, index), frame)


@pytest.mark.parametrize('pixels', [64, 63])  # frames of 63 pixels do not end at a byte
def test_one_bit(pixels: int) -> None:
  frames = np.random.default_rng(3).integers(0, 2, (3, 1, pixels), np.uint8)
  packed = np.packbits(frames.ravel(), bitorder='little').tobytes()
  dataset = pictures.dicom_dataset(frames, NumberOfFrames=3, BitsAllocated=1, BitsStored=1, PixelData=packed)
  for index in range(3):
    assert np.array_equal(_stored(pictures.dicom_file(dataset), index), frames[index])


@pytest.mark.parametrize(('keyword', 'kind'), [('FloatPixelData', 'f4'), ('DoubleFloatPixelData', 'f8')])
def test_floats(keyword: str, kind: str) -> None:
  values = pictures.gradient().astype(kind) / 7
  elements = {keyword: values.tobytes(), 'BitsAllocated': 8 * values.dtype.itemsize}
  assert np.array_equal(_stored(pictures.dicom_file(pictures.dicom_dataset(values, **elements))), values)


@pytest.mark.parametrize(
  ('word', 'stored', 'high', 'kind', 'value'),
  [
    (0x1234, 16, 15, 'u2', 0x1234),
    (0xF234, 12, 11, 'u2', 0x234),  # an overlay in the upper bits
    (0x234F, 12, 15, 'u2', 0x234),  # the stored bits lie on top
    (0xA23C, 10, 11, 'u2', 0x8F),
    (0x0FFF, 12, 11, 'i2', -1),
    (0x07FF, 12, 11, 'i2', 2047),
    (0xF800, 12, 11, 'i2', -2048),
    (0x80, 4, 7, 'i1', -8),
  ],
)
def test_unused_bits_are_masked(word: int, stored: int, high: int, kind: str, value: int) -> None:
  words = np.array([word], kind.replace('i', 'u')).view(kind)
  assert mask_unused_bits(words, stored, high).tolist() == [value]


@pytest.mark.parametrize('uid', [ExplicitVRLittleEndian, RLELossless])
def test_an_odd_high_bit_is_honoured(uid: UID) -> None:
  values = pictures.gradient(bits=12)
  dataset = pictures.dicom_dataset(values << 4 | 5, BitsStored=12, HighBit=15)
  if uid == RLELossless:
    dataset = pictures.compressed(dataset, uid, [values << 4 | 5])
  assert np.array_equal(_stored(pictures.dicom_file(dataset)), values)


def _bare(*, implicit: bool, little_endian: bool) -> bytes:
  dataset = pictures.dicom_dataset(pictures.gradient(bits=8))
  del dataset.file_meta
  buffer = BytesIO()
  dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=little_endian)
  return buffer.getvalue()


@pytest.mark.parametrize(
  ('implicit', 'little_endian', 'uid'),
  [
    (True, True, ImplicitVRLittleEndian),
    (False, True, ExplicitVRLittleEndian),
    (False, False, ExplicitVRBigEndian),
  ],
)
def test_without_preamble_and_meta_information(implicit: bool, little_endian: bool, uid: UID) -> None:
  data = _bare(implicit=implicit, little_endian=little_endian)
  assert read_dicom(data, Limits()).transfer_syntax == uid
  assert np.array_equal(_stored(data), pictures.gradient(bits=8))


@pytest.mark.parametrize(
  ('count', 'choice', 'numbers'),
  [
    (1, 'first', [1]),
    (1, 'middle', [1]),
    (1, 'all', [1]),
    (9, 'first', [1]),
    (9, 'middle', [5]),
    (10, 'middle', [5]),
    (3, 'all', [1, 2, 3]),
  ],
)
def test_frame_numbers(count: int, choice: FrameChoice, numbers: list[int]) -> None:
  assert list(frame_numbers(count, choice)) == numbers


def test_facts_are_allow_listed_and_closed() -> None:
  dataset = pictures.dicom_dataset(
    pictures.gradient(),
    Manufacturer='GE MEDICAL SYSTEMS',
    BodyPartExamined=pictures.NAME,
    ViewPosition='pa',
    PatientSex='F',
    PatientAge='093Y',
    StudyDate='20240229',
    AccessionNumber=' A1 ',
    BitsStored=12,
  )
  facts = header_facts(read_dicom(pictures.dicom_file(dataset), Limits()))
  assert facts == HeaderFacts(
    sop_instance_uid='1.2.3.4',
    series_instance_uid='1.2.3.5',
    study_instance_uid='1.2.3',
    patient_id=pictures.NAME,
    accession_number='A1',
    sop_class_uid='1.2.840.10008.5.1.4.1.1.7',
    study_date='20240229',
    scanner=('ge medical systems', '', '', ''),
    modality='CR',
    view_position='PA',
    body_part='other',
    manufacturer='ge',
    sex='F',
    age_years=90,
    rows=48,
    columns=64,
    bits_stored=12,
    number_of_frames=1,
    transfer_syntax='1.2.840.10008.1.2.1',
    photometric='MONOCHROME2',
    patient_name=pictures.NAME,
  )


@pytest.mark.parametrize('sop_class', ['1.2.3', pictures.NAME])
def test_facts_of_free_text_stay_out(sop_class: str) -> None:
  dataset = pictures.dicom_dataset(pictures.gradient(), StudyDate='2024', SOPClassUID=sop_class, NumberOfFrames='')
  facts = header_facts(read_dicom(pictures.dicom_file(dataset), Limits()))
  assert facts.sop_class_uid == (sop_class if sop_class == '1.2.3' else None)
  assert facts.study_date is None
  assert facts.number_of_frames == 1


def _without_pixels(sop_class: str, **elements: Any) -> Dataset:
  dataset = pictures.dicom_dataset(pictures.gradient(), SOPClassUID=sop_class, **elements)
  dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
  for keyword in ('PixelData', 'Rows', 'Columns'):
    del dataset[keyword]
  return dataset


@pytest.mark.parametrize(
  ('sop_class', 'code', 'detail'),
  [
    ('1.2.840.10008.5.1.4.1.1.88.22', 'no-pixel-data', 'SR'),
    ('1.2.840.10008.5.1.4.1.1.88.59', 'no-pixel-data', 'KO'),
    ('1.2.840.10008.5.1.4.1.1.11.1', 'no-pixel-data', 'PR'),
    ('1.2.840.10008.5.1.4.1.1.104.1', 'no-pixel-data', 'PDF'),
    ('1.2.840.10008.5.1.4.1.1.481.3', 'no-pixel-data', 'RTSTRUCT'),
    ('1.2.840.10008.5.1.4.1.1.9.1.1', 'no-pixel-data', 'waveform'),
    ('1.2.840.10008.1.3.10', 'auxiliary-file', 'DICOMDIR'),
    ('1.2.840.10008.5.1.4.38.1', 'no-pixel-data', 'other'),
    ('1.2.840.10008.5.1.4.1.1.481.2', 'no-pixel-data', 'RT'),  # a dose without a grid
    ('1.2.3.4', 'no-pixel-data', 'private'),
    ('1.2.840.10008.5.1.4.1.1.1', 'header-corrupt', 'an image class without pixel data'),
  ],
)
def test_objects_without_pixels(sop_class: str, code: str, detail: str) -> None:
  with pytest.raises(InputError) as caught:
    _open(pictures.dicom_file(_without_pixels(sop_class)))
  assert (caught.value.code, caught.value.detail) == (code, detail)


def test_without_pixels_and_class_it_is_nothing() -> None:
  dataset = _without_pixels('1.2.3.4')
  del dataset.file_meta, dataset.SOPClassUID
  with pytest.raises(InputError, match='header-corrupt'):
    pixel_layout(pictures.parsed(dataset), Limits())


@pytest.mark.parametrize(
  ('elements', 'code'),
  [
    ({'Rows': 0}, 'header-corrupt'),
    ({'Columns': None}, 'header-corrupt'),
    ({'SamplesPerPixel': 3}, 'header-corrupt'),
    ({'PhotometricInterpretation': 'RGB'}, 'header-corrupt'),
    ({'PhotometricInterpretation': pictures.NAME}, 'header-corrupt'),
    ({'PhotometricInterpretation': 'HSV'}, 'unsupported-image'),
    ({'BitsAllocated': 24}, 'unsupported-image'),
    ({'BitsStored': 17, 'HighBit': 16}, 'header-corrupt'),
    ({'HighBit': 5}, 'header-corrupt'),
    ({'NumberOfFrames': -1}, 'header-corrupt'),
    ({'FloatPixelData': bytes(8)}, 'header-corrupt'),
    ({'Rows': 40_000, 'Columns': 40_000}, 'too-large'),
    ({'PixelData': b''}, 'decode-failed'),
  ],
)
def test_contradictions(elements: dict[str, Any], code: str) -> None:
  with pytest.raises(InputError) as caught:
    _open(pictures.dicom_file(pictures.dicom_dataset(pictures.gradient(), **elements)))
  assert caught.value.code == code
  assert 'Doe' not in caught.value.detail


@pytest.mark.parametrize('uid', ['1.2.840.10008.1.2.6.1', '1.2.3.4', pictures.NAME])
def test_transfer_syntaxes_without_decoder(uid: str) -> None:
  dataset = pictures.compressed(pictures.dicom_dataset(COLOURS), JPEGLSLossless, [COLOURS])
  declared = JPEGLSLossless.encode()
  with pytest.raises(InputError) as caught:
    _open(pictures.dicom_file(dataset).replace(declared, uid.encode().ljust(22, b'\0')))
  assert caught.value.code == 'unsupported-transfer-syntax'


@pytest.mark.parametrize('uid', [JPEG2000Lossless, JPEGLSLossless, JPEGBaseline8Bit])
def test_a_codestream_of_another_size_is_not_decoded(uid: UID) -> None:
  large = pictures.gradient(480, 640, 8)
  dataset = pictures.compressed(pictures.dicom_dataset(large), uid, [large])
  dataset.Rows, dataset.Columns = 48, 64
  with pytest.raises(InputError, match='header-corrupt'):
    _stored(pictures.dicom_file(dataset))


def test_frames_that_were_cut_off_cost_one_failure() -> None:
  frames = np.stack([pictures.gradient()] * 5)
  dataset = pictures.dicom_dataset(frames, NumberOfFrames=1_000_000)
  dataset.PixelData = dataset.PixelData[: frames[0].nbytes * 3 + 100]
  dicom, layout = _open(pictures.dicom_file(dataset))
  assert layout.frames == 4
  assert np.array_equal(stored_frame(dicom, layout, 2), frames[2])
  with pytest.raises(InputError, match='decode-failed'):
    stored_frame(dicom, layout, 3)


def test_compressed_frames_may_not_inflate_without_end() -> None:
  values = np.zeros((4000, 4000), np.uint16)
  dataset = pictures.compressed(pictures.dicom_dataset(values), JPEG2000Lossless, [values])
  with pytest.raises(InputError) as caught:
    _open(pictures.dicom_file(dataset), Limits(max_inflation_ratio=10))
  assert caught.value.code == 'bomb'


def test_sequences_may_not_nest_without_end() -> None:
  deep = b'\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff' * 20_000
  with pytest.raises(InputError) as caught:
    _open(bytes(128) + b'DICM' + b'\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0' + deep)
  assert caught.value.code == 'header-corrupt'


def test_nothing_is_said_about_a_broken_file(capfd: Any, caplog: Any) -> None:
  dataset = pictures.dicom_dataset(pictures.gradient(), BitsStored=12)
  dataset.add_new(0x00080018, 'UI', pictures.NAME)
  dataset.PixelData += bytes(100)
  cut = pictures.compressed(pictures.dicom_dataset(pictures.gradient()), JPEG2000Lossless, [pictures.gradient()])
  cut.PixelData = cut.PixelData[:200] + bytes(100)
  files = [pictures.dicom_file(dataset), pictures.dicom_file(cut)]
  caplog.clear()
  caplog.set_level(logging.INFO)
  with warnings.catch_warnings():
    warnings.resetwarnings()
    warnings.filterwarnings('ignore', module='pydicom')  # as importing transforms.dicom does; pytest has its own
    _stored(files[0])
    with pytest.raises(InputError):
      _stored(files[1])
  captured = capfd.readouterr()
  assert (captured.out, captured.err, caplog.text) == ('', '', '')
