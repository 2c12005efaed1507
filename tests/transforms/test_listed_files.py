"""Files that are read as what they were when they were listed."""

import errno
import os
import pathlib

import pytest

from transforms import storage
from transforms.errors import InputError, MachineError
from transforms.listed_files import open_listed, reason_of
from transforms.shards import version_number


def listed(path: str) -> tuple[str, int, int]:
  version = storage.version_of(path)
  assert version
  return path, version[0], version_number(version[1])


def code(path: str, size_bytes: int, version: int) -> str:
  with pytest.raises(InputError) as caught, open_listed(path, size_bytes, version) as file:
    file.read()
  return caught.value.code


def test_a_file_that_stays_is_read(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'a').write_bytes(b'0123456789')
  with open_listed(*listed(str(tmp_path / 'a'))) as file:
    assert (file.read(3), file.seek(-2, 2), file.read()) == (b'012', 8, b'89')


@pytest.mark.parametrize('content', [b'0123', b'9876543210', b'01234567890'])
def test_a_file_that_was_rewritten_is_not(tmp_path: pathlib.Path, content: bytes) -> None:
  path = tmp_path / 'a'
  path.write_bytes(b'0123456789')
  before = listed(str(path))
  os.utime(path, (1_700_000_000, 1_700_000_000))
  assert code(*before) == 'changed-while-reading'
  before = listed(str(path))
  with open_listed(*before) as file:
    assert file.read(3) == b'012'
    path.write_bytes(content)
    with pytest.raises(InputError, match='changed-while-reading'):
      file.read(3)


def test_a_file_that_is_deleted_while_it_is_read_is_read_to_its_end(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'a'
  path.write_bytes(b'0123456789')
  with open_listed(*listed(str(path))) as file:
    path.unlink()
    assert file.read() == b'0123456789'
  assert code(str(path), 10, 1) == 'input-gone'


def test_a_folder_that_is_gone_takes_its_files_with_it(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'a').write_bytes(b'')
  assert code(str(tmp_path / 'a/b'), 1, 1) == 'input-gone'


def test_a_disk_that_gives_no_bytes_is_no_defect_of_the_file() -> None:
  assert code('/proc/self/mem', 0, 0) == 'input-unavailable'  # the kernel answers EIO


@pytest.mark.parametrize(
  ('number', 'reason'),
  [
    (errno.EACCES, ('input-unavailable', 'EACCES')),
    (errno.ESTALE, ('input-unavailable', 'ESTALE')),
    (errno.ENAMETOOLONG, ('read-failed', 'its path is too long')),
    (errno.ENOENT, ('input-gone', '')),
  ],
)
def test_reasons_tell_the_kind_of_error_and_no_path(number: int, reason: tuple[str, str]) -> None:
  error = reason_of(OSError(number, 'text', '/Erika/Mustermann'))
  assert (error.code, error.detail) == reason


@pytest.mark.parametrize('number', [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_machine_that_can_open_nothing_more_is_no_matter_of_the_file(number: int) -> None:
  with pytest.raises(MachineError, match=errno.errorcode[number]):
    reason_of(OSError(number, 'text'))


def test_an_object_that_is_replaced_is_not_read_on(bucket: str) -> None:
  url = f'{bucket}/a'
  storage.write_atomically(url, bytes(9 << 20))
  before = listed(url)
  with open_listed(*before) as file:
    assert len(file.read(1 << 20)) == 1 << 20
    storage.write_atomically(url, bytes(9 << 20))
    file.seek(8 << 20)
    with pytest.raises(InputError, match='changed-while-reading'):
      file.read(1)
  assert code(*before) == 'changed-while-reading'
  storage.delete(url)
  assert code(*before) == 'input-gone'
