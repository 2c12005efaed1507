import bz2
import gzip
import io
import lzma
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from tests.transforms.archive_files import damage, patch, tar_bytes, tar_info, tar_of, zip_bytes
from transforms.archives import Member, is_archive, list_members, printable, read_member, stream_members
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.sniff import Kind, sniff

LONG = '/'.join(['a folder with a long name'] * 12) + '/1.dcm'
MEMBERS = [('a/1.dcm', b'first'), ('a/1.dcm', b'second'), (LONG, bytes(3000)), ('empty', b'')]
NUMBERED = [('a/1.dcm', 0, b'first'), ('a/1.dcm', 1, b'second'), (LONG, 0, bytes(3000)), ('empty', 0, b'')]
CENTRAL, LOCAL = b'PK\x01\x02', b'PK\x03\x04'

Outcome = tuple[str, int, bytes | str]


def read_all(data: bytes, limits: Limits | None = None) -> list[Outcome]:
  """Name, occurrence, and content or reason code of every member, and in the end the code of the archive."""
  limits = limits or Limits()
  kind, file = sniff(data), io.BytesIO(data)
  outcomes: list[Outcome] = []
  try:
    if kind in (Kind.ZIP, Kind.TAR):
      listed = list_members(file, kind, limits)
      outcomes.extend((member.name, member.occurrence, read_or_code(file, member, limits)) for member in listed)
    else:
      for member, content in stream_members(file, kind, limits):
        outcomes.append((member.name, member.occurrence, content if isinstance(content, bytes) else content.code))
  except InputError as error:
    outcomes.append(('', -1, error.code))
  return outcomes


def read_or_code(file: io.BytesIO, member: Member, limits: Limits) -> bytes | str:
  try:
    return read_member(file, member, limits)
  except InputError as error:
    return error.code


def codes(data: bytes, limits: Limits | None = None) -> list[bytes | str]:
  return [outcome for _, _, outcome in read_all(data, limits)]


ARCHIVES = {
  'zip, stored': zip_bytes(MEMBERS),
  'zip, deflate': zip_bytes(MEMBERS, zipfile.ZIP_DEFLATED),
  'zip, bzip2': zip_bytes(MEMBERS, zipfile.ZIP_BZIP2),
  'zip, with a comment': zip_bytes(MEMBERS, comment=b'exported in 2024'),
  'tar, gnu': tar_bytes(MEMBERS),
  'tar, pax': tar_bytes(MEMBERS, tar_format=tarfile.PAX_FORMAT),
  'tar.gz': tar_bytes(MEMBERS, 'w:gz'),
  'tar.bz2': tar_bytes(MEMBERS, 'w:bz2'),
  'tar.xz': tar_bytes(MEMBERS, 'w:xz', tarfile.PAX_FORMAT),
}


@pytest.mark.parametrize('name', ARCHIVES)
def test_members_come_with_their_content_and_repeated_names_are_numbered(name: str) -> None:
  assert read_all(ARCHIVES[name]) == NUMBERED


def test_ustar_splits_a_long_name_over_two_fields() -> None:
  short = LONG[-200:]
  assert read_all(tar_bytes([(short, b'x')], tar_format=tarfile.USTAR_FORMAT)) == [(short, 0, b'x')]


def test_a_zip_behind_other_bytes_is_read_where_it_is() -> None:
  data = b'MZ a self-extracting archive' + zip_bytes(MEMBERS, zipfile.ZIP_DEFLATED)
  file = io.BytesIO(data)
  members = list_members(file, Kind.ZIP, Limits())
  assert [read_member(file, member, Limits()) for member in members] == [content for _, content in MEMBERS]


@pytest.mark.parametrize(
  'data',
  [
    zip_bytes([('folder/', b''), ('folder/x', b'x')]),
    tar_of(tar_info('folder', tarfile.DIRTYPE), tarfile.TarInfo('folder/x')),
    gzip.compress(tar_of(tar_info('folder', tarfile.DIRTYPE), tarfile.TarInfo('folder/x'))),
  ],
  ids=['zip', 'tar', 'tar.gz'],
)
def test_folders_are_no_members(data: bytes) -> None:
  assert [name for name, _, _ in read_all(data)] == ['folder/x']


