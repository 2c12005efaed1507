import struct

import pytest

from transforms.encapsulation import frame_bytes, is_encapsulated, read_frames

JPEG = b'\xff\xd8\xff\xe0'
A, B, C = (JPEG + bytes([letter]) * 4 for letter in b'ABC')


def fragment(content: bytes) -> bytes:
  return b'\xfe\xff\x00\xe0' + struct.pack('<I', len(content)) + content


def frames(
  parts: list[bytes], count: int, basic: list[int] | None = None, offsets: list[int] | None = None
) -> list[bytes]:
  table = struct.pack(f'<{len(basic or [])}I', *(basic or []))
  data = b'xx' + fragment(table) + b''.join(map(fragment, parts))
  return [frame_bytes(data, found) for found in read_frames(data, 2, len(data), count, offsets or [])]


SIZE = len(fragment(A))


@pytest.mark.parametrize(
  ('parts', 'count', 'basic', 'offsets', 'expected'),
  [
    ([A], 1, None, None, [A]),
    ([A[:5], A[5:]], 1, None, None, [A]),
    ([A[:5], A[5:]], 1, [0], None, [A]),
    ([A, B], 2, None, None, [A, B]),
    ([A, B], 2, [0, SIZE], None, [A, B]),
    ([A, B], 2, [0, 7], None, [A, B]),  # a wrong table: there is nothing to tell apart
    ([A, B], 2, [0], None, [A, B]),
    ([A, B[:6], B[6:]], 2, [0, SIZE], None, [A, B]),
    ([A, B[:6], B[6:]], 2, None, [0, SIZE], [A, B]),
    ([A, B[:6], B[6:]], 2, [0, 5], [0, 9], [A, B]),  # both wrong: by where codestreams start
    ([A, B[:6], B[6:]], 2, None, None, [A, B]),
    ([A[:6], A[6:], B], 2, None, None, [A, B]),
    ([A, B, b''], 2, None, None, [A, B]),  # an empty one pads
    ([A, B], 3, None, None, [A, B]),  # the third was cut off
    ([b'rle', b'one', b'two'], 2, None, None, []),  # cannot be told apart
    ([b'rle', b'one', b'two'], 2, [0, len(fragment(b'rle'))], None, [b'rle', b'onetwo']),
    ([], 1, None, None, []),
  ],
)
def test_frames(
  parts: list[bytes], count: int, basic: list[int] | None, offsets: list[int] | None, expected: list[bytes]
) -> None:
  assert frames(parts, count, basic, offsets) == expected


@pytest.mark.parametrize('cut', range(1, 40))
def test_what_breaks_off_keeps_the_frames_before(cut: int) -> None:
  data = fragment(b'') + fragment(A) + fragment(B) + fragment(C)
  found = read_frames(data, 0, len(data) - cut, 3)
  whole = (len(data) - cut - 8) // SIZE
  assert [frame_bytes(data, frame) for frame in found][:whole] == [A, B, C][:whole]


def test_is_encapsulated() -> None:
  assert is_encapsulated(b'..' + fragment(b''), 2)
  assert not is_encapsulated(b'..' + fragment(b''), 0)
