"""JPEG and PNG files that name patients in every segment and chunk that takes text."""

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.end_to_end.planted_texts import NAME, Member, ascii_name, name
from tests.transforms.pictures import Values, gradient


def good_jpeg(number: int, picture: Values) -> Member:
  """With EXIF, XMP, a comment and application data."""
  exif = Image.Exif()
  exif[0x010E], exif[0x013B] = ascii_name('exif-description'), ascii_name('exif-artist')
  exif[0x9C9B] = f'{NAME}-exif-utf16'.encode('utf-16-le')
  buffer = io.BytesIO()
  xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc>{name("xmp")}</dc></x:xmpmeta>'.encode()
  Image.fromarray(picture).save(buffer, 'JPEG', quality=95, comment=name('jpeg-comment'), exif=exif, xmp=xmp)
  return 'jpeg', buffer.getvalue()


def good_png(number: int, picture: Values) -> Member:
  """With text in every chunk that takes text."""
  return 'png', with_chunks(picture, text_chunks())


def text_chunks() -> list[tuple[bytes, bytes]]:
  """tEXt, zTXt, iTXt, eXIf, iCCP and a private chunk (ISO 15948, 11.3.4; W3C PNG 3)."""
  return [
    (b'tEXt', b'Author\0' + name('png-text').encode('latin-1')),
    (b'zTXt', b'Comment\0\0' + zlib.compress(name('png-ztext').encode('latin-1'))),
    (b'iTXt', f'{NAME}-png-keyword\0\1\0en\0\0'.encode() + zlib.compress(name('png-itext').encode())),
    (b'eXIf', b'II*\0\x08\0\0\0\0\0' + ascii_name('png-exif').encode()),
    (b'iCCP', f'{NAME}-png-profile\0\0'.encode() + zlib.compress(name('png-icc').encode())),  # libpng quotes the name
    (b'prVt', name('png-private').encode()),
  ]


def with_chunks(picture: Values, chunks: list[tuple[bytes, bytes]]) -> bytes:
  """A PNG with chunks after its header."""
  buffer = io.BytesIO()
  Image.fromarray(picture).save(buffer, 'PNG')
  data, made = buffer.getvalue(), b''
  for kind, content in chunks:
    made += struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))
  return data[:33] + made + data[33:]


def broken_pictures() -> Iterator[Member]:
  """Files whose broken part is where the text stands."""
  picture = gradient(bits=8)
  jpeg = good_jpeg(0, picture)[1]
  yield f'{NAME}-cut.jpeg', jpeg[: len(jpeg) * 2 // 3]
  yield f'{NAME}-only-exif.jpeg', jpeg[:300]
  text = name('scan').encode('latin-1')
  yield f'{NAME}-scan.jpeg', jpeg[:-600] + text + jpeg[len(text) - 600 :]
  whole = with_chunks(picture, text_chunks())
  for kind in (b'tEXt', b'zTXt', b'iCCP', b'IDAT', b'IHDR'):
    at = whole.index(kind)
    yield f'{NAME}-{kind.decode()}.png', whole[: at + 6] + b'\xff' + whole[at + 7 :]
  yield (
    f'{NAME}-profile.png',
    with_chunks(picture, [(b'iCCP', f'{NAME}-bad-profile\0\0'.encode() + zlib.compress(profile()))]),
  )
  yield f'{NAME}-cut.png', whole[: len(whole) * 2 // 3]
  yield f'{NAME}-text.txt', name('letter').encode()
  yield f'{NAME}-noise', b'\x01\x02\x03' + name('noise').encode('utf-16-le')


def profile() -> bytes:
  """An ICC profile whose header lies: libpng says so, and names it."""
  body = bytearray(b'\0' * 132 + name('profile').encode().ljust(400, b'\0'))
  body[:4] = struct.pack('>I', len(body))
  body[36:40] = b'acsp'
  return bytes(body)
