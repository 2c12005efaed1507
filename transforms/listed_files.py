"""Files of the inputs, opened as what they were when they were listed.

Exports are rewritten, moved and unplugged while they are read. What is read of
a file that is not the one that was listed would be rows of nothing: such a
file ends with the reason, and what was read before stands.
"""

import errno
import io
import os
from typing import BinaryIO, Final, cast

from transforms import object_store, storage
from transforms.errors import InputError, MachineError
from transforms.shards import version_number

_CHECK_REMOTE_BYTES: Final = 32 << 20  # a check is a request there
_GONE: Final = (errno.ENOENT, errno.ENOTDIR)
_OF_THE_MACHINE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def open_listed(path: str, size_bytes: int, version: int) -> BinaryIO:
  """Opens a file for ranged reading, if it is what was listed, and for as long as it stays so.

  Args:
    path: of the file.
    size_bytes: as listed.
    version: of `transforms.shards.version_number`; 0 if it is not known.

  Raises:
    InputError: `input-gone`, `changed-while-reading`; `input-unavailable`
      where the disk or store fails, or refuses; `read-failed` if the path is
      too long. Reading and seeking raise the same.
  """
  try:
    file = storage.open_read(path)
    return cast(BinaryIO, ListedFile(file, path, (size_bytes, version)))
  except OSError as error:
    raise reason_of(error) from None


def reason_of(error: OSError) -> InputError:
  """The reason for a file that cannot be read: figures and names of errors only.

  One that may not be read is asked for again by the next night: credentials lapse, as mounts go.

  Raises:
    MachineError: if it is this machine that can open nothing more.
  """
  if isinstance(error, object_store.ObjectChanged):
    return InputError('changed-while-reading')
  if error.errno in _GONE:
    return InputError('input-gone')
  if error.errno == errno.ENAMETOOLONG:
    return InputError('read-failed', 'its path is too long')
  if error.errno in _OF_THE_MACHINE:
    raise MachineError(f'no file can be opened: {errno.errorcode[error.errno or 0]}') from error
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
    self._is_local = storage.is_local(path)
    self._unchecked_bytes = 0
    self._status = self._local_status()  # before it is compared: what changes from here on is seen
    self._check()

  def _check(self) -> None:
    self._unchecked_bytes = 0
    found = self._version()
    if found is not None and self._listed[1] and (found[0], version_number(found[1])) != self._listed:
      raise InputError('changed-while-reading')

  def _version(self) -> tuple[int, str] | None:
    """What is being read, as it is now; None where that cannot be told."""
    if self._is_local:  # of the open file: one that was deleted or replaced is read to its end
      size_bytes, modified_ns = self._local_status()
      return size_bytes, str(modified_ns)
    if storage.is_object(self._path):  # an object that was opened stays of one generation: reading ends with it
      return getattr(self._file, 'version', None)
    return storage.version_of(self._path)

  def _local_status(self) -> tuple[int, int]:
    if not self._is_local:
      return 0, 0
    status = os.fstat(self._file.fileno())
    return status.st_size, status.st_mtime_ns

  def _is_due(self, read_bytes: int) -> bool:
    """Whether what was read is to be compared; small reads are many, and a disk is asked in a microsecond."""
    if self._is_local:
      return self._local_status() != self._status
    self._unchecked_bytes += read_bytes
    return self._unchecked_bytes >= _CHECK_REMOTE_BYTES

  def read(self, size: int = -1, /) -> bytes:
    """Reads on; the bytes are those of the file that was listed."""
    try:
      data = self._file.read(size)
      if self._is_due(len(data)):
        self._check()
    except OSError as error:
      raise reason_of(error) from None
    return data

  def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
    """Goes to a place; its position."""
    try:
      return self._file.seek(offset, whence)
    except OSError as error:
      raise reason_of(error) from None

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
