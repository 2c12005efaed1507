"""Archives read in place: listed without reading their members, members read by reference.

Zip and tar are listed once (central directory; one scan of the headers) and
read by ranges, so that many workers share one archive. A compressed tar is a
stream: read once, in order. Nothing is ever extracted to a path, and the names
of members are data, never file names.
"""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO, BinaryIO, Final, Self, cast

from transforms.elements import Limits
from transforms.errors import InputError
from transforms.sniff import HEAD_BYTES, Kind, sniff

RANGED: Final = frozenset({Kind.ZIP, Kind.TAR})
STREAMED: Final = frozenset({Kind.GZIP, Kind.BZIP2, Kind.XZ})

NESTED: Final = '!/'  # stands between the name of an inner archive and those of its members
AS_IS: Final = -1  # the method of members that are not compressed one by one
_RATIO_APPLIES_FROM_BYTES: Final = 16 << 20
_LOST_AT_A_BREAK_BYTES: Final = 1 << 16  # what was inflated but not yet handed out
_ENCRYPTED: Final = 0x1
_LOCAL_HEADER: Final = struct.Struct('<4s5H3L2H')  # APPNOTE 4.3.7


@dataclass(frozen=True, slots=True, order=True)
class Member:
  """Where one member of an archive is, and how to read it.

  Attributes:
    name: as listed, made `printable`.
    occurrence: from 0, over members of the same name.
    offset: of the local header (zip) or of the content (tar), in bytes.
    packed_bytes: length of the content in the archive.
    size_bytes: length of the content once inflated, as declared.
    method: of compression: zip's number, or `AS_IS`.
    crc32: of the inflated content; None where the archive has none.
    problem: reason code if listing already tells that it cannot be read.
  """

  name: str
  occurrence: int
  offset: int
  packed_bytes: int
  size_bytes: int
  method: int = AS_IS
  crc32: int | None = None
  problem: str = ''


def is_archive(kind: Kind) -> bool:
  """Whether a source of this kind is replaced by its members."""
  return kind in RANGED or kind in STREAMED


def printable(name: str) -> str:
  r"""A name whose undecodable bytes, which Python keeps as lone surrogates, are written as `\xNN`."""
  return name.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')


def list_members(file: BinaryIO, kind: Kind, limits: Limits) -> list[Member]:
  """Lists the members of a zip or an uncompressed tar; directories are none.

  Raises:
    InputError: `archive-corrupt`, or `bomb` for more than `max_members`.
  """
  listed = _list_zip(file) if kind == Kind.ZIP else _list_tar(file)
  return list(_at_most(_number(listed), limits.max_members))


def read_member(file: BinaryIO, member: Member, limits: Limits) -> bytes:
  """Reads one listed member of a zip or tar, checked against what was declared.

  Raises:
    InputError: the member's `problem`, `bomb`, `too-large`, `read-failed` or
      `archive-method`.
  """
  if member.problem:
    raise InputError(member.problem)
  _check_size(member, limits)
  file.seek(member.offset)
  if member.method != AS_IS:
    _skip_local_header(file)
  packed = file.read(member.packed_bytes)
  if len(packed) != member.packed_bytes:
    raise InputError('read-failed', f'{len(packed)} of {member.packed_bytes} bytes are there')
  data = packed if member.method in (AS_IS, zipfile.ZIP_STORED) else _inflate(packed, member)
  _check_content(data, member)
  return data


def stream_members(file: BinaryIO, kind: Kind, limits: Limits) -> Iterator[tuple[Member, bytes | InputError]]:
  """Reads a compressed tar from end to end; a compressed file alone is one member without a name.

  Yields:
    Every member in order, with its content or why there is none.

  Raises:
    InputError: `archive-corrupt` where the stream breaks off or is damaged,
      after the members that could be read; `bomb`.
  """
  try:
    with _INFLATERS[kind](file) as inflated:
      buffered = io.BufferedReader(inflated, _LOST_AT_A_BREAK_BYTES)  # type: ignore[type-var]
      if sniff(buffered.peek(HEAD_BYTES)[:HEAD_BYTES]) == Kind.TAR:
        yield from _stream_tar(buffered, limits)
        while buffered.read(1 << 20):  # what is left is padding, but the checksum of the stream stands behind it
          pass
      else:
        yield Member('', 0, 0, 0, 0), _bounded_read(buffered, limits.max_member_bytes)
  except _DAMAGE as error:
    raise InputError('archive-corrupt', f'the {kind.value} stream breaks off or is damaged') from error


# What zlib, bz2, lzma and tarfile raise on damaged input; anything else is a bug of ours.
_DAMAGE: Final = (zlib.error, lzma.LZMAError, EOFError, OSError, tarfile.TarError, ValueError, struct.error)


class _TarHeader(tarfile.TarInfo):
  """Damaged headers are errors: tarfile takes all but the first for the end, and loses what follows in silence."""

  @classmethod
  def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
    try:
      return super().fromtarfile(archive)
    except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
      raise tarfile.ReadError(str(error)) from error


def _open_gzip(file: BinaryIO) -> IO[bytes]:
  return cast(IO[bytes], gzip.GzipFile(fileobj=file, mode='rb'))


_INFLATERS: Final[dict[Kind, Callable[[BinaryIO], IO[bytes]]]] = {
  Kind.GZIP: _open_gzip,
  Kind.BZIP2: lambda file: bz2.BZ2File(file, 'rb'),  # the caller closes it
  Kind.XZ: lambda file: lzma.LZMAFile(file, 'rb'),  # noqa: SIM115 - the caller closes it
}


