"""The central directory of a zip (APPNOTE 4.3.12 to 4.3.16): found at the end, read entry by entry.

Not by `zipfile`, for which one bad name or entry spoils them all.
"""

import io
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from transforms.archives.inflaters import ZIP_INFLATERS
from transforms.archives.members import Member
from transforms.archives.readers import LARGEST_OFFSET, read_at
from transforms.errors import InputError

ENTRY_SIGNATURE: Final = b'PK\x01\x02'
END_SIGNATURE: Final = b'PK\x05\x06'
END64_SIGNATURE: Final = b'PK\x06\x06'
_LOCATOR_SIGNATURE: Final = b'PK\x06\x07'

_ENTRY: Final = struct.Struct('<4s4B4HL2L5H2L')
_END: Final = struct.Struct('<4s4H2LH')
_END64: Final = struct.Struct('<4sQ2H2L4Q')
_LOCATOR: Final = struct.Struct('<4sLQL')

_TAIL_BYTES: Final = 1 << 20  # a comment takes 64 KiB at most, but bytes may be appended
_CHUNK_BYTES: Final = 4 << 20
MAX_DIRECTORY_BYTES: Final = 512 << 20  # names are held in memory

_ENCRYPTED: Final = 0x1
_PATCH: Final = 0x20
_UTF8: Final = 0x800
_AES: Final = 99
_UNIX: Final = frozenset({3, 19})  # hosts whose upper attributes are a file mode
_LINKS: Final = frozenset({stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK})
_ZIP64_EXTRA: Final = 0x0001
_UNICODE_PATH_EXTRA: Final = 0x7075
_STORED: Final = 0


@dataclass(frozen=True, slots=True)
class End:
  """Where the directory is.

  Attributes:
    start, stop: of the directory in the file.
    shift: what to add to the offsets that its entries give: bytes that stand
      before the archive.
    entries: how many there should be; counted modulo 65,536 by old writers.
    is_split: the archive has more than one volume.
  """

  start: int
  stop: int
  shift: int
  entries: int
  is_split: bool


@dataclass(frozen=True, slots=True)
class Entry:
  """What a header, central or local, says of a member."""

  raw_name: bytes
  name: str
  flags: int
  method: int
  crc32: int
  packed_bytes: int
  size_bytes: int
  offset: int = 0
  mode: int = 0

  @property
  def is_directory(self) -> bool:
    """A name that ends in a slash and holds nothing; what holds bytes is a member, whatever its name."""
    return self.raw_name.endswith((b'/', b'\\')) and not self.size_bytes

  def member(self, offset: int) -> Member:
    """The reference to what this entry describes, at that offset of the file."""
    return Member(
      self.name, 0, offset, self.packed_bytes, self.size_bytes, self.method, self.crc32, self._problem(offset)
    )

  def _problem(self, offset: int) -> str:
    if not 0 <= offset <= LARGEST_OFFSET:
      return 'read-failed'
    if self.flags & _ENCRYPTED or self.method == _AES:
      return 'archive-encrypted'
    if stat.S_IFMT(self.mode) in _LINKS:
      return 'link'
    if (self.method != _STORED and self.method not in ZIP_INFLATERS) or self.flags & _PATCH:
      return 'archive-method'
    return ''


def find_end(file: BinaryIO) -> End | None:
  """Looks for the end of the central directory, from the end of the file; None where there is none that fits."""
  size = file.seek(0, io.SEEK_END)
  base = max(0, size - _TAIL_BYTES)
  file.seek(base)
  tail = file.read(size - base)
  at = _find_end_record(tail)
  if at is None:
    return None
  _, disk, first_disk, on_disk, entries, length, offset, _ = _END.unpack_from(tail, at)
  is_split = (disk, first_disk) not in ((0, 0), (0xFFFF, 0xFFFF)) or (on_disk != entries and disk != 0xFFFF)
  found64 = _find_end64(file, tail, at, base)
  if found64:
    stop, (_, _, _, _, disk, first_disk, _, entries, length, offset) = found64
    is_split = disk != first_disk or disk != 0
  else:
    stop = base + at
  return _place(file, End(stop - length, stop, stop - length - offset, entries, is_split), offset)


def _find_end_record(tail: bytes) -> int | None:
  """The last record whose comment reaches the end exactly, else the last one."""
  at = last = tail.rfind(END_SIGNATURE, 0, max(0, len(tail) - _END.size + len(END_SIGNATURE)))
  while at >= 0:
    if at + _END.size + int.from_bytes(tail[at + 20 : at + 22], 'little') == len(tail):
      return at
    at = tail.rfind(END_SIGNATURE, 0, at)
  return last if last >= 0 else None


