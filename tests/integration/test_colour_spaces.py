"""Colour spaces: as the header declares them, and where header and JPEG frame contradict each other."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from benchmarks import dcmtk
from tests.integration import radiographs
from tests.integration.pictures_compared import assert_same, ours
from tests.transforms.pictures import dicom_dataset, dicom_file
from transforms.raster import jpeg_segments

RGB = radiographs.colours()
# PS3.3 C.7.6.3.1.2, YBR_FULL and YBR_PARTIAL_422.
FULL = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
PARTIAL = np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])


def ybr(bits: int = 8, weights: Any = FULL, black: int = 0) -> Any:
  half = 1 << bits - 1
  values = radiographs.colours(bits).astype(np.float64) @ weights.T + [black, half, half]
  return np.clip(np.rint(values), 0, 2 * half - 1).astype(np.uint8 if bits == 8 else np.uint16)


def pairs(values: Any) -> bytes:
  """Y1 Y2 Cb Cr of each two pixels, colour of the first (PS3.3 C.7.6.3.1.2)."""
  first, second = values[:, ::2], values[:, 1::2]
  return np.stack([first[..., 0], second[..., 0], first[..., 1], first[..., 2]], axis=-1).tobytes()


DECLARED: dict[str, dict[str, Any]] = {
  'full': {'PhotometricInterpretation': 'YBR_FULL', 'PixelData': ybr().tobytes()},
  'full-by-plane': {
    'PhotometricInterpretation': 'YBR_FULL',
    'PixelData': ybr().transpose(2, 0, 1).tobytes(),
    'PlanarConfiguration': 1,
  },
  'full-422': {'PhotometricInterpretation': 'YBR_FULL_422', 'PixelData': pairs(ybr())},
  'partial-422': {'PhotometricInterpretation': 'YBR_PARTIAL_422', 'PixelData': pairs(ybr(8, PARTIAL, 16))},
}


@pytest.mark.parametrize('encoder', [None, '+ti', '+tb', '+td'])
@pytest.mark.parametrize('name', DECLARED)
def test_uncompressed(name: str, encoder: str | None) -> None:
  data = dicom_file(dicom_dataset(RGB, **DECLARED[name]))
  data = dcmtk.transcode(data, 'dcmconv', encoder) if encoder else data
  assert_same(ours(data), dcmtk.picture(data))


@pytest.mark.parametrize('encoder', [('dcmcrle',), ('dcmcjpeg', '+e1'), ('dcmcjpls', '+el')])
@pytest.mark.parametrize('name', ['full', 'full-by-plane'])
def test_compressed_without_loss(name: str, encoder: tuple[str, ...]) -> None:
  data = dcmtk.transcode(dicom_file(dicom_dataset(RGB, **DECLARED[name])), *encoder)
  assert_same(ours(data), dcmtk.picture(data))


@pytest.mark.parametrize('bits', [12, 16])
def test_of_more_bits(bits: int) -> None:
  data = dicom_file(dicom_dataset(ybr(bits), BitsStored=bits, PhotometricInterpretation='YBR_FULL'))
  assert_same(ours(data), dcmtk.picture(data))


MARKERS = {
  'none': b'',
  'jfif': b'\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00',
  'adobe-rgb': b'\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00',
  'adobe-ycc': b'\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01',
}


def jpeg(holds: str, subsampling: int, markers: str, *, named: bool) -> bytes:
  """A JPEG of RGB or YCbCr components, with these markers, its components named R, G, B, or numbered."""
  buffer = io.BytesIO()
  options: dict[str, Any] = {'keep_rgb': True} if holds == 'rgb' else {'subsampling': subsampling}
  Image.fromarray(RGB).save(buffer, 'JPEG', quality=95, **options)
  data = buffer.getvalue()
  parts, position = [data[:2], MARKERS[markers]], 2
  for marker, start, end in jpeg_segments(data):
    segment = bytearray(data[start - 4 : end])
    if marker in (0xC0, 0xDA):  # the names stand in the headers of frame and scan
      first, step = (10, 3) if marker == 0xC0 else (5, 2)
      for index in range(3):
        segment[first + step * index] = b'RGB'[index] if named else index + 1
    parts += [] if marker in (0xE0, 0xEE) else [bytes(segment)]
    position = end
  return b''.join([*parts, data[position:]])


def baseline(frame: bytes, photometric: str) -> bytes:
  dataset = dicom_dataset(RGB, PhotometricInterpretation=photometric)
  dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
  dataset.PixelData = encapsulate([frame])
  dataset['PixelData'].is_undefined_length = True
  dataset['PixelData'].VR = 'OB'
  return dicom_file(dataset)


@pytest.mark.parametrize('photometric', ['RGB', 'YBR_FULL', 'YBR_FULL_422'])
@pytest.mark.parametrize(
  ('holds', 'subsampling', 'markers', 'named'),
  [
    ('rgb', 0, 'none', True),
    ('rgb', 0, 'adobe-rgb', True),
    ('rgb', 0, 'adobe-rgb', False),
    ('rgb', 0, 'none', False),
    ('ybr', 0, 'jfif', False),
    ('ybr', 1, 'jfif', False),
    ('ybr', 2, 'jfif', False),
    ('ybr', 0, 'adobe-ycc', False),
    ('ybr', 2, 'adobe-ycc', False),
    ('ybr', 2, 'none', False),
    ('ybr', 0, 'none', False),
  ],
)
def test_jpeg_frames_and_headers(holds: str, subsampling: int, markers: str, named: bool, photometric: str) -> None:
  """dcmtk goes by the header alone. Where the frame says what it holds and the header is wrong, we go by the frame."""
  frame = jpeg(holds, subsampling, markers, named=named)
  right = 'RGB' if holds == 'rgb' else 'YBR_FULL'
  tells_nothing = (holds, subsampling, markers, named) in (('rgb', 0, 'none', False), ('ybr', 0, 'none', False))
  expected = dcmtk.picture(baseline(frame, photometric if tells_nothing else right))
  assert_same(ours(baseline(frame, photometric)), expected)