def _list_zip(file: BinaryIO) -> Iterator[Member]:
  try:
    with zipfile.ZipFile(file) as archive:
      infos = archive.infolist()
  except (
    zipfile.BadZipFile,
    NotImplementedError,
    UnicodeDecodeError,
    struct.error,
    ValueError,
    OverflowError,
  ) as error:
    raise InputError('archive-corrupt', 'the central directory cannot be read') from error
  return (_zip_member(info) for info in infos if not info.is_dir())


def _zip_member(info: zipfile.ZipInfo) -> Member:
  problem = ''
  if info.header_offset < 0:  # bytes are missing before the central directory
    problem = 'read-failed'
  elif info.flag_bits & _ENCRYPTED:
    problem = 'archive-encrypted'
  elif stat.S_ISLNK(info.external_attr >> 16):
    problem = 'link'
  elif info.compress_type not in _ZIP_METHODS:
    problem = 'archive-method'
  return Member(
    info.filename, 0, info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC, problem
  )


def _list_tar(file: BinaryIO) -> Iterator[Member]:
  try:
    with tarfile.open(fileobj=file, mode='r:', tarinfo=_TarHeader) as archive:
      infos = archive.getmembers()
  except _DAMAGE as error:
    raise InputError('archive-corrupt', 'the headers of the tar cannot be read') from error
  return (_tar_member(info) for info in infos if not info.isdir())


def _tar_member(info: tarfile.TarInfo) -> Member:
  problem = 'link' if not info.isreg() else 'archive-method' if info.issparse() else ''
  return Member(info.name, 0, info.offset_data, info.size, info.size, problem=problem)


def _stream_tar(file: IO[bytes], limits: Limits) -> Iterator[tuple[Member, bytes | InputError]]:
  with tarfile.open(fileobj=file, mode='r|', tarinfo=_TarHeader) as archive:
    infos: dict[int, tarfile.TarInfo] = {}
    listed = _number(_remember(archive, infos))
    for member in _at_most(listed, limits.max_members):
      yield member, _stream_content(archive, infos.pop(0), member, limits)
      archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header: memory must not grow


def _remember(archive: tarfile.TarFile, infos: dict[int, tarfile.TarInfo]) -> Iterator[Member]:
  for info in archive:
    if not info.isdir():
      infos[0] = info
      yield _tar_member(info)


def _stream_content(
  archive: tarfile.TarFile, info: tarfile.TarInfo, member: Member, limits: Limits
) -> bytes | InputError:
  try:
    if member.problem:
      raise InputError(member.problem)
    _check_size(member, limits)
  except InputError as error:
    return error
  content = archive.extractfile(info)
  data = content.read() if content else b''
  if len(data) != info.size:
    raise EOFError
  return data


def _number(members: Iterable[Member]) -> Iterator[Member]:
  """Makes names printable, then counts equal ones."""
  seen: Counter[str] = Counter()
  for member in members:
    name = printable(member.name).replace(NESTED, r'!\/')  # or it could be called like a member of an inner archive
    yield replace(member, name=name, occurrence=seen[name])
    seen[name] += 1


def _at_most(members: Iterator[Member], limit: int) -> Iterator[Member]:
  for count, member in enumerate(members, 1):
    if count > limit:
      raise InputError('bomb', f'more than {limit} members')
    yield member


def _check_size(member: Member, limits: Limits) -> None:
  size = max(member.size_bytes, member.packed_bytes)
  if size > limits.max_member_bytes:
    raise InputError('too-large', f'{size} bytes, at most {limits.max_member_bytes} are read')
  inflation = member.size_bytes / max(1, member.packed_bytes)
  if member.size_bytes > _RATIO_APPLIES_FROM_BYTES and inflation > limits.max_inflation_ratio:
    raise InputError('bomb', f'inflates {inflation:.0f} times')


def _skip_local_header(file: BinaryIO) -> None:
  head = file.read(_LOCAL_HEADER.size)
  if len(head) != _LOCAL_HEADER.size or not head.startswith(b'PK\x03\x04'):
    raise InputError('read-failed', 'no local header where the central directory says')
  *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(head)
  file.seek(name_bytes + extra_bytes, io.SEEK_CUR)


def _inflate_deflate(packed: bytes, limit: int) -> bytes:
  return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, limit)


def _inflate_bzip2(packed: bytes, limit: int) -> bytes:
  return bz2.BZ2Decompressor().decompress(packed, limit)


_ZIP_METHODS: Final[dict[int, Callable[[bytes, int], bytes] | None]] = {
  zipfile.ZIP_STORED: None,
  zipfile.ZIP_DEFLATED: _inflate_deflate,
  zipfile.ZIP_BZIP2: _inflate_bzip2,
}


def _inflate(packed: bytes, member: Member) -> bytes:
  inflate = _ZIP_METHODS[member.method]
  if inflate is None:
    raise AssertionError('stored members are not inflated')
  try:
    return inflate(packed, member.size_bytes + 1)  # one byte more than declared shows a lie
  except (zlib.error, OSError, EOFError) as error:
    raise InputError('read-failed', 'the compressed bytes are damaged') from error


def _check_content(data: bytes, member: Member) -> None:
  if len(data) > member.size_bytes:
    raise InputError('bomb', f'inflates beyond the {member.size_bytes} bytes that it declares')
  if len(data) < member.size_bytes:
    raise InputError('read-failed', f'{len(data)} bytes instead of {member.size_bytes}')
  if member.crc32 is not None and zlib.crc32(data) != member.crc32:
    raise InputError('read-failed', 'the checksum does not fit')


def _bounded_read(file: IO[bytes], limit: int) -> bytes | InputError:
  data = file.read(limit + 1)
  return data if len(data) <= limit else InputError('bomb', f'inflates beyond {limit} bytes')
