"""Archives whose bytes depend on their members alone, and the ways in which real ones are broken."""

import gzip
import io
import pathlib
import tarfile
import warnings
import zipfile
from collections.abc import Iterable
from typing import BinaryIO, Final

Members = Iterable[tuple[str, bytes]]

_LOCAL_FLAGS_AT: Final = 6  # APPNOTE 4.3.7
_CENTRAL_FLAGS_AT: Final = 8  # APPNOTE 4.3.12
_CENTRAL_HEADER: Final = b'PK\x01\x02'
_CENTRAL_NAME_AT: Final = 46
_LOCAL_NAME_AT: Final = 30
_ENCRYPTED: Final = 0x1


def write_zip(file: pathlib.Path | BinaryIO, members: Members, method: int = zipfile.ZIP_DEFLATED) -> None:
  """Writes a zip whose members are dated 1980; a name that ends with a slash makes a folder."""
  with zipfile.ZipFile(file, 'w', compresslevel=1) as archive, warnings.catch_warnings():
    warnings.filterwarnings('ignore', 'Duplicate name')  # wanted: real exports repeat names
    for name, data in members:
      info = zipfile.ZipInfo(name)
      info.create_system = 3  # else the platform's
      info.external_attr = 0o644 << 16
      archive.writestr(info, data, zipfile.ZIP_STORED if name.endswith('/') else method)


def zip_bytes(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
  """A zip in memory."""
  buffer = io.BytesIO()
  write_zip(buffer, members, method)
  return buffer.getvalue()


def tar_bytes(members: Members) -> bytes:
  """A tar in memory, its members dated 1970."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT) as archive:
    for name, data in members:
      info = tarfile.TarInfo(name)
      info.size = len(data)
      archive.addfile(info, io.BytesIO(data))
  return buffer.getvalue()


def tar_gz_bytes(members: Members) -> bytes:
  """A compressed tar in memory: a stream, without a date of its own."""
  return gzip.compress(tar_bytes(members), compresslevel=1, mtime=0)


def damage_member(archive: bytes, name: str) -> bytes:
  """Flips one bit of a stored member, so that its checksum does not fit."""
  with zipfile.ZipFile(io.BytesIO(archive)) as opened:
    info = opened.getinfo(name)
  at = info.header_offset + _LOCAL_NAME_AT + len(name.encode()) + info.file_size // 2
  return _patch(archive, at, archive[at] ^ 1)


def mark_encrypted(archive: bytes, name: str) -> bytes:
  """Sets the flag of an encrypted member in both of its headers."""
  with zipfile.ZipFile(io.BytesIO(archive)) as opened:
    local, central = opened.getinfo(name).header_offset, opened.start_dir
  while archive[central + _CENTRAL_NAME_AT :][: len(name.encode())] != name.encode():
    central = archive.index(_CENTRAL_HEADER, central + 1)
  for at in (local + _LOCAL_FLAGS_AT, central + _CENTRAL_FLAGS_AT):
    archive = _patch(archive, at, archive[at] | _ENCRYPTED)
  return archive


def _patch(data: bytes, at: int, value: int) -> bytes:
  return data[:at] + bytes([value]) + data[at + 1 :]
