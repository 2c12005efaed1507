"""The content of one member of a zip, by reference."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from transforms.archives.inflaters import PIECE_BYTES, ZIP_INFLATERS, inflate_pieces
from transforms.archives.members import Member
from transforms.archives.readers import file_pieces
from transforms.errors import InputError

LOCAL_SIGNATURE: Final = b'PK\x03\x04'
LOCAL: Final = struct.Struct('<4s2B4HL2L2H')  # the local header, APPNOTE 4.3.7


def zip_pieces(file: BinaryIO, member: Member) -> Iterator[bytes]:
  """The content of a member, checked as it comes against what the directory declares.

  A local header without its signature is read all the same: the checksum tells.

  Raises:
    InputError: `read-failed`, or `bomb` where more comes out than was declared.
  """
  file.seek(member.offset)
  header = file.read(LOCAL.size)
  if len(header) < LOCAL.size:
    raise InputError('read-failed', 'the member lies beyond the end of the file')
  *_, name_bytes, extra_bytes = LOCAL.unpack(header)
  file.seek(name_bytes + extra_bytes, io.SEEK_CUR)
  packed = file_pieces(file, member.packed_bytes, PIECE_BYTES)
  inflater = ZIP_INFLATERS.get(member.method)
  size = crc32 = 0
  for piece in inflate_pieces(packed, inflater()) if inflater else packed:
    size, crc32 = size + len(piece), zlib.crc32(piece, crc32)
    if size > member.size_bytes:
      code = 'bomb' if inflater else 'read-failed'
      raise InputError(code, f'more than the {member.size_bytes} bytes that it declares')
    yield piece
  if size < member.size_bytes:
    raise InputError('read-failed', f'{size} bytes instead of {member.size_bytes}')
  if member.crc32 is not None and crc32 != member.crc32:
    raise InputError('read-failed', 'the checksum does not fit')
