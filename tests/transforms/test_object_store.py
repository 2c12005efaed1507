import contextlib
import io
import pathlib
import threading
import zipfile

import pytest

from tests.transforms.archive_files import zip_bytes
from transforms import object_store, storage


def names(url: str) -> list[str]:
  return [file.path for file in storage.list_files(url)]


def write(url: str, content: bytes = b'x') -> str:
  with storage.open_write(url) as file:
    file.write(content)
  return url


def test_what_is_written_is_read_and_listed_with_its_checksum(bucket: str) -> None:
  url = write(storage.join(bucket, 'a/b.bin'), b'123456789')
  assert storage.read_bytes(url) == b'123456789'
  (found,) = storage.list_files(bucket)
  assert (found.path, found.size_bytes, found.crc32c) == (url, 9, 'e3069283')  # RFC 3720, B.4
  assert storage.crc32c_of(url) == 'e3069283'


def test_a_fingerprint_changes_with_every_write(bucket: str) -> None:
  url = f'{bucket}/a'
  before = next(storage.list_files(write(url))).fingerprint
  assert next(storage.list_files(write(url))).fingerprint != before


def test_a_folder_is_what_stands_before_a_slash(bucket: str) -> None:
  for name in ('in/a', 'in/sub/b', 'inbox/c', 'in'):
    write(f'{bucket}/{name}')
  assert names(f'{bucket}/in') == [f'{bucket}/in', f'{bucket}/in/a', f'{bucket}/in/sub/b']
  assert names(f'{bucket}/in/') == [f'{bucket}/in/a', f'{bucket}/in/sub/b']
  assert storage.exists(f'{bucket}/inbox')
  assert not storage.exists(f'{bucket}/inb')
  assert storage.is_file(f'{bucket}/in')
  assert not storage.is_file(f'{bucket}/inbox')
  storage.delete_tree(f'{bucket}/in')
  assert names(bucket) == [f'{bucket}/inbox/c']


def test_globs_are_matched_by_the_store(bucket: str) -> None:
  for name in ('a.zip', 'sub/b.zip', 'sub/c.txt'):
    write(f'{bucket}/{name}')
  assert names(f'{bucket}/*.zip') == [f'{bucket}/a.zip']
  assert names(f'{bucket}/**.zip') == [f'{bucket}/a.zip', f'{bucket}/sub/b.zip']


def test_members_of_a_zip_are_read_by_ranges(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(object_store, '_READ_BYTES', 1000)
  members = [(f'{number}.bin', bytes([number]) * 10_000) for number in range(10)]
  url = write(f'{bucket}/a.zip', zip_bytes(members))
  with storage.open_read(url) as file, zipfile.ZipFile(file) as archive:
    assert archive.read('7.bin') == bytes([7]) * 10_000


def test_a_reader_never_mixes_two_generations(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(object_store, '_READ_BYTES', 1000)
  url = write(f'{bucket}/a', b'a' * 5000)
  with storage.open_read(url) as file:
    assert file.read(1000) == b'a' * 1000
    write(url, b'b' * 5000)
    with pytest.raises(object_store.ObjectChanged):
      file.read(1000)


def test_what_is_not_there_is_reported_as_of_a_file(bucket: str) -> None:
  with pytest.raises(FileNotFoundError):
    storage.open_read(f'{bucket}/nothing')
  assert names('gs://no-such-bucket/x') == []
  with pytest.raises(FileNotFoundError, match='no such bucket'):
    storage.write_atomically('gs://no-such-bucket/x', b'1')
  storage.delete(f'{bucket}/nothing')
  storage.delete_tree(f'{bucket}/nothing')


def test_an_object_that_was_not_finished_is_not_there(bucket: str) -> None:
  with contextlib.suppress(KeyboardInterrupt), storage.open_write(f'{bucket}/a') as file:
    file.write(b'1')
    raise KeyboardInterrupt
  assert names(bucket) == []


@pytest.mark.parametrize('place', ['disk', 'store'])
def test_of_many_writers_of_a_new_file_one_writes_it(place: str, bucket: str, tmp_path: pathlib.Path) -> None:
  path = str(tmp_path / 'new') if place == 'disk' else f'{bucket}/new'
  wrote: list[bytes] = []

  def attempt(number: int) -> None:
    content = str(number).encode()
    if storage.write_new(path, content):
      wrote.append(content)

  threads = [threading.Thread(target=attempt, args=[number]) for number in range(8)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert wrote == [storage.read_bytes(path)]
  assert len(list(storage.list_files(str(tmp_path) if place == 'disk' else bucket))) == 1


def test_a_generation_guards_a_write_and_a_deletion(bucket: str) -> None:
  url = f'{bucket}/a'
  first = object_store.write_file(url, io.BytesIO(b'1'), generation=0)
  assert first
  assert object_store.write_file(url, io.BytesIO(b'2'), generation=0) is None
  second = object_store.write_file(url, io.BytesIO(b'2'), generation=first)
  assert second not in (None, first)
  assert not object_store.delete(url, first)
  assert object_store.delete(url, second)


def test_copies_are_made_within_the_store(bucket: str) -> None:
  pairs = [(write(f'{bucket}/from/{number}', str(number).encode()), f'{bucket}/to/{number}') for number in range(20)]
  storage.copy_files(pairs)
  assert [storage.read_bytes(target) for _, target in pairs] == [str(number).encode() for number in range(20)]


def test_the_age_of_an_object_is_by_the_clock_of_the_store(bucket: str) -> None:
  url = write(f'{bucket}/a')
  assert 0 <= object_store.age_s(url) < 60
  assert names(bucket) == [url]
  assert object_store.age_s(f'{bucket}/nothing') == 0
