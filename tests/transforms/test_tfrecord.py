import io
import pathlib

import pytest
import tensorflow as tf

from tests.transforms.archive_files import damage
from transforms.tfrecord import read_records, write_record

RECORDS = [b'', b'a', bytes(range(256)) * 300, b'last']


def written(records: list[bytes]) -> bytes:
  file = io.BytesIO()
  for record in records:
    write_record(file, record)
  return file.getvalue()


def read_with_tensorflow(path: pathlib.Path, data: bytes) -> list[bytes]:
  path.write_bytes(data)
  return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def test_tensorflow_reads_what_was_written(tmp_path: pathlib.Path) -> None:
  assert read_with_tensorflow(tmp_path / 'x.tfrecord', written(RECORDS)) == RECORDS


def test_the_bytes_are_those_that_tensorflow_writes(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'x.tfrecord'
  with tf.io.TFRecordWriter(str(path)) as writer:
    for record in RECORDS:
      writer.write(record)
  assert written(RECORDS) == path.read_bytes()


@pytest.mark.parametrize('at', [0, 8, 12, 16, -1])
def test_tensorflow_sees_a_damaged_byte(tmp_path: pathlib.Path, at: int) -> None:
  data = written([b'content'])
  with pytest.raises(tf.errors.DataLossError):
    read_with_tensorflow(tmp_path / 'x.tfrecord', damage(data, at % len(data)))


def test_what_was_written_is_read_again() -> None:
  assert list(read_records(io.BytesIO(written(RECORDS)))) == RECORDS


@pytest.mark.parametrize('at', [0, 8, 12, 16, -1])
def test_a_damaged_byte_is_seen(at: int) -> None:
  data = written([b'content'])
  with pytest.raises(ValueError, match='does not fit its checksum'):
    list(read_records(io.BytesIO(damage(data, at % len(data)))))


@pytest.mark.parametrize('end', [1, 5, 12, 15, -1])
def test_a_file_that_breaks_off_is_seen(end: int) -> None:
  with pytest.raises(ValueError, match='does not fit its checksum'):
    list(read_records(io.BytesIO(written([b'content'])[:end])))
