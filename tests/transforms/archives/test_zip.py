import io
import random
import stat
import struct
import zipfile
import zlib

import pytest

from tests.transforms.archive_files import damage, patch, zip_bytes
from tests.transforms.archives.outcomes import codes, names, read_all
from tests.transforms.raw_zip import (
  AES,
  BZIP2,
  DEFLATE64,
  DEFLATED,
  DESCRIPTOR,
  ENCRYPTED,
  LZMA,
  STORED,
  UTF8,
  XZ,
  ZSTD,
  Entry,
  deflate,
  raw_zip,
  zip_lzma,
)
from transforms.archives.reading import list_members, member_pieces
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.sniff import Kind

CENTRAL, LOCAL = b'PK\x01\x02', b'PK\x03\x04'
TEXT = b'some text that is worth compressing, ' * 20
METHODS = [STORED, DEFLATED, BZIP2, LZMA, ZSTD, XZ]


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('large', [False, True])
@pytest.mark.parametrize('flags', [0, DESCRIPTOR])
@pytest.mark.parametrize('signed', [True, False])
def test_methods_large_fields_and_late_sizes(method: int, large: bool, flags: int, signed: bool) -> None:
  entries = [
    Entry(name, content, method, flags, large=large, sign_descriptor=signed)
    for name, content in [('a', TEXT), ('b', b''), ('c', TEXT[::-1])]
  ]
  assert read_all(raw_zip(entries, large=large)) == [('a', 0, TEXT), ('b', 0, b''), ('c', 0, TEXT[::-1])]


def test_what_is_written_here_by_hand_is_what_zipfile_reads() -> None:
  entries = [Entry('a', TEXT, DEFLATED, DESCRIPTOR), Entry('b', TEXT, LZMA, large=True), Entry('c', TEXT)]
  for large in (False, True):
    with zipfile.ZipFile(io.BytesIO(raw_zip(entries, large=large, prefix=b'MZ', comment=b'x'))) as archive:
      assert [archive.read(info) for info in archive.infolist()] == [TEXT] * 3


@pytest.mark.parametrize('count_prefix', [True, False])
@pytest.mark.parametrize('large', [True, False])
def test_a_zip_behind_other_bytes_is_read_where_it_is(count_prefix: bool, large: bool) -> None:
  data = raw_zip([Entry('a', TEXT), Entry('b', b'x')], prefix=b'MZ' * 50, count_prefix=count_prefix, large=large)
  members = list_members(io.BytesIO(data), Kind.ZIP, Limits()).members
  assert [b''.join(member_pieces(io.BytesIO(data), member, Limits())) for member in members] == [TEXT, b'x']


@pytest.mark.parametrize('behind', [b'\0' * 1000, b'appended', b'PK\5\6 is in here'])
def test_a_zip_before_other_bytes_is_read(behind: bytes) -> None:
  assert codes(zip_bytes([('a', b'x')], comment=b'comment') + behind) == [b'x']


def test_a_comment_may_look_like_an_end() -> None:
  fake = zip_bytes([])
  assert codes(zip_bytes([('a', b'x')], comment=fake + b'y')) == [b'x']
  assert codes(zip_bytes([('a', b'x')], comment=bytes(65_535))) == [b'x']


@pytest.mark.parametrize('large', [True, False])  # old writers counted modulo 65,536
def test_there_may_be_more_members_than_16_bits_count(large: bool) -> None:
  local = Entry('', b'').local()
  entries = [Entry(f'{number}', offset=0, in_file=number == 0) for number in range(65_540)]
  data = raw_zip(entries, large=large, count=65_540 if large else 4)
  listing = list_members(io.BytesIO(data), Kind.ZIP, Limits())
  assert len(local) == 30
  assert listing.problem is None
  assert [member.name for member in listing.members] == [f'{number}' for number in range(65_540)]


@pytest.mark.parametrize(
  ('raw', 'flags', 'extra', 'name'),
  [
    ('Müller/Ü'.encode(), UTF8, b'', 'Müller/Ü'),
    ('Müller/Ü'.encode(), 0, b'', 'Müller/Ü'),  # what macOS writes
    (b'M\x81ller', 0, b'', 'Müller'),  # code page 437
    (b'M\xfcller', UTF8, b'', r'M\xfcller'),
    (b'M\x81ller', 0, b'\x75\x70\x0c\0\1' + struct.pack('<L', zlib.crc32(b'M\x81ller')) + 'Mü!'.encode()[:7], 'Mü!'),
    (b'M\x81ller', 0, b'\x75\x70\x06\0\1' + bytes(4) + b'?', 'Müller'),
    (b'../../etc/passwd', 0, b'', '../../etc/passwd'),
    (b'/etc/passwd', 0, b'', '/etc/passwd'),
    (b'C:\\exports\\1.dcm', 0, b'', 'C:\\exports\\1.dcm'),
    (b'nul\0in\x01side\n', 0, b'', 'nul\0in\x01side\n'),
    (b'n' * 65_535, 0, b'', 'n' * 65_535),
    (b'', 0, b'', '\\'),
    (b'.', 0, b'', '.'),
  ],
)
def test_names_are_data(raw: bytes, flags: int, extra: bytes, name: str) -> None:
  if extra:
    extra = extra[:2] + struct.pack('<H', len(extra) - 4) + extra[4:]
  assert read_all(raw_zip([Entry(raw, b'x', flags=flags, extra=extra), Entry('fine', b'y')])) == [
    (name, 0, b'x'),
    ('fine', 0, b'y'),
  ]


