"""Objects of Google Cloud Storage (`gs://`), through Google's own client.

Not through Beam's file systems: they know neither preconditions nor checksums,
and take half a minute to find out that there are no credentials. Where
`STORAGE_EMULATOR_HOST` is set, that is spoken to, without credentials.
"""

import base64
import contextlib
import errno
import functools
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar, cast

SCHEME: Final = 'gs://'
_WILDCARDS: Final = frozenset('*?[')
_READ_BYTES: Final = 4 << 20  # of one request
_HELD_BYTES: Final = 8 << 20  # of an object that is being written, before it goes to a temporary file
_THREADS: Final = 8  # requests at a time
T = TypeVar('T')


class ObjectChanged(OSError):  # noqa: N818 - what happened
  """The generation of an object that is being read is gone."""


class Location(NamedTuple):
  """The parts of a URL."""

  bucket: str
  name: str


@dataclass(frozen=True, slots=True)
class FoundObject:
  """An object as a listing has it; `generation` changes with every write, `crc32c` is hexadecimal."""

  url: str
  size_bytes: int
  generation: int
  crc32c: str


def location(url: str) -> Location:
  """Takes a URL apart."""
  bucket, _, name = url.removeprefix(SCHEME).partition('/')
  return Location(bucket, name)


@functools.cache
def _client() -> Any:
  from google.auth import credentials  # here, because most runs are local
  from google.cloud import storage

  if os.environ.get('STORAGE_EMULATOR_HOST'):
    return storage.Client('emulated', credentials.AnonymousCredentials())
  return storage.Client()


def _bucket(where: Location) -> Any:
  return _client().bucket(where.bucket)


@contextlib.contextmanager
def _system_errors(url: str) -> Iterator[None]:
  """What the store answers as the errors that a file system has."""
  from google.api_core import exceptions
  from google.auth.exceptions import GoogleAuthError, TransportError

  try:
    yield
  except exceptions.NotFound:
    raise FileNotFoundError(2, 'no such object, or no such bucket', url) from None
  except (exceptions.Forbidden, exceptions.Unauthorized):
    raise PermissionError(13, 'the credentials do not allow it', url) from None
  except TransportError as error:
    raise OSError(errno.EIO, f'the credentials cannot be renewed ({type(error).__name__})', url) from None
  except GoogleAuthError as error:
    raise PermissionError(13, f'no credentials for Google Cloud ({type(error).__name__})', url) from None
  except (exceptions.ServerError, exceptions.TooManyRequests, exceptions.RetryError) as error:
    raise OSError(errno.EIO, f'the store does not answer ({type(error).__name__})', url) from None


def open_read(url: str) -> BinaryIO:
  """Opens an object for ranged reading.

  Raises:
    FileNotFoundError, PermissionError: as of a file.
    ObjectChanged: when it is read, if it was replaced or deleted in the meantime.
  """
  where = location(url)
  with _system_errors(url):
    blob = _bucket(where).get_blob(where.name)
    if blob is None:
      raise FileNotFoundError(2, 'no such object', url)
    return cast(BinaryIO, _reader_class()(blob, chunk_size=_READ_BYTES, if_generation_match=blob.generation))


@functools.cache
def _reader_class() -> Any:
  from google.api_core.exceptions import PreconditionFailed
  from google.cloud.storage.fileio import BlobReader

  class Reader(BlobReader):
    """Reads one generation of an object."""

    @property
    def version(self) -> tuple[int, str]:
      """Size, and generation."""
      return self._blob.size, str(self._blob.generation)

    def read(self, size: int = -1) -> bytes:
      """Reads on, until the generation is gone."""
      try:
        with _system_errors(self._blob.name):
          return cast(bytes, super().read(size))
      except (FileNotFoundError, PreconditionFailed):
        raise ObjectChanged(errno.ESTALE, 'the object was replaced while it was read') from None

  return Reader


def open_write(url: str) -> BinaryIO:
  """Opens a new object for writing: it is there once the file is closed, and never if an exception ends its block."""
  return cast(BinaryIO, _Upload(url))


class _Upload(tempfile.SpooledTemporaryFile[bytes]):
  """Collects the bytes of an object, and sends them when it is closed."""

  def __init__(self, url: str) -> None:
    super().__init__(_HELD_BYTES)
    self._url = url
    self._sent = False

  def __exit__(self, kind: type[BaseException] | None, *more: Any) -> None:
    self._sent = self._sent or kind is not None
    self.close()

  def close(self) -> None:
    """Sends what was written, once."""
    if not self._sent:
      self._sent = True
      self.seek(0)
      write_file(self._url, cast(BinaryIO, self))
    super().close()


