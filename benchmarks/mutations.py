"""Ways to break a file, each decided by a source of chance: flipped bits, cuts, splices, edited length fields.

Half of them aim: at the first kilobytes, where headers are, and at the marks
that the formats read here begin their structures with. The same chance, file
and donor give the same bytes.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

Mutation = Callable[[random.Random, bytearray, bytes], None]

_HEAD_BYTES: Final = 2048
_MOST_CUT_BYTES: Final = 4096
_MARK_REACH_BYTES: Final = 64
_MARKS: Final = (
  *(b'PK\x01\x02', b'PK\x03\x04', b'PK\x05\x06', b'PK\x06\x06', b'PK\x06\x07'),  # zip: directory, member, end, zip64
  *(b'ustar', b'\x1f\x8b', b'BZh', b'\xfd7zXZ', b'\x28\xb5\x2f\xfd'),
  *(b'\xff\xd8', b'\xff\xc0', b'\xff\xc1', b'\xff\xc3', b'\xff\xc4', b'\xff\xda', b'\xff\xf7'),  # JPEG, JPEG-LS
  *(b'\xff\x4f\xff\x51', b'\xff\x52', b'\xff\x5c', b'\xff\x90', b'\xff\x93'),  # JPEG 2000
  *(b'IHDR', b'PLTE', b'IDAT', b'tRNS', b'iCCP'),
  *(b'\xfe\xff\x00\xe0', b'\xfe\xff\x0d\xe0', b'\xfe\xff\xdd\xe0'),  # DICOM: item, its end, end of a sequence
  *(b'\xe0\x7f\x10\x00', b'\x28\x00\x02\x00', b'\x28\x00\x10\x00', b'\x28\x00\x00\x01', b'\x02\x00\x10\x00'),
  *(b'SQ\x00\x00', b'OW\x00\x00', b'OB\x00\x00', b'UN\x00\x00', b'US\x02\x00', b'UI', b'IS', b'DS'),
)
_LENGTHS: Final = (
  0,
  1,
  2,
  3,
  4,
  7,
  8,
  13,
  0x7F,
  0x80,
  0xFF,
  0x7FFF,
  0x8000,
  0xFFFF,
  0x7FFFFFFF,
  0x80000000,
  0xFFFFFFFF,
)


def mutate(data: bytes, donor: bytes, rng: random.Random) -> bytes:
  """Breaks a file in one to four ways.

  Args:
    data: the file.
    donor: another one, for splices.
    rng: decides everything else.
  """
  broken = bytearray(data)
  for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
    rng.choice(MUTATIONS)(rng, broken, donor)
  return bytes(broken)


def flip_bits(rng: random.Random, data: bytearray, _donor: bytes) -> None:
  """One to 64 bits."""
  for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
    if data:
      data[_place(rng, data)] ^= 1 << rng.randrange(8)


def cut_end(rng: random.Random, data: bytearray, _donor: bytes) -> None:
  """As a copy that was interrupted."""
  del data[_place(rng, data) :]


def cut_out(rng: random.Random, data: bytearray, _donor: bytes) -> None:
  """A stretch in the middle."""
  start = _place(rng, data)
  del data[start : start + rng.randint(1, _MOST_CUT_BYTES)]


def overwrite(rng: random.Random, data: bytearray, _donor: bytes) -> None:
  """A stretch by zeros, ones or noise, as bad blocks of a disk are."""
  start, length = _place(rng, data), rng.randint(1, _MOST_CUT_BYTES)
  length = min(length, len(data) - start)
  data[start : start + length] = rng.choice((bytes(length), b'\xff' * length, rng.randbytes(length)))


def repeat(rng: random.Random, data: bytearray, _donor: bytes) -> None:
  """A stretch twice."""
  start = _place(rng, data)
  stretch = data[start : start + rng.randint(1, _MOST_CUT_BYTES)]
  data[start:start] = stretch


def splice(rng: random.Random, data: bytearray, donor: bytes) -> None:
  """A stretch of another file, in place of as many bytes or between them."""
  start, source = _place(rng, data), rng.randrange(len(donor) + 1)
  stretch = donor[source : source + rng.randint(1, _MOST_CUT_BYTES)]
  data[start : start + rng.choice((0, len(stretch)))] = stretch


def join(rng: random.Random, data: bytearray, donor: bytes) -> None:
  """The beginning of one file and the end of another."""
  data[_place(rng, data) :] = donor[rng.randrange(len(donor) + 1) :]


def edit_length(rng: random.Random, data: bytearray, _donor: bytes) -> None:
  """Two, four or eight bytes by a number at the edge of what it can be."""
  if not data:
    return
  start, width = _place(rng, data), rng.choice((2, 2, 4, 4, 8))
  value = rng.choice((*_LENGTHS, len(data), rng.randrange(1 << 16))) % (1 << 8 * width)
  data[start : start + width] = value.to_bytes(width, rng.choice(('little', 'big')))


MUTATIONS: Final[Sequence[Mutation]] = (
  flip_bits,
  flip_bits,
  cut_end,
  cut_out,
  overwrite,
  repeat,
  splice,
  join,
  edit_length,
  edit_length,
  edit_length,
)


def _place(rng: random.Random, data: bytearray) -> int:
  """Anywhere, near the beginning, or just behind a mark."""
  if not data:
    return 0
  where = rng.randrange(4)
  if where < 2:
    return rng.randrange(len(data) if where else min(len(data), _HEAD_BYTES))
  found = data.find(rng.choice(_MARKS), rng.randrange(len(data)) if where == 2 else 0)
  return min(len(data) - 1, found + rng.randrange(_MARK_REACH_BYTES)) if found >= 0 else rng.randrange(len(data))