def test_a_member_cannot_be_called_like_a_member_of_an_inner_archive() -> None:
  assert names(zip_bytes([('a.zip!/b', b'')])) == [r'a.zip!\/b']


def test_a_folder_that_holds_bytes_is_a_member() -> None:
  data = raw_zip([Entry('folder/', b'x'), Entry('folder/', b''), Entry('dos\\', b''), Entry('dos\\', b'y')])
  assert read_all(data) == [('folder/', 0, b'x'), ('dos\\\\', 0, b'y')]


@pytest.mark.parametrize(
  ('entry', 'code'),
  [
    (Entry('a', b'x', flags=ENCRYPTED), 'archive-encrypted'),
    (Entry('a', b'x', AES), 'archive-encrypted'),
    (Entry('a', b'x', DEFLATE64), 'archive-method'),
    (Entry('a', b'x', 77), 'archive-method'),
    (Entry('a', b'x', flags=0x20), 'archive-method'),
    (Entry('a', b'x', mode=stat.S_IFLNK), 'link'),
    (Entry('a', b'x', mode=stat.S_IFBLK), 'link'),
    (Entry('a', b'x', mode=stat.S_IFIFO), 'link'),
    (Entry('a', TEXT, DEFLATED, packed=deflate(TEXT)[:-9]), 'read-failed'),
    (Entry('a', TEXT, LZMA, packed=zip_lzma(TEXT)[:5]), 'read-failed'),
    (Entry('a', TEXT, LZMA, packed=zip_lzma(TEXT, 256 << 20)), TEXT),
    (Entry('a', TEXT, LZMA, packed=zip_lzma(TEXT, (256 << 20) + 1)), 'bomb'),
    (Entry('a', TEXT, ZSTD, packed=b'\x28\xb5\x2f\xfd garbage'), 'read-failed'),
    (Entry('a', b'x', crc32=1), 'read-failed'),
    (Entry('a', b'x', offset=1 << 30), 'read-failed'),
  ],
)
def test_what_cannot_be_read_has_a_code_and_leaves_the_others_alone(entry: Entry, code: str | bytes) -> None:
  assert codes(raw_zip([entry, Entry('b', TEXT, DEFLATED)])) == [code, TEXT]


def test_the_mode_of_a_link_counts_where_there_are_modes() -> None:
  assert codes(raw_zip([Entry('a', b'x', mode=stat.S_IFLNK, host=0)])) == [b'x']


@pytest.mark.parametrize(('declared', 'code'), [(999, 'bomb'), (1000, None), (1001, 'read-failed')])
@pytest.mark.parametrize('method', METHODS)
def test_a_member_that_lies_about_its_size_is_told(method: int, declared: int, code: str | None) -> None:
  code = 'read-failed' if code and method == STORED else code
  assert codes(raw_zip([Entry('a', bytes(1000), method, size=declared)])) == [code or bytes(1000)]


def test_a_checksum_that_does_not_fit_is_told() -> None:
  file = io.BytesIO(patch(zip_bytes([('a', b'content')]), CENTRAL, 16, b'\0\0\0\0'))
  [member] = list_members(file, Kind.ZIP, Limits()).members
  with pytest.raises(InputError, match='checksum'):
    list(member_pieces(file, member, Limits()))


def test_the_signature_of_a_local_header_may_be_damaged() -> None:
  whole = zip_bytes([('a', b'x'), ('b', b'y')])
  assert codes(damage(whole, whole.rindex(LOCAL))) == [b'x', b'y']


def test_members_larger_than_a_piece_come_whole() -> None:
  content = random.Random(0).randbytes(1 << 20) * 20
  for method in (STORED, DEFLATED, ZSTD):
    assert codes(raw_zip([Entry('a', content, method)])) == [content]


def test_the_listing_of_a_whole_zip_reads_its_end_alone() -> None:
  content = random.Random(0).randbytes(3 << 20)
  data = raw_zip([Entry(f'{number}', content) for number in range(4)])
  file = Recording(data)
  members = list_members(file, Kind.ZIP, Limits()).members
  assert min(start for start, _ in file.ranges) >= len(data) - (1 << 20)
  file.ranges.clear()
  assert b''.join(member_pieces(file, members[2], Limits())) == content
  wanted = members[2].offset, members[2].offset + len(content) + 31
  assert all(wanted[0] <= start and stop <= wanted[1] for start, stop in file.ranges)


class Recording(io.BytesIO):
  """Knows what was read of it."""

  def __init__(self, data: bytes) -> None:
    super().__init__(data)
    self.ranges: list[tuple[int, int]] = []

  def read(self, size: int | None = -1, /) -> bytes:
    start = self.tell()
    data = super().read(size)
    self.ranges.append((start, start + len(data)))
    return data
