import io
from itertools import product
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pipelines.synthetic_dicom import (
  TRANSFER_SYNTAXES,
  Bits,
  Encoding,
  Grey,
  Header,
  Photometric,
  encode_dicom,
  encode_report,
  encode_video,
)
from pipelines.synthetic_pictures import draw_chest

HEADER = Header('ID', 'A^B', 'ACC', '2.25.1', '2.25.2', '2.25.3')
PICTURE = draw_chest(np.random.default_rng(2), True, 75, 61)  # odd sizes: padding shows
PHOTOMETRIC: tuple[Photometric, ...] = ('MONOCHROME1', 'MONOCHROME2')
LOSSLESS = [syntax for syntax in TRANSFER_SYNTAXES if syntax != uid.JPEGBaseline8Bit]


def _read(data: bytes) -> pydicom.Dataset:
  return pydicom.dcmread(io.BytesIO(data))


def _display(dataset: pydicom.Dataset) -> NDArray[np.floating[Any]]:
  """What a viewer shows, 0 to 1: by pydicom alone, or between black and white where there is no window."""
  values = apply_modality_lut(dataset.pixel_array, dataset)
  if 'WindowWidth' in dataset:
    slope, intercept = float(dataset.get('RescaleSlope', 1)), float(dataset.get('RescaleIntercept', 0))
    top = slope * (2**dataset.BitsStored - 1) + intercept
    shown = (apply_voi_lut(values, dataset) - intercept) / (top - intercept)
  else:
    shown = (values - values.min()) / (values.max() - values.min())
  return 1 - shown if dataset.PhotometricInterpretation == 'MONOCHROME1' else shown


@pytest.mark.parametrize(('syntax', 'bits'), product(LOSSLESS, (12, 16)))
def test_lossless_syntaxes_keep_every_stored_value(syntax: uid.UID, bits: Bits) -> None:
  dataset = _read(encode_dicom([PICTURE], HEADER, Encoding(syntax, bits)))
  reference = _read(encode_dicom([PICTURE], HEADER, Encoding(bits_stored=bits)))
  assert dataset.file_meta.TransferSyntaxUID == syntax
  assert np.array_equal(dataset.pixel_array, reference.pixel_array)


@pytest.mark.parametrize(('bits', 'grey', 'photometric'), product((12, 16), ('window', 'rescale'), PHOTOMETRIC))
def test_a_windowed_file_displays_the_picture(bits: Bits, grey: Grey, photometric: Photometric) -> None:
  encoding = Encoding(bits_stored=bits, grey=grey, photometric=photometric)
  shown = _display(_read(encode_dicom([PICTURE], HEADER, encoding)))
  np.testing.assert_allclose(shown, PICTURE, atol=1 / 2**11)


def test_a_plain_file_has_neither_window_nor_rescale() -> None:
  dataset = _read(encode_dicom([PICTURE], HEADER, Encoding(grey='plain')))
  assert not {'WindowCenter', 'WindowWidth', 'RescaleSlope'} & set(dataset.dir())


@pytest.mark.parametrize('grey', ['window', 'rescale', 'plain'])
def test_monochrome_1_and_2_store_opposites_and_display_the_same(grey: Grey) -> None:
  one, two = (
    _read(encode_dicom([PICTURE], HEADER, Encoding(photometric=photometric, grey=grey))) for photometric in PHOTOMETRIC
  )
  assert np.corrcoef(one.pixel_array.ravel(), two.pixel_array.ravel())[0, 1] < -0.999
  np.testing.assert_allclose(_display(one), _display(two), atol=1 / 2**11)


def test_baseline_jpeg_is_8_bit_and_close() -> None:
  dataset = _read(encode_dicom([PICTURE], HEADER, Encoding(uid.JPEGBaseline8Bit, 8)))
  assert (dataset.BitsAllocated, dataset.LossyImageCompression) == (8, '01')
  assert np.abs(dataset.pixel_array / 255 - PICTURE).mean() < 0.02


def test_several_frames_keep_their_order() -> None:
  frames = [PICTURE, 1 - PICTURE]
  dataset = _read(encode_dicom(frames, HEADER, Encoding(uid.RLELossless)))
  assert dataset.NumberOfFrames == 2
  for n, frame in enumerate(frames):
    single = _read(encode_dicom([frame], HEADER, Encoding()))
    assert np.array_equal(dataset.pixel_array[n], single.pixel_array)


def test_a_report_has_no_pixels_and_a_video_cannot_be_decoded() -> None:
  assert 'PixelData' not in _read(encode_report(HEADER))
  video = _read(encode_video(HEADER))
  assert video.file_meta.TransferSyntaxUID == uid.MPEG2MPML
  with pytest.raises(NotImplementedError):
    _ = video.pixel_array
