"""Files of the inputs, opened as what they were when they were listed.

Exports are rewritten, moved and unplugged while they are read. What is read of
a file that is not the one that was listed would be rows of nothing: such a
file ends with the reason, and what was read before stands.
"""

import contextlib
import errno
import io
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from transforms import object_store, storage
from transforms.errors import InputError
from transforms.shards import version_number

_CHECK_REMOTE_BYTES: Final = 32 << 20  # a check is a request there
_GONE: Final = (errno.ENOENT, errno.ENOTDIR)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM)


def open_listed(path: str, size_bytes: int, version: int) -> BinaryIO:
  """Opens a file for ranged reading, if it is what was listed, and for as long as it stays so.

  Args:
    path: of the file.
    size_bytes: as listed.
    version: of `transforms.shards.version_number`; 0 if it is not known.

  Raises:
    InputError: `input-gone`, `changed-while-reading`, `input-unavailable`
      where the disk or store fails, `read-failed` where reading is not allowed.
      Reading and seeking raise the same.
  """
  with reasons():
    file = storage.open_read(path)
    return cast(BinaryIO, ListedFile(file, path, (size_bytes, version)))


@contextlib.contextmanager
def reasons() -> Iterator[None]:
  """Turns errors of a disk or store into the reason that a row has."""
  try:
    yield
  except object_store.ObjectChanged:
    raise InputError('changed-while-reading') from None
  except OSError as error:
    raise reason_of(error) from None


def reason_of(error: OSError) -> InputError:
  """The reason for a file that cannot be read: figures and names of errors only."""
  if error.errno in _GONE:
    return InputError('input-gone')
  if error.errno in _FORBIDDEN:
    return InputError('read-failed', 'not allowed to read it')
  if error.errno == errno.ENAMETOOLONG:
    return InputError('read-failed', 'its path is too long')
  return InputError('input-unavailable', errno.errorcode.get(error.errno or 0, type(error).__name__))


class ListedFile(io.RawIOBase):
  """An open file that is compared with its listing after each read."""

  def __init__(self, file: BinaryIO, path: str, listed: tuple[int, int]) -> None:
    """Takes over an open file.

    Args:
      file: what is read.
      path: of the file.
      listed: its size, and the number of its version.
    """
    self._file, self._path, self._listed = file, path, listed
    self._unchecked_bytes = 0
    # An object that was opened stays of one generation, and reading ends where that is gone.
    self._pinned: tuple[int, str] | None = getattr(file, 'version', None)
    self._check_bytes = 0 if storage.is_local(path) else _CHECK_REMOTE_BYTES
    self._check()

  def _check(self) -> None:
    self._unchecked_bytes = 0
    found = self._pinned or storage.version_of(self._path)
    # A file that was deleted is read to its end on a disk, and what is read is what was listed.
    if found is not None and self._listed[1] and (found[0], version_number(found[1])) != self._listed:
      raise InputError('changed-while-reading')

  def read(self, size: int = -1, /) -> bytes:
    """Reads on; the bytes are those of the file that was listed."""
    with reasons():
      data = self._file.read(size)
      self._unchecked_bytes += len(data)
      if not self._pinned and self._unchecked_bytes >= self._check_bytes:
        self._check()
      return data

  def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
    """Goes to a place; its position."""
    with reasons():
      return self._file.seek(offset, whence)

  def tell(self) -> int:
    """The position."""
    return self._file.tell()

  def readable(self) -> bool:
    """It is."""
    return True

  def seekable(self) -> bool:
    """It is."""
    return True

  def close(self) -> None:
    """Closes the file."""
    self._file.close()
    super().close()
