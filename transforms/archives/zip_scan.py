"""What can still be found in a zip whose directory is gone: its local headers (APPNOTE 4.3.7), one after the other."""

import io
import itertools
import struct
import zlib
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from transforms.archives.allowance import Allowance
from transforms.archives.inflaters import ZIP_INFLATERS, inflate
from transforms.archives.members import RATIO_APPLIES_FROM_BYTES, Member
from transforms.archives.readers import read_at
from transforms.archives.zip_content import LOCAL, LOCAL_SIGNATURE, zip_pieces
from transforms.archives.zip_directory import (
  END64_SIGNATURE,
  END_SIGNATURE,
  ENTRY_SIGNATURE,
  Entry,
  decode_name,
  has_large_fields,
  large_fields,
  read_entries,
)
from transforms.errors import InputError

_BOUNDARIES: Final = (LOCAL_SIGNATURE, ENTRY_SIGNATURE, END_SIGNATURE, END64_SIGNATURE)
_DESCRIPTOR_SIGNATURE: Final = b'PK\x07\x08'
_HAS_DESCRIPTOR: Final = 0x8
_ENCRYPTED: Final = 0x1
_METHODS: Final = frozenset({*range(21), *range(93, 100)})  # APPNOTE 4.4.5
_HIGHEST_VERSION: Final = 63  # APPNOTE 4.4.3.2
_CHUNK_BYTES: Final = 1 << 20
_STORED: Final = 0
# Headers that lie can have the same bytes looked at again and again: that must end.
_LEAST_WORK_BYTES: Final = 64 << 20
_WORK_PER_BYTE: Final = 8


@dataclass(frozen=True, slots=True)
class _Found:
  """A local header: what it says, and where its content starts.

  Attributes:
    is_large: sizes behind the content are of 64 bits.
    is_checked: the content was read, and fits.
  """

  entry: Entry
  content_at: int
  is_large: bool
  is_checked: bool = False
  problem: str = ''

  @property
  def stop(self) -> int:
    return self.content_at + self.entry.packed_bytes


