"""Elements written out byte by byte (PS3.5 7.1, 7.5)."""

import struct

import pytest

from transforms.dicom_elements import Budget, Element, Encoding, read_elements, read_items
from transforms.errors import InputError

LITTLE = Encoding(is_implicit=False, order='<')
IMPLICIT = Encoding(is_implicit=True, order='<')
BIG = Encoding(is_implicit=False, order='>')

UNDEFINED = 0xFFFFFFFF
SEQUENCE = 0x00081115
ITEM_END = struct.pack('<HHI', 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack('<HHI', 0xFFFE, 0xE0DD, 0)


def budget(elements: int = 1000, depth: int = 10) -> Budget:
  return Budget(elements, depth)


def short(tag: int, vr: bytes, value: bytes, order: str = '<') -> bytes:
  return struct.pack(f'{order}HH2sH', tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def long(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
  return struct.pack('<HH2sHI', tag >> 16, tag & 0xFFFF, vr, 0, len(value) if length is None else length) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
  return struct.pack('<HHI', tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(content: bytes, *, is_open: bool = False) -> bytes:
  return implicit(0xFFFEE000, content + ITEM_END, UNDEFINED) if is_open else implicit(0xFFFEE000, content)


def values(data: bytes, encoding: Encoding = LITTLE) -> dict[int, tuple[str, bytes]]:
  found = read_elements(data, 0, len(data), encoding, budget())
  return {tag: (element.vr, data[element.start : element.end]) for tag, element in found.items()}


ROWS = short(0x00280010, b'US', b'\x07\x00')
LAST = short(0x7FE00000, b'UL', bytes(4))


@pytest.mark.parametrize(
  ('data', 'encoding', 'expected'),
  [
    (short(0x00080060, b'CS', b'CR'), LITTLE, ('CS', b'CR')),
    (short(0x00080060, b'CS', b'CR', '>'), BIG, ('CS', b'CR')),
    (short(0x00080060, b'CS', b'odd'), LITTLE, ('CS', b'odd')),
    (short(0x00080060, b'CS', b''), LITTLE, ('CS', b'')),
    (short(0x00080060, b'ZZ', b'CR'), LITTLE, ('', b'CR')),  # a VR of the future
    (long(0x00080060, b'UN', b'CR'), LITTLE, ('UN', b'CR')),
    (long(0x00080060, b'UC', b'C' * 70_000), LITTLE, ('UC', b'C' * 70_000)),
    (implicit(0x00080060, b'CR'), IMPLICIT, ('', b'CR')),
    (implicit(0x00080060, b'CR'), LITTLE, ('', b'CR')),  # implicit in the midst of explicit
    (short(0x00080060, b'CS', b'MR') + short(0x00080060, b'CS', b'CR'), LITTLE, ('CS', b'CR')),
  ],
)
def test_one_element(data: bytes, encoding: Encoding, expected: tuple[str, bytes]) -> None:
  order = '>' if encoding.order == '>' else '<'
  after = implicit(0x00280010, b'') if encoding.is_implicit else short(0x00280010, b'US', b'', order)
  assert values(data + after, encoding) == {0x00080060: expected, 0x00280010: (values(after, encoding)[0x280010])}


@pytest.mark.parametrize(
  'inside',
  [
    b'',
    item(ROWS) + item(ROWS),
    item(ROWS, is_open=True) + item(b''),
    item(long(SEQUENCE, b'SQ', item(ROWS, is_open=True) + SEQUENCE_END, UNDEFINED), is_open=True),
    item(implicit(SEQUENCE, item(ROWS) + SEQUENCE_END, UNDEFINED)),
    item(long(0x00091001, b'OB', item(SEQUENCE_END) + SEQUENCE_END, UNDEFINED), is_open=True),
  ],
)
def test_what_comes_after_a_sequence_without_length_is_found(inside: bytes) -> None:
  data = long(SEQUENCE, b'SQ', inside + SEQUENCE_END, UNDEFINED) + LAST
  assert values(data) == {SEQUENCE: ('SQ', inside), 0x7FE00000: ('UL', bytes(4))}


def test_a_forgotten_item_delimiter_does_not_hide_the_rest() -> None:
  inside = implicit(0xFFFEE000, ROWS, UNDEFINED)
  data = long(SEQUENCE, b'SQ', inside + SEQUENCE_END, UNDEFINED) + LAST
  assert 0x7FE00000 in values(data)


def test_a_value_without_items_reaches_to_the_end() -> None:
  data = long(0x7FE00010, b'OW', b'\1\2' * 50, UNDEFINED)
  assert values(data) == {0x7FE00010: ('OW', b'\1\2' * 50)}


@pytest.mark.parametrize('cut', range(1, 24))
def test_what_breaks_off_keeps_what_is_before(cut: int) -> None:
  data = ROWS + long(0x7FE00010, b'OW', b'\1\2' * 6)
  found = values(data[:-cut])
  assert found.pop(0x00280010) == ('US', b'\x07\x00')
  assert found in ({}, {0x7FE00010: ('OW', (b'\1\2' * 6)[: 12 - cut])})
  assert bool(found) == (cut <= 12)


def items(inside: bytes, *, is_open: bool) -> list[bytes]:
  data = long(SEQUENCE, b'SQ', inside + SEQUENCE_END * is_open, UNDEFINED if is_open else None)
  element = read_elements(data, 0, len(data), LITTLE, budget())[SEQUENCE]
  return [data[start:end] for start, end in read_items(data, element, LITTLE, budget())]


@pytest.mark.parametrize('is_open', [True, False])
def test_items(is_open: bool) -> None:
  nested = long(SEQUENCE, b'SQ', item(ROWS, is_open=True) + SEQUENCE_END, UNDEFINED)
  inside = item(ROWS) + item(LAST, is_open=True) + item(nested, is_open=True) + item(b'')
  assert items(inside, is_open=is_open) == [ROWS, LAST, nested, b'']


def test_items_end_where_the_sequence_breaks_off() -> None:
  data = item(ROWS) + item(ROWS)[:-3]
  found = read_items(data, Element('SQ', 0, len(data), False), LITTLE, budget())
  assert [data[start:end] for start, end in found] == [ROWS, ROWS[:-3]]


@pytest.mark.parametrize(
  ('data', 'count'),
  [
    (ROWS * 10, 10),
    (long(SEQUENCE, b'SQ', item(ROWS, is_open=True) * 3 + SEQUENCE_END, UNDEFINED), 11),  # 3 x (item, element, end)
    (long(SEQUENCE, b'SQ', item(ROWS) * 3 + SEQUENCE_END, UNDEFINED), 5),
  ],
)
def test_too_many_elements(data: bytes, count: int) -> None:
  read_elements(data, 0, len(data), LITTLE, budget(elements=count))
  with pytest.raises(InputError) as caught:
    read_elements(data, 0, len(data), LITTLE, budget(elements=count - 1))
  assert caught.value.code == 'too-large'


@pytest.mark.parametrize('depth', [1, 5])
def test_nested_too_deep(depth: int) -> None:
  data = ROWS
  for _ in range(depth):
    data = long(SEQUENCE, b'SQ', item(data, is_open=True) + SEQUENCE_END, UNDEFINED)
  read_elements(data, 0, len(data), LITTLE, budget(depth=depth))
  with pytest.raises(InputError) as caught:
    read_elements(data, 0, len(data), LITTLE, budget(depth=depth - 1))
  assert caught.value.code == 'header-corrupt'