def _find_end64(file: BinaryIO, tail: bytes, at: int, base: int) -> tuple[int, tuple[int, ...]] | None:
  """Place and fields of the record for large archives, if a locator leads to it."""
  start = at - _LOCATOR.size
  if start < 0 or not tail.startswith(_LOCATOR_SIGNATURE, start):
    return None
  _, _, offset, _ = _LOCATOR.unpack_from(tail, start)
  for place in (base + start - _END64.size, offset):
    record = read_at(file, place, _END64.size)
    if len(record) == _END64.size and record.startswith(END64_SIGNATURE):
      return place, _END64.unpack(record)
  return None


def _place(file: BinaryIO, end: End, offset: int) -> End | None:
  """The directory stands right before its end, unless bytes were put in between; empty ones have no place."""
  if end.start == end.stop or read_at(file, end.start, 4) == ENTRY_SIGNATURE:
    return end
  if read_at(file, offset, 4) == ENTRY_SIGNATURE and offset < end.stop:
    return End(offset, end.stop, 0, end.entries, end.is_split)
  return None


def read_entries(file: BinaryIO, start: int, stop: int) -> Iterator[Entry]:
  """The entries that stand between two places of a file, up to the first thing that is none.

  Raises:
    InputError: `bomb` if they would fill the memory.
  """
  if stop - start > MAX_DIRECTORY_BYTES:
    raise InputError('bomb', f'a directory of {stop - start} bytes')
  file.seek(start)
  left, buffer, at = stop - start, b'', 0
  while True:
    entry, length = _parse(buffer, at)
    if entry:
      yield entry
      at += length
    elif left and (len(buffer) - at < _ENTRY.size or length):
      buffer, at = buffer[at:] + file.read(min(left, _CHUNK_BYTES)), 0
      left = max(0, left - _CHUNK_BYTES)
    else:
      return


def _parse(buffer: bytes, at: int) -> tuple[Entry | None, int]:
  """An entry and its length; without entry, a length tells that more bytes are needed, 0 that there is none."""
  if len(buffer) - at < _ENTRY.size:
    return None, 0
  fields = _ENTRY.unpack_from(buffer, at)
  if fields[0] != ENTRY_SIGNATURE:
    return None, 0
  _, _, host, _, _, flags, method, _, _, crc32, packed, size, *lengths, _, _, external, offset = fields
  name_bytes, extra_bytes, comment_bytes = lengths
  length = _ENTRY.size + name_bytes + extra_bytes + comment_bytes
  if len(buffer) - at < length:
    return None, length
  name_at = at + _ENTRY.size
  raw_name = buffer[name_at : name_at + name_bytes]
  extra = buffer[name_at + name_bytes : name_at + name_bytes + extra_bytes]
  if 0xFFFFFFFF in (packed, size, offset):
    size, packed, offset = large_fields(extra, [size, packed, offset])
  mode = external >> 16 if host in _UNIX else 0
  return Entry(raw_name, decode_name(raw_name, flags, extra), flags, method, crc32, packed, size, offset, mode), length


def extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
  """Kind and content of each extra field (APPNOTE 4.5.1)."""
  at = 0
  while at + 4 <= len(extra):
    kind, length = struct.unpack_from('<2H', extra, at)
    yield kind, extra[at + 4 : at + 4 + length]
    at += 4 + length


def large_fields(extra: bytes, values: list[int]) -> list[int]:
  """Replaces each value of 32 ones by the next of 64 bits (APPNOTE 4.5.3); it stays where there is none."""
  large = next((content for kind, content in extra_fields(extra) if kind == _ZIP64_EXTRA), b'')
  for position, value in enumerate(values):
    if value == 0xFFFFFFFF and len(large) >= 8:
      values[position], large = int.from_bytes(large[:8], 'little'), large[8:]
  return values


def has_large_fields(extra: bytes) -> bool:
  """Whether sizes are of 64 bits, also those behind the content."""
  return any(kind == _ZIP64_EXTRA for kind, _ in extra_fields(extra))


def decode_name(raw: bytes, flags: int, extra: bytes = b'') -> str:
  """A name in UTF-8 where it says so or is; else in code page 437 (APPNOTE appendix D)."""
  if raw.isascii():
    return raw.decode('ascii')
  for kind, content in extra_fields(extra):
    if kind == _UNICODE_PATH_EXTRA and content[1:5] == zlib.crc32(raw).to_bytes(4, 'little'):
      return content[5:].decode('utf-8', 'surrogateescape')
  try:
    return raw.decode('utf-8')
  except UnicodeDecodeError:
    return raw.decode('utf-8', 'surrogateescape') if flags & _UTF8 else raw.decode('cp437')
