"""Frames against pixels packed by hand, or by formulas of the standard written out again."""

import dataclasses
import zlib
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.transforms import pictures
from transforms.codecs import stored_frame
from transforms.dicom import read_dicom
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.pixel_layout import pixel_layout

COLOURS = pictures.colours(48, 64)


def stored(values: Any, index: int = 0, **elements: Any) -> Any:
  dicom = pictures.parsed(pictures.dicom_dataset(values, **elements))
  return stored_frame(dicom, pixel_layout(dicom, Limits()), index)


def pack_12_bits(values: Any) -> bytes:
  """From the lowest bit of the first byte on (PS3.5 D.1)."""
  bits = (values.ravel().astype(np.int64)[:, None] >> np.arange(12)) & 1
  return np.packbits(bits.astype(np.uint8).ravel(), bitorder='little').tobytes()


@pytest.mark.parametrize('signed', [False, True])
@pytest.mark.parametrize('shape', [(4, 6), (3, 5)])
def test_twelve_bits_allocated(signed: bool, shape: tuple[int, int]) -> None:
  values = pictures.gradient(*shape, bits=12, signed=signed)
  packed = pack_12_bits(values)
  elements: dict[str, Any] = {'BitsAllocated': 12, 'BitsStored': 12, 'PixelData': packed + bytes(len(packed) % 2)}
  assert np.array_equal(stored(values, **elements), values)


# PS3.3 C.7.6.3.1.2, YBR_FULL and YBR_PARTIAL_422, as written there.
FULL = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
PARTIAL = np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])


def ybr(weights: Any, black: int, bits: int = 8) -> Any:
  half = 1 << bits - 1
  scaled = COLOURS.astype(np.float64) * ((1 << bits) - 1) / 255
  kind = np.uint8 if bits == 8 else np.uint16
  return np.clip(np.rint(scaled @ weights.T + [black, half, half]), 0, 2 * half - 1).astype(kind)


def pairs(values: Any) -> bytes:
  """Y1 Y2 Cb Cr of each two pixels, of a picture that is the same in both (PS3.3 C.7.6.3.1.2)."""
  halves = values[:, ::2]
  return np.stack([halves[..., 0], halves[..., 0], halves[..., 1], halves[..., 2]], axis=-1).tobytes()


DOUBLED = np.repeat(COLOURS[:, ::2], 2, axis=1)


@pytest.mark.parametrize(
  ('photometric', 'data', 'planar', 'expected'),
  [
    ('YBR_FULL', ybr(FULL, 0).tobytes(), 0, COLOURS),
    ('YBR_FULL', ybr(FULL, 0).transpose(2, 0, 1).tobytes(), 1, COLOURS),
    ('YBR_FULL_422', pairs(ybr(FULL, 0)), 0, DOUBLED),
    ('YBR_PARTIAL_422', pairs(ybr(PARTIAL, 16)), 0, DOUBLED),
  ],
)
def test_colour_spaces(photometric: str, data: bytes, planar: int, expected: Any) -> None:
  elements: dict[str, Any] = {
    'PhotometricInterpretation': photometric,
    'PixelData': data,
    'PlanarConfiguration': planar,
  }
  assert np.abs(stored(COLOURS, **elements).astype(int) - expected).max() <= 3


UNCOMPRESSED_IN_FRAGMENTS, DEFLATED_FRAMES = '1.2.840.10008.1.2.1.98', '1.2.840.10008.1.2.8.1'


def packed(data: bytes, syntax: str) -> bytes:
  """A frame as the transfer syntax holds it."""
  if syntax != DEFLATED_FRAMES:
    return data
  deflate = zlib.compressobj(wbits=-15)
  return deflate.compress(data) + deflate.flush()


