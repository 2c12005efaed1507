"""Files by path or URL: Beam's FileSystems, and the few local operations that it lacks.

The one place that knows how local disk and object stores differ. Beam is
loaded where it is needed: to look at one local file takes less time than that.
"""

import contextlib
import glob
import os
import pathlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import google_crc32c

if TYPE_CHECKING:
  from apache_beam.io.filesystems import FileSystems

_URL: Final = re.compile(r'[a-zA-Z][-a-zA-Z0-9+.]*://')  # as Beam tells them


def _beam() -> 'type[FileSystems]':
  from apache_beam.io.filesystems import FileSystems

  return FileSystems


def _as_it_is() -> str:
  """Files are not unpacked by their names."""
  from apache_beam.io.filesystem import CompressionTypes

  return CompressionTypes.UNCOMPRESSED


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
  """A file found under an input; `fingerprint` changes when its content may have changed.

  Attributes:
    regular: neither a device nor a pipe, nor a link that leads nowhere.
    readable: False for a folder that may not be listed, which stands for what is in it.
  """

  path: str
  size_bytes: int
  fingerprint: str
  regular: bool = True
  readable: bool = True
  crc32c: str = ''


def is_local(path: str) -> bool:
  """Whether a path is of this machine's file system."""
  return _URL.match(path) is None


def join(base: str, *parts: str) -> str:
  """Joins a path or URL."""
  return os.path.join(base, *parts) if is_local(base) else _beam().join(base, *parts)


def open_read(path: str) -> BinaryIO:
  """Opens a file for ranged reading, as it stands."""
  if is_local(path):
    return open(path, 'rb')
  return _beam().open(path, compression_type=_as_it_is())


def open_write(path: str) -> BinaryIO:
  """Opens a new file for writing, its folder made first; the bytes are written as they are."""
  if is_local(path):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, 'wb')
  return _beam().create(path, compression_type=_as_it_is())


def read_bytes(path: str) -> bytes:
  """The content of a small file."""
  with open_read(path) as file:
    return file.read()


def crc32c_of(path: str) -> str:
  """CRC-32C of a file's content, hexadecimal."""
  checksum = google_crc32c.Checksum()
  with open_read(path) as file:
    while block := file.read(1 << 20):
      checksum.update(block)
  return checksum.hexdigest().decode()


def write_atomically(path: str, data: bytes) -> None:
  """Writes a small file that is either there whole or not at all."""
  if not is_local(path):
    with open_write(path) as file:  # object stores show an object only when it is complete
      file.write(data)
    return
  temporary = f'{path}.{uuid.uuid4().hex}.tmp'
  with open_write(temporary) as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, path)


def modified_at(file: StoredFile) -> float:
  """When a file was last written, in seconds since 1970; objects of a store never change, so their time is 0."""
  return int(file.fingerprint) / 1e9 if is_local(file.path) and file.fingerprint else 0.0


def exists(path: str) -> bool:
  """Whether there is a file or folder of this name."""
  return os.path.exists(path) if is_local(path) else _beam().exists(path)


def is_file(path: str) -> bool:
  """Whether there is a file of this name; a folder is none."""
  return os.path.isfile(path) if is_local(path) else any(file.path == path for file in list_files(path))


def delete(path: str) -> None:
  """Deletes one file."""
  os.unlink(path) if is_local(path) else _beam().delete([path])


def delete_tree(path: str) -> None:
  """Deletes a folder with all that is in it; nothing happens if there is none."""
  if exists(path):
    _beam().delete([path])


def delete_if_empty(path: str) -> None:
  """Deletes a local folder that holds nothing; object stores have no folders."""
  if is_local(path):
    with contextlib.suppress(OSError):
      os.rmdir(path)


def list_files(path: str) -> Iterator[StoredFile]:
  """All files below a folder, or that one file, or what a glob matches; in the order of their names."""
  files = _list_local(path) if is_local(path) else _list_remote(path)
  yield from sorted(set(files))  # `**` finds files more than once


def _list_local(path: str) -> Iterator[StoredFile]:
  if os.path.isdir(path):
    refused: list[StoredFile] = []
    for folder, folders, names in os.walk(path, onerror=lambda error: _keep(error, refused)):
      links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # not followed, but not lost
      yield from (_local_file(os.path.join(folder, name)) for name in [*names, *links])
    yield from refused
  elif os.path.lexists(path):
    yield _local_file(path)
  else:
    for match in glob.iglob(path, recursive=True, include_hidden=True):
      yield from _list_local(os.path.normpath(match))


def _keep(error: OSError, refused: list[StoredFile]) -> None:
  """A folder that cannot be read is no empty folder."""
  if isinstance(error, PermissionError):
    refused.append(StoredFile(error.filename, 0, '', regular=False, readable=False))
  elif not isinstance(error, FileNotFoundError):  # moved away while the others were listed
    raise error


def _local_file(path: str) -> StoredFile:
  regular = os.path.isfile(path)  # follows links; a FIFO or a dangling link is none
  status = os.stat(path) if regular else os.lstat(path)
  return StoredFile(path, status.st_size, str(status.st_mtime_ns), regular)


def _list_remote(path: str) -> Iterator[StoredFile]:
  patterns = [path, f'{path.rstrip("/")}/**']
  for result in _beam().match(patterns):
    for found in result.metadata_list:
      if not found.path.endswith('/'):
        yield StoredFile(found.path, found.size_in_bytes, str(found.last_updated_in_seconds))
