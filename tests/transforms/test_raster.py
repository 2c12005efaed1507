import struct
import zlib
from io import BytesIO
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from tests.transforms import pictures
from transforms.elements import Limits, Pixels
from transforms.errors import InputError
from transforms.raster import decode_raster, encode_png, read_jpeg_header, read_raster_header
from transforms.sniff import Kind, sniff

GREY = pictures.gradient(50, 70, 8)
RGB = pictures.colours(50, 70)
RGBA = np.dstack([RGB, GREY])
LUMA = np.rint(RGB @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
PALETTE_INDEX = GREY // 64


def _palette_png() -> bytes:
  image = Image.fromarray(PALETTE_INDEX, 'P')
  image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
  buffer = BytesIO()
  image.save(buffer, 'PNG')
  return buffer.getvalue()


PALETTE = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)[PALETTE_INDEX]


def _decode(data: bytes, channels: Literal[1, 3], limits: Limits | None = None) -> Pixels:
  kind = sniff(data[:1024])
  return decode_raster(data, read_raster_header(data, kind, limits or Limits()), channels)


@pytest.mark.parametrize(
  ('data', 'channels', 'expected', 'tolerance'),
  [
    (pictures.pillow_jpeg(GREY), 1, GREY, 2),
    (pictures.pillow_jpeg(GREY, progressive=True), 1, GREY, 2),
    (pictures.pillow_jpeg(GREY), 3, np.dstack([GREY] * 3), 2),
    (pictures.pillow_jpeg(RGB), 3, RGB, 6),
    (pictures.pillow_jpeg(RGB), 1, LUMA, 3),
    (pictures.png(GREY), 1, GREY, 0),
    (pictures.png(RGB), 3, RGB, 0),
    (pictures.png(RGB), 1, LUMA, 1),
    (pictures.png(RGBA), 3, RGB, 0),
    (pictures.png(RGBA), 1, LUMA, 1),
    (_palette_png(), 3, PALETTE, 0),
    (pictures.png(RGB.astype(np.uint16) * 257), 3, RGB, 0),
  ],
)
def test_pixels_are_those_that_were_encoded(
  data: bytes, channels: Literal[1, 3], expected: Pixels, tolerance: int
) -> None:
  decoded = _decode(data, channels)
  assert decoded.dtype == np.uint8
  assert decoded.shape == expected.shape
  assert np.abs(decoded.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize('bits', [10, 12, 16])
@pytest.mark.parametrize('channels', [1, 3])
def test_16_bit_grey_uses_all_of_8_bits(bits: int, channels: Literal[1, 3]) -> None:
  decoded = _decode(pictures.png(pictures.gradient(50, 70, bits)), channels)
  assert decoded.shape == (50, 70) if channels == 1 else (50, 70, 3)
  assert (decoded.min(), decoded.max()) == (0, 255)
  plane = decoded if channels == 1 else decoded[..., 0]
  assert np.abs(plane.astype(int) - GREY).max() <= 3  # the ends of the stretch


def test_exif_orientation_is_ignored() -> None:
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned by 90 degrees
  decoded = _decode(pictures.pillow_jpeg(GREY, exif=exif), 1)
  assert np.abs(decoded.astype(int) - GREY).max() <= 2


@pytest.mark.parametrize('progressive', [False, True])
def test_a_jpeg_cut_anywhere_is_no_image(progressive: bool) -> None:
  data = pictures.pillow_jpeg(GREY, progressive=progressive)
  for length in [*range(3, len(data) - 2, 37), len(data) - 2]:
    with pytest.raises(InputError) as caught:
      _decode(data[:length], 1)
    assert caught.value.code in ('header-corrupt', 'decode-failed')


def test_a_png_cut_anywhere_is_no_image() -> None:
  data = pictures.png(RGB)
  for length in range(8, len(data) - 16, 41):  # the last 12 bytes are a chunk without content
    with pytest.raises(InputError):
      _decode(data[:length], 1)


def test_bytes_after_the_end_do_no_harm() -> None:
  data = pictures.pillow_jpeg(GREY)
  assert np.array_equal(_decode(data + bytes(100), 1), _decode(data, 1))


def test_an_embedded_thumbnail_does_not_stand_in_for_the_end() -> None:
  exif = Image.Exif()
  exif[0x010E] = pictures.pillow_jpeg(GREY[:8, :8]).decode('latin-1')
  data = pictures.pillow_jpeg(GREY, exif=exif)
  assert data.count(b'\xff\xd9') >= 1
  with pytest.raises(InputError):
    _decode(data[: len(data) * 2 // 3], 1)


def _png_header(columns: int, rows: int, colour_type: int = 0) -> bytes:
  chunk = b'IHDR' + struct.pack('>IIBBBBB', columns, rows, 8, colour_type, 0, 0, 0)
  return b'\x89PNG\r\n\x1a\n\0\0\0\x0d' + chunk + struct.pack('>I', zlib.crc32(chunk))


def _with_rows(jpeg: bytes, rows: int) -> bytes:
  start = read_jpeg_header(jpeg).data_start
  at = jpeg.rindex(b'\xff\xc0', 0, start) + 5
  return jpeg[:at] + rows.to_bytes(2, 'big') + jpeg[at + 2 :]


def _with_marker(jpeg: bytes, marker: int) -> bytes:
  at = jpeg.rindex(b'\xff\xc0', 0, read_jpeg_header(jpeg).data_start)
  return jpeg[: at + 1] + bytes([marker]) + jpeg[at + 2 :]


JPEG = pictures.pillow_jpeg(GREY)


@pytest.mark.parametrize(
  ('data', 'code'),
  [
    (_png_header(20_000, 20_000), 'too-large'),
    (_png_header(0, 5), 'header-corrupt'),
    (_png_header(5, 5, colour_type=9), 'header-corrupt'),
    (_png_header(5, 5)[:20], 'header-corrupt'),
    (_png_header(5, 5), 'decode-failed'),
    (_with_rows(JPEG, 0), 'header-corrupt'),
    (_with_marker(JPEG, 0xC3), 'unsupported-image'),  # lossless
    (_with_marker(JPEG, 0xC9), 'unsupported-image'),  # arithmetic
    (JPEG[:4] + b'\xff\xff', 'header-corrupt'),
    (JPEG[: read_jpeg_header(JPEG).data_start] + b'\xff\xd9', 'decode-failed'),
  ],
)
def test_what_is_refused(data: bytes, code: str) -> None:
  with pytest.raises(InputError) as caught:
    _decode(data, 1)
  assert caught.value.code == code


def test_a_limit_on_pixels_is_kept() -> None:
  assert _decode(JPEG, 1, Limits(max_pixels=GREY.size)).shape == GREY.shape
  with pytest.raises(InputError, match='too-large'):
    _decode(JPEG, 1, Limits(max_pixels=GREY.size - 1))


def test_a_jpeg_of_very_many_scans_is_a_bomb() -> None:
  data = pictures.pillow_jpeg(GREY, progressive=True)
  scan = data[data.index(b'\xff\xda') : data.index(b'\xff\xda') + 10]
  with pytest.raises(InputError, match='bomb'):
    read_raster_header(data[:-2] + 200 * scan + data[-2:], Kind.JPEG, Limits())


@pytest.mark.parametrize('shape', [(16, 8), (16, 8, 3)])
def test_what_is_encoded_as_png_has_the_right_colours(shape: tuple[int, ...]) -> None:
  image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  assert np.array_equal(np.asarray(Image.open(BytesIO(encode_png(image)))), image)
