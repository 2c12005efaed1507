"""TFRecord framing, without TensorFlow: length, masked CRC32C of it, data, masked CRC32C of that.

Source: the format notes of `tensorflow/core/lib/io/record_writer.h`.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

import google_crc32c

_MASK_DELTA: Final = 0xA282EAD8
_LENGTH: Final = struct.Struct('<Q')
_CRC: Final = struct.Struct('<I')


def write_record(file: BinaryIO, data: bytes) -> None:
  """Appends one record."""
  length = _LENGTH.pack(len(data))
  file.write(b''.join((length, _masked_crc(length), data, _masked_crc(data))))


def read_records(file: BinaryIO) -> Iterator[bytes]:
  """The records of a file that `write_record` wrote.

  Raises:
    ValueError: if it is damaged.
  """
  while head := file.read(_LENGTH.size + _CRC.size):
    data = file.read(_LENGTH.unpack(_checked(head))[0])
    yield _checked(data + file.read(_CRC.size))


def _checked(framed: bytes) -> bytes:
  """Bytes without the checksum behind them."""
  data, crc = framed[: -_CRC.size], framed[-_CRC.size :]
  if crc != _masked_crc(data):
    raise ValueError(f'a TFRecord of {len(data)} bytes does not fit its checksum')
  return data


def _masked_crc(data: bytes) -> bytes:
  crc = google_crc32c.value(data)
  return _CRC.pack(((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)
