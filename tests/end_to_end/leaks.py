"""Looks for planted texts in whatever a run leaves behind: every byte, packed or not, in every form that text takes."""

import base64
import binascii
import bz2
import gzip
import io
import lzma
import pathlib
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

_LONGEST_SHOWN = 120
_UNPACK_DEPTH = 4
_DAMAGE = (zipfile.BadZipFile, lzma.LZMAError, zlib.error, zstandard.ZstdError, pa.ArrowException)
_BASE64 = re.compile(rb'[A-Za-z0-9+/]{64,}={0,2}')


def forms(text: str) -> set[bytes]:
  """A text as programs write it: encodings, cases, escapes, and what armours bytes."""
  plain = {
    written.encode(encoding)
    for written in (text, text.upper(), text.lower())
    for encoding in ('utf-8', 'utf-16-le', 'utf-16-be', 'latin-1')
  }
  escaped = {
    ascii(text)[1:-1].encode(),
    repr(text.encode())[2:-1].encode(),
    repr(text.encode('latin-1'))[2:-1].encode(),
  }
  hexadecimal = {binascii.hexlify(form) for form in plain}
  return {*plain, *escaped, *hexadecimal, *(form.upper() for form in hexadecimal), *_base64_forms(plain)}


def _base64_forms(plain: Iterable[bytes]) -> Iterator[bytes]:
  """What base64 makes of a text wherever it stands in the stream: without the characters that its neighbours share."""
  for form in plain:
    for shift in range(3):
      whole = base64.b64encode(bytes(shift) + form)
      first, last = -(-8 * shift // 6), 8 * (shift + len(form)) // 6
      yield whole[first:last]


def _try_inflate(data: bytes) -> bytes:
  try:
    return zlib.decompressobj().decompress(data)
  except zlib.error:
    return b''


_INFLATERS = {
  b'\x1f\x8b': gzip.decompress,
  b'BZh': bz2.decompress,
  b'\xfd7zXZ': lzma.decompress,
  b'\x28\xb5\x2f\xfd': lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
  b'x': _try_inflate,
}


class Search:
  """Finds any of some texts."""

  def __init__(self, texts: Iterable[str], secrets: Iterable[bytes] = ()) -> None:
    found = {form for text in texts for form in forms(text)}
    for secret in secrets:
      found |= {secret, binascii.hexlify(secret), *_base64_forms([secret])}
    assert min(map(len, found)) >= 6, 'so short a text is found by chance'
    self._pattern = re.compile(b'|'.join(re.escape(form) for form in sorted(found, key=len, reverse=True)))

  def below(self, root: pathlib.Path) -> list[str]:
    """Hits in the names and contents of all files below a folder: where, and what stands around it."""
    hits = [f'name of {path.relative_to(root)}' for path in root.rglob('*') if self._pattern.search(_name(path))]
    for path in sorted(root.rglob('*')):
      if path.is_file() and not path.is_symlink():
        hits += [f'{path.relative_to(root)}{hit}' for hit in self.within(path.read_bytes())]
    return hits

  def within(self, data: bytes) -> list[str]:
    """Hits in some bytes, and in what is packed in them."""
    return [
      f'{where}: {part[max(0, hit.start() - 40) :][:_LONGEST_SHOWN]!r}'
      for where, part in unpacked(data)
      for hit in self._pattern.finditer(part)
    ]


def _name(path: pathlib.Path) -> bytes:
  return path.name.encode('utf-8', 'surrogateescape')


def unpacked(data: bytes, where: str = '', depth: int = 0) -> Iterator[tuple[str, bytes]]:
  """Bytes as they are, and every layer inside them."""
  yield where, data
  if depth < _UNPACK_DEPTH:
    for name, layer in _layers(data):
      yield from unpacked(layer, f'{where}!{name}', depth + 1)


def _layers(data: bytes) -> Iterator[tuple[str, bytes]]:
  try:
    yield from _layers_of_whole(data)
  except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, tarfile.TarError, *_DAMAGE):
    return  # damaged or encrypted on purpose


def _layers_of_whole(data: bytes) -> Iterator[tuple[str, bytes]]:
  if data.startswith(b'PAR1'):
    yield 'table', _table(data)
  elif data.startswith(b'PK\x03\x04'):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
      yield from ((f'member {number}', archive.read(info)) for number, info in enumerate(archive.infolist()))
  elif data.startswith(b'\x89PNG'):
    yield from _png_texts(data)
  elif data[257:262] == b'ustar':
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
      yield from (('member', file.read()) for info in archive if info.isreg() and (file := archive.extractfile(info)))
  else:
    yield from (('inflated', inflate(data)) for start, inflate in _INFLATERS.items() if data.startswith(start))


def _table(data: bytes) -> bytes:
  table = pq.read_table(io.BytesIO(data))
  return f'{table.schema.metadata} {table.to_pylist()}'.encode()


def _png_texts(data: bytes) -> Iterator[tuple[str, bytes]]:
  """What is deflated in the chunks zTXt, iTXt and iCCP (ISO 15948, 11.3)."""
  at = 8
  while at + 8 <= len(data):
    length, kind = int.from_bytes(data[at : at + 4], 'big'), data[at + 4 : at + 8]
    if kind in (b'zTXt', b'iTXt', b'iCCP'):
      content = data[at + 8 : at + 8 + length]
      for start in (place for place in range(len(content)) if content[place] == 0x78):  # where zlib may begin
        yield kind.decode(), _try_inflate(content[start:])
    at += 12 + length


def armoured(data: bytes) -> bytes:
  """What stands in base64 within some bytes, inflated where it can be: Beam ships its functions so."""
  decoded = (base64.b64decode(run[: len(run) // 4 * 4]) for run in _BASE64.findall(data))
  return b'\n'.join(layer for part in decoded for _, layer in unpacked(part))
