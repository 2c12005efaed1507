"""Zips written field by field, for what `zipfile` refuses to write."""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import zstandard

STORED, DEFLATED, DEFLATE64, BZIP2, LZMA, ZSTD, XZ, AES = 0, 8, 9, 12, 14, 93, 95, 99
ENCRYPTED, DESCRIPTOR, UTF8 = 0x1, 0x8, 0x800


def deflate(data: bytes) -> bytes:
  packer = zlib.compressobj(6, zlib.DEFLATED, -15)
  return packer.compress(data) + packer.flush()


def zip_lzma(data: bytes, dictionary_bytes: int = 1 << 16) -> bytes:
  filters = [{'id': lzma.FILTER_LZMA1, 'lc': 3, 'lp': 0, 'pb': 2, 'dict_size': 1 << 16}]
  return struct.pack('<2BHBL', 9, 4, 5, 93, dictionary_bytes) + lzma.compress(data, lzma.FORMAT_RAW, filters=filters)


PACKERS: dict[int, Callable[[bytes], bytes]] = {
  STORED: lambda data: data,
  DEFLATED: deflate,
  BZIP2: bz2.compress,
  LZMA: zip_lzma,
  ZSTD: zstandard.ZstdCompressor().compress,
  XZ: lzma.compress,
}


@dataclass(frozen=True)
class Entry:
  """A member; what is not given is as it should be."""

  name: str | bytes
  content: bytes = b''
  method: int = STORED
  flags: int = 0
  packed: bytes | None = None
  crc32: int | None = None
  size: int | None = None
  packed_size: int | None = None
  offset: int | None = None
  mode: int = 0o100644
  host: int = 3
  extra: bytes = b''
  large: bool = False
  sign_descriptor: bool = True
  local_name: str | bytes | None = None
  in_file: bool = True
  comment: bytes = field(default=b'')

  @property
  def packed_content(self) -> bytes:
    return PACKERS.get(self.method, PACKERS[STORED])(self.content) if self.packed is None else self.packed

  @property
  def fields(self) -> tuple[int, int, int]:
    crc32 = zlib.crc32(self.content) if self.crc32 is None else self.crc32
    packed = len(self.packed_content) if self.packed_size is None else self.packed_size
    return crc32, packed, len(self.content) if self.size is None else self.size

  def raw_name(self, name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()

  def local(self) -> bytes:
    crc32, packed, size = self.fields
    late = self.flags & DESCRIPTOR
    name = self.raw_name(self.name if self.local_name is None else self.local_name)
    extra = (
      struct.pack('<2H2Q', 1, 16, 0 if late else size, 0 if late else packed) if self.large else b''
    ) + self.extra
    values = (0, *((0xFFFFFFFF,) * 2 if self.large else (0, 0))) if late else (crc32, packed, size)
    if self.large and not late:
      values = (crc32, 0xFFFFFFFF, 0xFFFFFFFF)
    head = struct.pack('<4s5H3L2H', b'PK\3\4', 20, self.flags, self.method, 0, 33, *values, len(name), len(extra))
    after = struct.pack('<L2Q' if self.large else '<3L', crc32, packed, size) if late else b''
    return head + name + extra + self.packed_content + (b'PK\7\x08' if late and self.sign_descriptor else b'') + after

  def central(self, offset: int) -> bytes:
    crc32, packed, size = self.fields
    name = self.raw_name(self.name)
    extra = (struct.pack('<2H3Q', 1, 24, size, packed, offset) if self.large else b'') + self.extra
    sizes = (0xFFFFFFFF, 0xFFFFFFFF) if self.large else (packed, size)
    head = struct.pack('<4s2B5H3L', b'PK\1\2', 20, self.host, 20, self.flags, self.method, 0, 33, crc32, *sizes)
    lengths = struct.pack('<5H', len(name), len(extra), len(self.comment), 0, 0)
    place = 0xFFFFFFFF if self.large else offset
    return head + lengths + struct.pack('<2L', self.mode << 16, place) + name + extra + self.comment


def raw_zip(
  entries: Iterable[Entry],
  *,
  prefix: bytes = b'',
  count_prefix: bool = False,
  comment: bytes = b'',
  large: bool = False,
  disk: int = 0,
  count: int | None = None,
) -> bytes:
  """A zip; with `count_prefix` its offsets count from the beginning of what stands before it."""
  written, entries = bytearray(prefix), list(entries)
  places = bytearray()
  for entry in entries:
    at = len(written) - (0 if count_prefix else len(prefix)) if entry.offset is None else entry.offset
    written += entry.local() if entry.in_file else b''
    places += entry.central(at)
  body, central = bytes(written), bytes(places)
  start = len(body) - (0 if count_prefix else len(prefix))
  count = len(entries) if count is None else count
  return body + central + zip_end(len(central), start, count, large, disk, len(body) + len(central), comment)


def zip_end(
  length: int,
  start: int,
  count: int,
  large: bool = False,
  disk: int = 0,
  place: int | None = None,
  comment: bytes = b'',
) -> bytes:
  """What stands behind the directory; `place` is where it stands in the file."""
  end, place = b'PK\5\6', start + length if place is None else place
  if not large:
    return struct.pack('<4s4H2LH', end, disk, disk, *[count & 0xFFFF] * 2, length, start, len(comment)) + comment
  record = struct.pack('<4sQ2H2L4Q', b'PK\6\6', 44, 45, 45, 0, 0, count, count, length, start)
  locator = struct.pack('<4sLQL', b'PK\6\7', 0, place, 1)
  return record + locator + struct.pack('<4s4H2LH', end, 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, len(comment)) + comment
