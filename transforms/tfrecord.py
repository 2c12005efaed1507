"""TFRecord framing, without TensorFlow: length, masked CRC32C of it, data, masked CRC32C of that.

Source: the format notes of `tensorflow/core/lib/io/record_writer.h`.
"""

import struct
from typing import BinaryIO, Final

import google_crc32c

_MASK_DELTA: Final = 0xA282EAD8
_LENGTH: Final = struct.Struct('<Q')
_CRC: Final = struct.Struct('<I')


def write_record(file: BinaryIO, data: bytes) -> None:
  """Appends one record."""
  length = _LENGTH.pack(len(data))
  file.write(b''.join((length, _masked_crc(length), data, _masked_crc(data))))


def _masked_crc(data: bytes) -> bytes:
  crc = google_crc32c.value(data)
  return _CRC.pack(((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)