@pytest.mark.parametrize('syntax', ['', UNCOMPRESSED_IN_FRAGMENTS, DEFLATED_FRAMES])
@pytest.mark.parametrize('photometric', ['YBR_FULL_422', 'YBR_PARTIAL_422'])
@pytest.mark.parametrize('columns', [64, 62, 63])
def test_length_tells_whether_pixels_share_their_colours(syntax: str, photometric: str, columns: int) -> None:
  weights, black = (FULL, 0) if photometric == 'YBR_FULL_422' else (PARTIAL, 16)
  whole = np.ascontiguousarray(ybr(weights, black)[:, :columns])
  cases = {whole.tobytes(): COLOURS[:, :columns]}
  if columns % 2 == 0:  # alone, with padding, and with a frame that the header does not know
    cases |= {pairs(whole) + more: DOUBLED[:, :columns] for more in (b'', bytes(2), pairs(whole))}
  for data, expected in cases.items():
    dataset = pictures.dicom_dataset(expected, PhotometricInterpretation=photometric, PixelData=data)
    if syntax:
      dataset.PixelData = encapsulate([packed(data, syntax)], has_bot=False)
      dataset['PixelData'].is_undefined_length = True
      dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dicom = pictures.parsed(dataset)
    found = stored_frame(dicom, pixel_layout(dicom, Limits()), 0)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 3


@pytest.mark.parametrize('syntax', ['', UNCOMPRESSED_IN_FRAGMENTS])
def test_an_odd_width_cannot_share_colours_two_by_two(syntax: str) -> None:
  columns = 63
  data = bytes(48 * columns * 2)
  elements = {'PhotometricInterpretation': 'YBR_FULL_422', 'PixelData': data}
  dataset = pictures.dicom_dataset(COLOURS[:, :columns], **elements)
  if syntax:
    dataset.PixelData = encapsulate([data], has_bot=False)
    dataset['PixelData'].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
  dicom = pictures.parsed(dataset)
  with pytest.raises(InputError, match='header-corrupt'):
    stored_frame(dicom, pixel_layout(dicom, Limits()), 0)


@pytest.mark.parametrize('bits', [10, 12, 16])
def test_colour_differences_of_more_bits_are_about_their_own_middle(bits: int) -> None:
  values = ybr(FULL, 0, bits)
  rgb = stored(values, PhotometricInterpretation='YBR_FULL', BitsStored=bits)
  expected = COLOURS.astype(float) * ((1 << bits) - 1) / 255
  assert np.abs(rgb - expected).max() <= 3 << bits - 8


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('index', [0, 1, 2])
@pytest.mark.parametrize('shape', [(3, 5), (4, 6)])
def test_frames_in_big_endian_words(bits: int, index: int, shape: tuple[int, int]) -> None:
  """Octets lie in words, also where a frame starts in the middle of one (PS3.5 7.3, 8.1.1)."""
  kind = f'u{bits // 8}'
  frames = np.random.default_rng(bits).integers(0, 1 << bits, (3, *shape)).astype(kind)
  data = frames.tobytes()
  words = np.frombuffer(data + bytes(len(data) % 2), '<u2').astype('>u2').tobytes()
  dataset = pictures.dicom_dataset(frames, NumberOfFrames=3, PixelData=words)
  dataset['PixelData'].VR = 'OW'
  del dataset.file_meta
  dicom = pictures.parsed(dataset, little_endian=False)
  assert np.array_equal(stored_frame(dicom, pixel_layout(dicom, Limits()), index), frames[index])


@pytest.mark.parametrize(
  ('values', 'elements'),
  [
    (pictures.gradient(), {}),
    (pictures.gradient(bits=8), {}),
    (COLOURS, {}),
    (COLOURS, {'PlanarConfiguration': 1}),
    (pictures.gradient(5, 5), {'BitsAllocated': 1, 'BitsStored': 1, 'HighBit': 0, 'PixelData': bytes(4)}),
    (pictures.gradient(5, 5), {'BitsAllocated': 12, 'BitsStored': 12, 'HighBit': 11, 'PixelData': bytes(38)}),
  ],
)
def test_a_frame_that_breaks_off_is_no_frame(values: Any, elements: dict[str, Any]) -> None:
  dicom = read_dicom(pictures.dicom_file(pictures.dicom_dataset(values, **elements)), Limits())
  layout = pixel_layout(dicom, Limits())
  stored_frame(dicom, layout, 0)
  cut = dataclasses.replace(layout, end=layout.start + layout.frame_bytes - 1)
  with pytest.raises(InputError, match='decode-failed'):
    stored_frame(dicom, cut, 0)