def write_file(url: str, file: BinaryIO, generation: int | None = None) -> int | None:
  """Writes an object from an open file.

  Args:
    url: of the object.
    file: what it is to hold.
    generation: of the object that may be replaced, 0 for none; None for any.

  Returns:
    The new generation; None if another one than the given was there.
  """
  from google.api_core.exceptions import PreconditionFailed

  where = location(url)
  blob = _bucket(where).blob(where.name)
  with _system_errors(url):
    try:
      blob.upload_from_file(file, size=file.seek(0, os.SEEK_END), if_generation_match=generation, rewind=True)
    except PreconditionFailed:
      return None
  return int(blob.generation)


def find(url: str) -> FoundObject | None:
  """The object of this name, if it is there."""
  where = location(url)
  with _system_errors(url):
    blob = _bucket(where).get_blob(where.name) if where.name else None
  return _found(blob) if blob else None


def age_s(url: str) -> float:
  """Seconds since an object was written, by the clock of the store; 0 if it is gone.

  The store tells its time as that of an object that is written now.
  """
  where = location(url)
  probe = _bucket(where).blob(f'{where.name}.{uuid.uuid4().hex}')
  with _system_errors(url):
    blob = _bucket(where).get_blob(where.name)
    probe.upload_from_string(b'')
    probe.delete()
  return (probe.updated - blob.updated).total_seconds() if blob else 0.0


def exists(url: str) -> bool:
  """Whether there is an object of this name, or one below it, as in a folder."""
  return find(url) is not None or next(_below(url, limit=1), None) is not None


def list_objects(url: str) -> Iterator[FoundObject]:
  """The object of this name and all below it, or those that a glob matches; names that end in a slash are folders."""
  where = location(url)
  if _WILDCARDS & set(where.name):
    with _system_errors(url):
      blobs = list(_client().list_blobs(where.bucket, match_glob=where.name))
    yield from (_found(blob) for blob in blobs if not blob.name.endswith('/'))
    return
  whole = find(url)
  if whole:
    yield whole
  yield from _below(url)


def _below(url: str, limit: int | None = None) -> Iterator[FoundObject]:
  where = location(url)
  prefix = f'{where.name.rstrip("/")}/' if where.name.rstrip('/') else ''
  with contextlib.suppress(FileNotFoundError), _system_errors(url):  # a bucket that is not there has nothing in it
    for blob in _client().list_blobs(where.bucket, prefix=prefix, max_results=limit):
      if not blob.name.endswith('/'):
        yield _found(blob)


def _found(blob: Any) -> FoundObject:
  checksum = base64.b64decode(blob.crc32c).hex() if blob.crc32c else ''
  return FoundObject(f'{SCHEME}{blob.bucket.name}/{blob.name}', blob.size, int(blob.generation), checksum)


def delete(url: str, generation: int | None = None) -> bool:
  """Deletes an object; False if it is not there, or not of this generation."""
  from google.api_core.exceptions import NotFound, PreconditionFailed

  where = location(url)
  with _system_errors(url):
    try:
      _bucket(where).delete_blob(where.name, if_generation_match=generation)
    except (NotFound, PreconditionFailed):
      return False
  return True


def delete_all(url: str) -> None:
  """Deletes an object and all below it."""
  _at_once(delete, [found.url for found in list_objects(url)])


def copy_all(pairs: Sequence[tuple[str, str]]) -> None:
  """Copies objects within the store, without reading them."""
  _at_once(lambda pair: _copy(*pair), pairs)


def _copy(source: str, target: str) -> None:
  start, end = location(source), location(target)
  with _system_errors(source):
    bucket = _bucket(start)
    bucket.copy_blob(bucket.blob(start.name), _bucket(end), end.name)


def upload_all(pairs: Sequence[tuple[str, str]]) -> None:
  """Copies local files into the store."""
  _at_once(lambda pair: _upload_file(*pair), pairs)


def _upload_file(path: str, url: str) -> None:
  with open(path, 'rb') as file:
    write_file(url, file)


def _at_once(work: Callable[[T], object], items: Sequence[T]) -> None:
  with ThreadPoolExecutor(_THREADS) as pool:
    for _ in pool.map(work, items):
      pass