class _Scan:
  """One pass over the file.

  Attributes:
    directory_at: where the scan met the central directory, or the end of the file.
  """

  def __init__(self, file: BinaryIO, allowance: Allowance) -> None:
    self._file = file
    self._allowance = allowance
    self._size = file.seek(0, io.SEEK_END)
    self._work_left = _LEAST_WORK_BYTES + _WORK_PER_BYTE * self._size
    self.directory_at = self._size

  def found(self) -> Iterator[_Found]:
    at = self._search(0)
    while at < self._size:
      if self._read(at, 4) in (ENTRY_SIGNATURE, END_SIGNATURE, END64_SIGNATURE):
        self.directory_at = at
        return
      header = self._header(at)
      if header is None:
        at = self._search(at + 1)
        continue
      measured = self._measure(header)
      yield measured
      at = self._next(measured)

  def _next(self, found: _Found) -> int:
    """Where to go on: behind the content, if that is whole or something of a zip stands there."""
    if found.problem:
      return self._search(found.content_at)
    stop = self._behind_descriptor(found) if found.entry.flags & _HAS_DESCRIPTOR else found.stop
    if stop == self._size or self._read(stop, 4) in _BOUNDARIES:
      return stop
    if self._is_whole(found):
      return self._search(found.stop)
    # A zip inside this one is damaged where its container is: its members are found by those who open it.
    is_zip = found.entry.method == _STORED and self._read(found.content_at, 4) == LOCAL_SIGNATURE
    return self._search(found.stop if is_zip else found.content_at)

  def _is_whole(self, found: _Found) -> bool:
    if found.is_checked:
      return True
    try:
      for piece in zip_pieces(self._file, found.entry.member(found.entry.offset)):
        self._work(len(piece))
    except InputError:
      return False
    return found.entry.method in (_STORED, *ZIP_INFLATERS) and not found.entry.flags & _ENCRYPTED

  def _work(self, size: int) -> None:
    self._work_left -= size
    if self._work_left < 0:
      raise InputError('read-failed', 'the headers contradict each other')

  def _read(self, at: int, size: int) -> bytes:
    return read_at(self._file, at, size)

  def _search(self, at: int) -> int:
    """The next signature of a local header or directory; the end of the file where there is none."""
    while at < self._size and self._work_left > 0:
      chunk = self._read(at, _CHUNK_BYTES)
      places = [chunk.find(signature) for signature in (LOCAL_SIGNATURE, ENTRY_SIGNATURE)]
      found = min((place for place in places if place >= 0), default=-1)
      if found >= 0:
        self._work_left -= found
        return at + found
      self._work_left -= len(chunk)
      at += max(1, len(chunk) - 3)
    return self._size

  def _header(self, at: int) -> _Found | None:
    fields = self._read(at, LOCAL.size)
    if len(fields) < LOCAL.size:
      return None
    _, version, _, flags, method, _, _, crc32, packed, size, name_bytes, extra_bytes = LOCAL.unpack(fields)
    rest = self._file.read(name_bytes + extra_bytes)
    if method not in _METHODS or version > _HIGHEST_VERSION or len(rest) < name_bytes + extra_bytes:
      return None
    raw_name, extra = rest[:name_bytes], rest[name_bytes:]
    size, packed = large_fields(extra, [size, packed])
    entry = Entry(raw_name, decode_name(raw_name, flags, extra), flags, method, crc32, packed, size, at)
    return _Found(entry, at + LOCAL.size + len(rest), has_large_fields(extra))

  def _measure(self, found: _Found) -> _Found:
    """The header with its sizes, if need be by looking for the end of the content."""
    entry = found.entry
    if not entry.flags & _HAS_DESCRIPTOR or entry.packed_bytes or entry.is_directory:
      return found
    try:
      if entry.method not in ZIP_INFLATERS or entry.flags & _ENCRYPTED:
        return self._find_descriptor(found)
      return self._inflate(found)
    except InputError as error:
      return replace(found, problem=error.code)

  def _inflate(self, found: _Found) -> _Found:
    inflater = ZIP_INFLATERS[found.entry.method]()
    self._file.seek(found.content_at)
    packed = size = crc32 = 0
    while not inflater.eof:
      data = self._file.read(_CHUNK_BYTES) if inflater.needs_input else b''
      if inflater.needs_input and not data:
        raise InputError('read-failed', 'the file ends within the member')
      packed += len(data)
      self._work(len(data))
      inflated = inflate(inflater, data)
      size, crc32 = size + len(inflated), zlib.crc32(inflated, crc32)
      self._allowance.take(len(inflated))
      if size > RATIO_APPLIES_FROM_BYTES and size > self._allowance.ratio * packed:
        raise InputError('bomb', 'inflates too much')
    packed -= len(inflater.unused_data)
    entry = replace(found.entry, crc32=crc32, packed_bytes=packed, size_bytes=size)
    return replace(found, entry=entry, is_checked=True)

  def _find_descriptor(self, found: _Found) -> _Found:
    """Looks for the sizes behind content that does not tell where it ends."""
    layout = struct.Struct('<4sL2Q' if found.is_large else '<4s3L')
    at = found.content_at
    while at < self._size:
      chunk = self._read(at, _CHUNK_BYTES)
      place = chunk.find(_DESCRIPTOR_SIGNATURE)
      self._work(len(chunk) if place < 0 else place)
      if place < 0:
        at += max(1, len(chunk) - 3)
        continue
      at += place
      record = self._read(at, layout.size)
      if len(record) == layout.size:
        _, crc32, packed, size = layout.unpack(record)
        if packed == at - found.content_at:
          return replace(found, entry=replace(found.entry, crc32=crc32, packed_bytes=packed, size_bytes=size))
      at += 1
    raise InputError('read-failed', 'the file ends within the member')

  def _behind_descriptor(self, found: _Found) -> int:
    """Behind the sizes that follow the content, with or without signature, of 32 or 64 bits."""
    record = self._read(found.stop, 28)
    for length in (16, 24, 12, 20):
      if record[length : length + 4] in _BOUNDARIES or found.stop + length == self._size:
        return found.stop + length
    return found.stop


def scan(file: BinaryIO, allowance: Allowance, most: int) -> list[Member]:
  """Lists all members that have a local header, or an entry in what is left of the directory.

  Args:
    file: the archive.
    allowance: content without declared size has to be inflated to find its end.
    most: to stop after so many.
  """
  scan = _Scan(file, allowance)
  found = list(itertools.islice((one for one in scan.found() if not one.entry.is_directory), most))
  entries: defaultdict[bytes, deque[Entry]] = defaultdict(deque)
  central = read_entries(file, scan.directory_at, file.seek(0, io.SEEK_END))
  for entry in itertools.islice((entry for entry in central if not entry.is_directory), most):
    entries[entry.raw_name].append(entry)
  members = [_merge(one, entries[one.entry.raw_name]) for one in found]
  lost = [entry for left in entries.values() for entry in left]
  return members + [replace(entry.member(entry.offset), problem='read-failed') for entry in lost]


def _merge(found: _Found, entries: deque[Entry]) -> Member:
  """The header knows where the member is; the directory knows whether it is a link, and sizes that are lost."""
  local = found.entry
  if not entries:
    member = local.member(local.offset)
    return replace(member, problem=member.problem or found.problem)
  central = entries.popleft()
  if found.problem:
    return central.member(local.offset)
  return replace(local, mode=central.mode).member(local.offset)
