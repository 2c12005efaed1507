import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import ImageCms

from tests.transforms.pictures import colours, gradient, png
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.png_chunks import without_ancillary_chunks
from transforms.raster import decode_raster, read_raster_header
from transforms.sniff import Kind

_NAME = b'Doe-Planted'


def chunk(kind: bytes, content: bytes) -> bytes:
  return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
  return data[:33] + b''.join(chunks) + data[33:]


def kinds(data: bytes) -> Iterator[bytes]:
  position = 8
  while position < len(data):
    yield data[position + 4 : position + 8]
    position += 12 + int.from_bytes(data[position : position + 4], 'big')


def colour_profile() -> bytes:
  """Of colour, which libpng refuses for a grey picture, and says so by its name."""
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  return chunk(b'iCCP', _NAME + b'\0\0' + zlib.compress(profile))


def test_what_only_speaks_about_the_picture_is_dropped() -> None:
  plain = png(gradient(bits=8))
  data = with_chunks(plain, colour_profile(), chunk(b'tEXt', b'Author\0' + _NAME), chunk(b'prVt', _NAME))
  assert without_ancillary_chunks(data) == plain


def test_a_plain_picture_is_not_copied() -> None:
  plain = png(gradient(bits=8))
  assert without_ancillary_chunks(plain) is plain


def test_transparency_stays() -> None:
  data = with_chunks(png(gradient(bits=8)), chunk(b'tRNS', b'\0\7'), chunk(b'gAMA', struct.pack('>I', 45455)))
  assert [*kinds(without_ancillary_chunks(data))][:2] == [b'IHDR', b'tRNS']


@pytest.mark.parametrize('kept', [0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_breaks_off_is_refused(kept: float) -> None:
  data = with_chunks(png(gradient(bits=8)), chunk(b'tEXt', b'Author\0' + 200 * b'x'))
  with pytest.raises(InputError) as caught:
    without_ancillary_chunks(data[: 8 + int(kept * (len(data) - 8))])
  assert caught.value.code == 'decode-failed'


@pytest.mark.parametrize('kind', [b'PLTE', b'IDAT', b'tEXt'])
def test_a_chunk_that_declares_more_than_there_is_takes_no_memory(kind: bytes) -> None:
  plain = png(gradient(bits=8))
  data = plain[:33] + b'\xd4\0\0\0' + kind + plain[33:]
  done = subprocess.run([sys.executable, '-c', _PEAK], input=data, capture_output=True, check=True)
  assert int(done.stdout) < 200 << 10  # KiB


def test_what_follows_the_end_is_dropped() -> None:
  plain = png(gradient(bits=8))
  assert without_ancillary_chunks(plain + b'\xff\xff\xff\xffIDAT') == plain


@pytest.mark.parametrize(
  'extra', [chunk(b'gAMA', struct.pack('>I', 45455)), chunk(b'sRGB', b'\0')], ids=['gAMA', 'sRGB']
)
def test_grey_of_a_colour_picture_does_not_depend_on_what_is_said_of_its_gamma(extra: bytes) -> None:
  plain = png(colours())
  header = read_raster_header(plain, Kind.PNG, Limits())
  np.testing.assert_array_equal(decode_raster(with_chunks(plain, extra), header, 1), decode_raster(plain, header, 1))


_PEAK = """
import pathlib, re, sys
from transforms.decode import DecodeOptions, decode_source
def peak():
  return int(re.search('VmHWM:[^0-9]*([0-9]+)', pathlib.Path('/proc/self/status').read_text())[1])
before = peak()
[frame] = decode_source(sys.stdin.buffer.read(), DecodeOptions())
assert frame.error.code == 'decode-failed'
print(peak() - before)
"""
_DECODE = """
import sys
from transforms.decode import DecodeOptions, decode_source
[frame] = decode_source(sys.stdin.buffer.read(), DecodeOptions())
assert frame.error is None
"""


def test_nothing_is_said_of_a_picture_on_stderr() -> None:
  data = with_chunks(png(gradient(bits=8)), colour_profile())
  done = subprocess.run([sys.executable, '-c', _DECODE], input=data, capture_output=True, check=True)
  assert (done.stdout, done.stderr) == (b'', b'')
