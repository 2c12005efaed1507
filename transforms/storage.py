"""Files by path or URL: local disk, Google Cloud Storage, and what else Beam's FileSystems know.

The one place that knows how these differ. Beam is loaded where it is needed:
to look at one local file takes less time than that.
"""

import contextlib
import errno
import glob
import io
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import google_crc32c

from transforms import object_store

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
    problem: reason code of what cannot be looked at; such a folder stands for what is in it.
    crc32c: of the content, hexadecimal, where the store knows it.
  """

  path: str
  size_bytes: int
  fingerprint: str
  regular: bool = True
  problem: str = ''
  crc32c: str = ''


def is_object(path: str) -> bool:
  """Whether a path is of Google Cloud Storage."""
  return path.startswith(object_store.SCHEME)


def is_local(path: str) -> bool:
  """Whether a path is of this machine's file system."""
  return _URL.match(path) is None


def join(base: str, *parts: str) -> str:
  """Joins a path or URL."""
  if is_object(base):
    return '/'.join([base.rstrip('/'), *(part.strip('/') for part in parts)])
  return os.path.join(base, *parts) if is_local(base) else _beam().join(base, *parts)


def open_read(path: str) -> BinaryIO:
  """Opens a file for ranged reading, as it stands."""
  if is_local(path):
    return open(path, 'rb')
  if is_object(path):
    return object_store.open_read(path)
  return _beam().open(path, compression_type=_as_it_is())


def open_write(path: str) -> BinaryIO:
  """Opens a new file for writing, its folder made first; the bytes are written as they are."""
  if is_local(path):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, 'wb')
  if is_object(path):
    return object_store.open_write(path)
  return _beam().create(path, compression_type=_as_it_is())


def version_of(path: str) -> tuple[int, str] | None:
  """Size and fingerprint of the file of this name as it is now; None if there is none."""
  if is_local(path):
    file = _local_file(path)
    return (file.size_bytes, file.fingerprint) if file and not file.problem else None
  if is_object(path):
    found = object_store.find(path)
    return (found.size_bytes, str(found.generation)) if found else None
  same = next((file for file in list_files(path) if file.path == path), None)
  return (same.size_bytes, same.fingerprint) if same else None


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
  os.replace(_write_temporary(path, data), path)


def write_new(path: str, data: bytes) -> bool:
  """Writes a small file, whole, unless there is one of this name; of several writers at once one does.

  Returns:
    Whether this call wrote it.
  """
  if is_object(path):
    return object_store.write_file(path, io.BytesIO(data), generation=0) is not None
  if exists(path):
    return False
  if not is_local(path):  # no other store can say that a file is new
    write_atomically(path, data)
    return True
  return _link_new(_write_temporary(path, data), path)


def write_note(path: str) -> bool:
  """Makes an empty file, unless there is one of this name; of several writers at once one does.

  Returns:
    Whether this call made it.
  """
  if not is_local(path):
    return write_new(path, b'')
  pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
  try:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
  except FileExistsError:
    return False
  return True


def _link_new(temporary: str, path: str) -> bool:
  try:
    os.link(temporary, path)
  except FileExistsError:
    return False
  except OSError:  # a file system without links
    os.rename(temporary, path)
    return True
  finally:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(temporary)
  return True


def _write_temporary(path: str, data: bytes) -> str:
  temporary = f'{path}.{uuid.uuid4().hex}.tmp'
  with open_write(temporary) as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
  return temporary


def are_same(path: str, found: StoredFile) -> bool:
  """Whether a file has the content of one that was found; names of one file of a disk are told without reading it."""
  if is_local(path) and is_local(found.path) and os.path.samefile(path, found.path):
    return True
  (file,) = list_files(path)
  if file.size_bytes != found.size_bytes:
    return False
  return (file.crc32c or crc32c_of(path)) == (found.crc32c or crc32c_of(found.path))


def modified_at(file: StoredFile) -> float:
  """When a file was last written, in seconds since 1970; objects of a store never change, so their time is 0."""
  return int(file.fingerprint) / 1e9 if is_local(file.path) and file.fingerprint else 0.0


def exists(path: str) -> bool:
  """Whether there is a file or folder of this name."""
  if is_object(path):
    return object_store.exists(path)
  return os.path.exists(path) if is_local(path) else _beam().exists(path)


def is_file(path: str) -> bool:
  """Whether there is a file of this name; a folder is none."""
  if is_object(path):
    return object_store.find(path) is not None
  return os.path.isfile(path) if is_local(path) else any(file.path == path for file in list_files(path))


def delete(path: str) -> None:
  """Deletes one file."""
  if is_object(path):
    object_store.delete(path)
  else:
    os.unlink(path) if is_local(path) else _beam().delete([path])


def delete_tree(path: str) -> None:
  """Deletes a folder with all that is in it, or a file; nothing happens if there is none."""
  if is_object(path):
    object_store.delete_all(path)
  elif is_local(path):
    os.unlink(path) if os.path.isfile(path) else shutil.rmtree(path, ignore_errors=not os.path.exists(path))
  elif exists(path):
    _beam().delete([path])


def move(source: str, target: str) -> None:
  """Gives a file another name; a store copies it first, and two attempts end as one."""
  if is_local(source):
    os.replace(source, target)
  else:
    copy_files([(source, target)])
    delete(source)


def copy_files(pairs: Sequence[tuple[str, str]]) -> None:
  """Copies files to a store, or within it: source and target of each."""
  if not pairs:
    return
  if all(is_object(path) for pair in pairs for path in pair):
    object_store.copy_all(pairs)
  elif all(is_local(source) and is_object(target) for source, target in pairs):
    object_store.upload_all(pairs)
  else:
    _beam().copy([source for source, _ in pairs], [target for _, target in pairs])


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
      yield from filter(None, (_local_file(os.path.join(folder, name)) for name in [*names, *links]))
    yield from refused
  elif os.path.lexists(path):
    yield from filter(None, [_local_file(path)])
  else:
    for match in glob.iglob(path, recursive=True, include_hidden=True):
      yield from _list_local(os.path.normpath(match))


def _keep(error: OSError, refused: list[StoredFile]) -> None:
  """A folder that cannot be read is no empty folder."""
  if not isinstance(error, FileNotFoundError):  # moved away while the others were listed
    refused.append(_refused(error.filename, error))


def _refused(path: str, error: OSError) -> StoredFile:
  is_lasting = error.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
  return StoredFile(path, 0, '', regular=False, problem='read-failed' if is_lasting else 'input-unavailable')


def _local_file(path: str) -> StoredFile | None:
  """A file as it is; None if it was moved away while the others were listed."""
  try:
    regular = os.path.isfile(path)  # follows links; a FIFO or a dangling link is none
    status = os.stat(path) if regular else os.lstat(path)
  except FileNotFoundError:
    return None
  except OSError as error:
    return _refused(path, error)
  return StoredFile(path, status.st_size, str(status.st_mtime_ns), regular)


def _list_remote(path: str) -> Iterator[StoredFile]:
  if is_object(path):
    for found in object_store.list_objects(path):
      yield StoredFile(found.url, found.size_bytes, str(found.generation), crc32c=found.crc32c)
    return
  patterns = [path, f'{path.rstrip("/")}/**']
  for result in _beam().match(patterns):
    for found in result.metadata_list:
      if not found.path.endswith('/'):
        yield StoredFile(found.path, found.size_in_bytes, str(found.last_updated_in_seconds))