@pytest.mark.parametrize('compress', [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_alone_is_one_member_without_name(compress: Callable[[bytes], bytes]) -> None:
  assert read_all(compress(b'a picture')) == [('', 0, b'a picture')]


@pytest.mark.parametrize(
  ('kind', 'expected'), [(Kind.ZIP, True), (Kind.XZ, True), (Kind.TAR, True), (Kind.DICOM, False), (Kind.ZSTD, False)]
)
def test_only_what_can_be_opened_is_an_archive(kind: Kind, expected: bool) -> None:
  assert is_archive(kind) == expected


def test_undecodable_names_are_escaped_and_stay_apart() -> None:
  data = tar_bytes([('M\udcfcller', b'1'), ('M\\xfcller', b'2')])
  assert read_all(data) == [('M\\xfcller', 0, b'1'), ('M\\xfcller', 1, b'2')]
  assert printable('M\udcfcller/Ü') == 'M\\xfcller/Ü'


def test_a_member_cannot_be_called_like_a_member_of_an_inner_archive() -> None:
  assert [name for name, _, _ in read_all(zip_bytes([('a.zip!/b', b'')]))] == [r'a.zip!\/b']


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize('at', range(40, 60, 3))
def test_damaged_bytes_cost_that_member_only(method: int, at: int) -> None:
  content = random.Random(1).randbytes(400)
  data = zip_bytes([('a', content), ('b', content)], method)
  assert codes(damage(data, at)) == ['read-failed', content]


def test_a_checksum_that_does_not_fit_is_told() -> None:
  data = patch(zip_bytes([('a', b'content')]), CENTRAL, 16, b'\0\0\0\0')
  file = io.BytesIO(data)
  [member] = list_members(file, Kind.ZIP, Limits())
  with pytest.raises(InputError, match='checksum'):
    read_member(file, member, Limits())


@pytest.mark.parametrize(
  ('data', 'code'),
  [
    (patch(patch(zip_bytes([('a', b'x')]), LOCAL, 6, b'\1'), CENTRAL, 8, b'\1'), 'archive-encrypted'),
    (zip_bytes([('a', b'x')], zipfile.ZIP_LZMA), 'archive-method'),
    (patch(zip_bytes([('a', b'x')]), CENTRAL, 38, (stat.S_IFLNK << 16).to_bytes(4, 'little')), 'link'),
    (tar_of(tar_info('a', tarfile.SYMTYPE)), 'link'),
    (tar_of(tar_info('a', tarfile.LNKTYPE)), 'link'),
    (tar_of(tar_info('a', tarfile.CHRTYPE)), 'link'),
    (tar_of(tar_info('a', tarfile.FIFOTYPE)), 'link'),
    (gzip.compress(tar_of(tar_info('a', tarfile.BLKTYPE))), 'link'),
  ],
)
def test_what_cannot_be_read_has_a_code(data: bytes, code: str) -> None:
  assert codes(data) == [code]


def test_a_zip_member_without_its_local_header_cannot_be_read() -> None:
  whole = zip_bytes([('a', b'x'), ('b', b'y')])
  assert codes(damage(whole, whole.rindex(LOCAL))) == [b'x', 'read-failed']


@pytest.mark.parametrize('end', [1, 21, 60, 200])
def test_a_zip_without_its_end_is_corrupt(end: int) -> None:
  assert codes(zip_bytes(MEMBERS)[:-end]) == ['archive-corrupt']


def test_a_zip_that_lacks_bytes_in_the_middle_keeps_what_is_left() -> None:
  data = zip_bytes([('a', b'x' * 100), ('b', b'y' * 100)])
  assert codes(data[:60] + data[70:]) == ['read-failed', b'y' * 100]


@pytest.mark.parametrize('cut', [512 + 100, 1024 + 100, 1024 + 512 + 100])
def test_a_truncated_tar_is_corrupt(cut: int) -> None:
  assert codes(tar_bytes([('a', b'x' * 400), ('b', b'y' * 400)])[:cut]) == ['archive-corrupt']


@pytest.mark.parametrize('header', [0, 1, 2])
def test_a_damaged_header_is_not_taken_for_the_end(header: int) -> None:
  contents = [name * 512 for name in (b'a', b'b', b'c')]
  tar = damage(tar_bytes([(content[:1].decode(), content) for content in contents]), header * 1024 + 5)
  assert codes(tar) == ['archive-corrupt']
  assert codes(gzip.compress(tar)) == [*contents[:header], 'archive-corrupt']


def test_a_tar_may_end_without_an_end_marker() -> None:
  tar = tar_bytes([('a', b'x' * 512), ('b', b'y')])
  assert codes(tar[:2048]) == [b'x' * 512, b'y']


@pytest.mark.parametrize('compress', [gzip.compress, lambda data: bz2.compress(data, 1), lzma.compress])
def test_a_stream_that_breaks_off_gives_what_came_before(compress: Callable[[bytes], bytes]) -> None:
  contents = [random.Random(seed).randbytes(200 << 10) for seed in range(3)]
  data = compress(tar_bytes([(str(number), content) for number, content in enumerate(contents)]))
  assert codes(data[: len(data) * 29 // 30]) == [*contents[:2], 'archive-corrupt']


def test_the_checksum_behind_a_stream_is_read() -> None:
  contents = [random.Random(seed).randbytes(100 << 10) for seed in range(2)]
  stream = gzip.compress(
    tar_bytes([(str(number), content) for number, content in enumerate(contents)]) + bytes(2 << 20)
  )
  assert codes(damage(stream, len(stream) - 6)) == [*contents, 'archive-corrupt']


@pytest.mark.parametrize('data', [zip_bytes(MEMBERS), tar_bytes(MEMBERS), tar_bytes(MEMBERS, 'w:gz')])
def test_one_member_too_many_is_a_bomb(data: bytes) -> None:
  assert codes(data, Limits(max_members=4))[-1] == b''
  assert codes(data, Limits(max_members=3))[-1] == 'bomb'


@pytest.mark.parametrize('data', [zip_bytes([('a', b'12345')]), tar_bytes([('a', b'12345')], 'w:gz')])
def test_members_are_read_up_to_the_limit_and_not_beyond(data: bytes) -> None:
  assert codes(data, Limits(max_member_bytes=5)) == [b'12345']
  assert codes(data, Limits(max_member_bytes=4)) == ['too-large']


def test_a_compressed_file_alone_is_read_up_to_the_limit_and_not_beyond() -> None:
  assert codes(gzip.compress(b'12345'), Limits(max_member_bytes=5)) == [b'12345']
  assert codes(gzip.compress(b'12345'), Limits(max_member_bytes=4)) == ['bomb']


def test_the_ratio_counts_for_large_members_only() -> None:
  data = zip_bytes([('small', bytes(16 << 20)), ('large', bytes((16 << 20) + 1))], zipfile.ZIP_DEFLATED)
  small, large = list_members(io.BytesIO(data), Kind.ZIP, Limits())
  ratio = -(-large.size_bytes // large.packed_bytes)
  outcomes = [codes(data, Limits(max_inflation_ratio=limit)) for limit in (ratio, ratio - 1)]
  assert outcomes == [[bytes(small.size_bytes), bytes(large.size_bytes)], [bytes(small.size_bytes), 'bomb']]


@pytest.mark.parametrize(('declared', 'code'), [(999, 'bomb'), (1000, None), (1001, 'read-failed')])
@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_member_that_lies_about_its_size_is_told(method: int, declared: int, code: str | None) -> None:
  data = patch(zip_bytes([('a', bytes(1000))], method), CENTRAL, 24, declared.to_bytes(4, 'little'))
  assert codes(data) == [code or bytes(1000)]


def test_what_a_member_claims_to_take_in_the_archive_is_bounded_as_well() -> None:
  member = Member('a', 0, 0, packed_bytes=1 << 60, size_bytes=1)
  with pytest.raises(InputError, match='too-large'):
    read_member(io.BytesIO(b'x'), member, Limits())
