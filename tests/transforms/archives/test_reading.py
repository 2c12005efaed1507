import gzip
import random
import tarfile
import zipfile

import pytest

from tests.transforms.archive_files import damage, tar_bytes, tar_info, tar_of, zip_bytes
from tests.transforms.archives.outcomes import codes, names, read_all
from transforms.elements import Limits

LONG = '/'.join(['a folder with a long name'] * 12) + '/1.dcm'
MEMBERS = [('a/1.dcm', b'first'), ('a/1.dcm', b'second'), (LONG, bytes(3000)), ('empty', b'')]
NUMBERED = [('a/1.dcm', 0, b'first'), ('a/1.dcm', 1, b'second'), (LONG, 0, bytes(3000)), ('empty', 0, b'')]

ARCHIVES = {
  'zip, stored': zip_bytes(MEMBERS),
  'zip, deflate': zip_bytes(MEMBERS, zipfile.ZIP_DEFLATED),
  'zip, bzip2': zip_bytes(MEMBERS, zipfile.ZIP_BZIP2),
  'zip, lzma': zip_bytes(MEMBERS, zipfile.ZIP_LZMA),
  'zip, with a comment': zip_bytes(MEMBERS, comment=b'exported in 2024'),
  'tar, gnu': tar_bytes(MEMBERS),
  'tar, pax': tar_bytes(MEMBERS, tar_format=tarfile.PAX_FORMAT),
  'tar.gz': tar_bytes(MEMBERS, 'w:gz'),
  'tar.bz2': tar_bytes(MEMBERS, 'w:bz2'),
  'tar.xz': tar_bytes(MEMBERS, 'w:xz', tarfile.PAX_FORMAT),
  'tar.zst': tar_bytes(MEMBERS, 'w:zst', tarfile.PAX_FORMAT),
}


@pytest.mark.parametrize('name', ARCHIVES)
def test_members_come_with_their_content_and_repeated_names_are_numbered(name: str) -> None:
  assert read_all(ARCHIVES[name]) == NUMBERED


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
  assert names(data) == ['folder/x']


@pytest.mark.parametrize('data', [zip_bytes([]), gzip.compress(tar_of(tar_info('folder', tarfile.DIRTYPE)))])
def test_an_archive_without_members_says_so(data: bytes) -> None:
  assert codes(data) == ['archive-empty']


@pytest.mark.parametrize('data', [zip_bytes(MEMBERS), tar_bytes(MEMBERS), tar_bytes(MEMBERS, 'w:gz')])
def test_one_member_too_many_is_a_bomb(data: bytes) -> None:
  assert codes(data, Limits(max_members=4))[-1] == b''
  assert codes(data, Limits(max_members=3))[-1] == 'bomb'


@pytest.mark.parametrize(
  'data', [zip_bytes([('a', b'12345')]), tar_bytes([('a', b'12345')], 'w:gz'), gzip.compress(b'12345')]
)
def test_members_are_read_up_to_the_limit_and_not_beyond(data: bytes) -> None:
  assert codes(data, Limits(max_member_bytes=5)) == [b'12345']
  assert codes(data, Limits(max_member_bytes=4)) == ['too-large']


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize('at', range(40, 60, 3))
def test_damaged_bytes_cost_that_member_only(method: int, at: int) -> None:
  content = random.Random(1).randbytes(400)
  data = zip_bytes([('a', content), ('b', content)], method)
  assert codes(damage(data, at)) == ['read-failed', content]
