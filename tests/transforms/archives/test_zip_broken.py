import random

import pytest

from tests.transforms.archive_files import damage, zip_bytes
from tests.transforms.archives.outcomes import codes, read_ranged
from tests.transforms.raw_zip import (
  BZIP2,
  DEFLATED,
  DESCRIPTOR,
  ENCRYPTED,
  LZMA,
  STORED,
  ZSTD,
  Entry,
  raw_zip,
)
from transforms.elements import Limits
from transforms.sniff import Kind

TEXTS = [random.Random(number).randbytes(300).hex().encode() for number in range(4)]
METHODS = [STORED, DEFLATED, BZIP2, LZMA, ZSTD]


def whole(method: int = DEFLATED, flags: int = 0, large: bool = False) -> bytes:
  return raw_zip([Entry(f'{number}', text, method, flags, large=large) for number, text in enumerate(TEXTS)])


def directory_of(data: bytes) -> int:
  return data.index(b'PK\1\2')


@pytest.mark.parametrize('method', [STORED, DEFLATED, BZIP2, ZSTD])
@pytest.mark.parametrize('flags', [0, DESCRIPTOR])
@pytest.mark.parametrize('large', [False, True])
@pytest.mark.parametrize('end', ['end record', 'within the directory', 'directory'])
def test_members_are_found_without_a_directory(method: int, flags: int, large: bool, end: str) -> None:
  data = whole(method, flags, large)
  at = {'end record': len(data) - 22, 'within the directory': directory_of(data) + 60, 'directory': directory_of(data)}
  assert codes(data[: at[end]]) == [*TEXTS, 'archive-corrupt']


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('flags', [0, DESCRIPTOR])
def test_of_a_zip_that_breaks_off_all_but_the_cut_member_is_read(method: int, flags: int) -> None:
  data = whole(method, flags)
  cut = data[: data.rindex(b'PK\3\4') + 40]
  assert codes(cut) == [*TEXTS[:3], 'read-failed', 'archive-corrupt']


def test_nothing_but_the_beginning_of_a_header_is_no_member() -> None:
  assert codes(whole()[:20]) == ['archive-corrupt']
  assert codes(b'PK\5\6 and no more') == ['archive-corrupt']


@pytest.mark.parametrize('flags', [0, DESCRIPTOR])
def test_behind_a_damaged_header_the_next_one_is_found(flags: int) -> None:
  data = whole(STORED, flags)[:-10]
  second = data.index(b'PK\3\4', 1)
  outcomes = codes(damage(data, second))
  assert outcomes == [TEXTS[0], TEXTS[2], TEXTS[3], 'read-failed', 'archive-corrupt']  # the directory knows of it


def test_a_damaged_length_does_not_hide_what_follows() -> None:
  data = whole(STORED)
  cut = data[: directory_of(data)]
  second = cut.index(b'PK\3\4', 1)
  for length in (5, 5000, 1 << 30):
    damaged = cut[: second + 18] + length.to_bytes(4, 'little') + cut[second + 22 :]
    assert codes(damaged) == [TEXTS[0], 'read-failed', TEXTS[2], TEXTS[3], 'archive-corrupt']


def test_a_zip_that_lacks_bytes_in_the_middle_keeps_what_is_left() -> None:
  data = zip_bytes([('a', b'x' * 100), ('b', b'y' * 100)])
  assert codes(data[:60] + data[70:]) == ['read-failed', b'y' * 100, 'archive-corrupt']


def test_a_zip_with_bytes_put_into_the_middle_keeps_what_is_left() -> None:
  data = zip_bytes([('a', b'x' * 100), ('b', b'y' * 100)])
  assert codes(data[:60] + b'something else' + data[60:]) == ['read-failed', b'y' * 100, 'archive-corrupt']


@pytest.mark.parametrize('field', [0, 24, 28, 30, 42])  # signature, size, length of name and extra, offset
def test_a_damaged_entry_costs_at_most_its_own_member(field: int) -> None:
  data = whole(STORED)
  at = data.index(b'PK\1\2', directory_of(data) + 1) + field
  outcomes = codes(damage(data, at))
  assert [TEXTS[number] in outcomes for number in (0, 2, 3)] == [True] * 3
  assert sum(code != 'archive-corrupt' for code in outcomes) == 4


def test_entries_without_their_members_have_rows() -> None:
  data = whole()
  rows = read_ranged(data[directory_of(data) : -5], Limits(), Kind.ZIP)
  assert rows == [*((f'{number}', 0, 'read-failed') for number in range(4)), ('', -1, 'archive-corrupt')]


def test_links_are_known_from_what_is_left_of_the_directory() -> None:
  data = raw_zip([Entry('a', b'x', mode=0o120777), Entry('b', b'y')])
  assert codes(data[:-5]) == ['link', b'y', 'archive-corrupt']


def test_encrypted_members_are_stepped_over() -> None:
  entries = [Entry('a', b'?' * 500, flags=ENCRYPTED | DESCRIPTOR), Entry('b', TEXTS[0], DEFLATED, DESCRIPTOR)]
  data = raw_zip(entries)
  assert codes(data[: directory_of(data)]) == ['archive-encrypted', TEXTS[0], 'archive-corrupt']


@pytest.mark.parametrize('inner', [zip_bytes([('inner', b'x' * 5000)])])
def test_members_of_a_zip_inside_are_not_taken_for_members(inner: bytes) -> None:
  data = raw_zip([Entry('a', TEXTS[0]), Entry('i.zip', inner), Entry('b', TEXTS[1])])
  behind = data.index(inner) + len(inner)
  assert codes(data[:behind]) == [TEXTS[0], inner, 'archive-corrupt']  # the end of the file is that of the inner zip
  assert codes(data[: behind - 3000]) == [TEXTS[0], 'read-failed', 'archive-corrupt']
  assert codes(damage(data[:-22], behind)) == [TEXTS[0], inner, 'read-failed', 'archive-corrupt']


def test_volumes_say_what_they_are() -> None:
  data = whole()
  assert codes(b'PK\7\x08' + data[: directory_of(data) - 50])[-1] == 'archive-split'
  last = raw_zip([Entry(f'{number}', text) for number, text in enumerate(TEXTS)], disk=1)
  assert codes(last) == [*TEXTS, 'archive-split']
  assert codes(b'PK00' + last[:-22] + data[-22:])[-1] != 'archive-split'


def test_content_that_inflates_without_end_is_not_followed() -> None:
  entries = [Entry('a', bytes(64 << 20), BZIP2, DESCRIPTOR), Entry('b', b'x', DEFLATED)]
  data = raw_zip(entries)
  assert codes(data[: directory_of(data)]) == ['bomb', b'x', 'archive-corrupt']


def test_a_scan_stops_beyond_the_limit_of_members() -> None:
  data = whole()[:-5]
  assert codes(data, Limits(max_members=4)) == [*TEXTS, 'archive-corrupt']
  assert codes(data, Limits(max_members=3)) == ['bomb']


def test_headers_that_have_the_same_bytes_read_again_and_again_come_to_an_end() -> None:
  header = Entry('a', b'', STORED, DESCRIPTOR, packed=b'', sign_descriptor=False).local()[:31]
  data = header * 3000 + random.Random(0).randbytes(1 << 20)  # 3 GB, were each to look for its end
  outcomes = codes(data)
  assert outcomes[-1] == 'archive-corrupt'
  assert set(outcomes[:-1]) == {'read-failed'}
