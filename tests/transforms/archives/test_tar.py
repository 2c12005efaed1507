import gzip
import io
import pathlib
import random
import subprocess
import tarfile

import pytest

from tests.transforms.archive_files import damage, tar_bytes, tar_info, tar_of
from tests.transforms.archives.outcomes import codes, names, read_all
from transforms.archives.reading import list_members, member_pieces
from transforms.elements import Limits
from transforms.sniff import Kind

CONTENTS = [name * 512 for name in (b'a', b'b', b'c')]
THREE = tar_bytes([(content[:1].decode(), content) for content in CONTENTS])
BOTH = pytest.mark.parametrize('pack', [bytes, gzip.compress], ids=['tar', 'tar.gz'])


@BOTH
@pytest.mark.parametrize(
  ('name', 'tar_format'),
  [
    ('folder/' * 30 + '1.dcm', tarfile.USTAR_FORMAT),
    ('n' * 5000, tarfile.GNU_FORMAT),
    ('n' * 5000, tarfile.PAX_FORMAT),
    ('Müller/Ü', tarfile.GNU_FORMAT),
    ('Müller/Ü', tarfile.PAX_FORMAT),
    ('../../etc/passwd', tarfile.USTAR_FORMAT),
    ('/etc/passwd', tarfile.USTAR_FORMAT),
    ('back\\slash\nline', tarfile.USTAR_FORMAT),
  ],
)
def test_names_are_data(pack: type[bytes], name: str, tar_format: int) -> None:
  tar = tar_bytes([(name, b'x'), ('fine', b'y')], tar_format=tar_format)
  assert read_all(pack(tar)) == [(name, 0, b'x'), ('fine', 0, b'y')]


def test_undecodable_names_stay_apart_from_those_that_look_like_them() -> None:
  data = tar_bytes([('M\udcfcller', b'1'), ('M\\xfcller', b'2'), ('M\udcfcller', b'3')])
  assert read_all(data) == [('M\\xfcller', 0, b'1'), ('M\\\\xfcller', 0, b'2'), ('M\\xfcller', 1, b'3')]


def test_a_name_may_be_empty_and_a_folder_may_hold_bytes() -> None:
  old_folder = tarfile.TarInfo('folder/')
  old_folder.size = 3
  data = tar_of(tarfile.TarInfo(''))[:512] + old_folder.tobuf(tarfile.USTAR_FORMAT) + b'abc' + bytes(509 + 1024)
  assert read_all(data) == [('\\', 0, b''), ('folder/', 0, b'abc')]


@BOTH
@pytest.mark.parametrize('kind', [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_have_rows(pack: type[bytes], kind: bytes) -> None:
  assert read_all(pack(tar_of(tar_info('a', kind), tarfile.TarInfo('b')))) == [('a', 0, 'link'), ('b', 0, b'')]


def test_the_rest_of_a_file_of_another_volume_says_so() -> None:
  assert codes(tar_of(tar_info('a', b'M'), tarfile.TarInfo('b'))) == ['archive-split', b'']


def test_a_kind_that_nobody_knows_is_a_file() -> None:
  assert codes(tar_of(tar_info('a', b'Q'))) == [b'']


@BOTH
@pytest.mark.parametrize('header', [0, 1, 2])
def test_behind_a_damaged_header_the_next_one_is_found(pack: type[bytes], header: int) -> None:
  tar = damage(THREE, header * 1024 + 5)
  assert codes(pack(tar)) == [*CONTENTS[:header], *CONTENTS[header + 1 :], 'archive-corrupt']


@BOTH
@pytest.mark.parametrize('header', [1, 2])
def test_a_header_of_zeros_is_not_taken_for_the_end(pack: type[bytes], header: int) -> None:
  tar = THREE[: header * 1024] + bytes(512) + THREE[header * 1024 + 512 :]
  assert codes(pack(tar)) == [*CONTENTS[:header], *CONTENTS[header + 1 :], 'archive-corrupt']


@BOTH
@pytest.mark.parametrize('lost', [1, 100, 511, 512, 700])
def test_behind_lost_bytes_the_next_header_is_found_wherever_it_is(pack: type[bytes], lost: int) -> None:
  tar = THREE[:600] + THREE[600 + lost :]
  outcomes = codes(pack(tar))
  assert outcomes[-2:] == [CONTENTS[2], 'archive-corrupt']
  assert len(outcomes) == (4 if lost <= 424 else 3) or outcomes[0] != CONTENTS[0]


@BOTH
@pytest.mark.parametrize('cut', [1024 + 100, 1024 + 512 + 100, 2048 + 512 + 511])
def test_a_tar_that_breaks_off_keeps_what_came_before(pack: type[bytes], cut: int) -> None:
  outcomes = codes(pack(THREE[:cut]))
  whole = cut // 1024
  assert outcomes[:whole] == CONTENTS[:whole]
  assert outcomes[whole:] == (['read-failed'] if cut % 1024 > 512 else []) + ['archive-corrupt']


@BOTH
def test_a_tar_may_end_without_an_end_marker(pack: type[bytes]) -> None:
  assert codes(pack(THREE[: 3 * 1024])) == CONTENTS


@BOTH
def test_tars_one_behind_the_other_are_all_read(pack: type[bytes]) -> None:
  assert codes(pack(THREE + tar_bytes([('d', b'4')]))) == [*CONTENTS, b'4']


@BOTH
@pytest.mark.parametrize('rest', [b'\1' * 700, b'a note'])
def test_what_stands_behind_the_end_is_no_damage(pack: type[bytes], rest: bytes) -> None:
  assert codes(pack(THREE + rest)) == CONTENTS


def test_members_of_a_tar_inside_are_not_taken_for_members() -> None:
  assert codes(tar_bytes([('i.tar', THREE), ('x', b'x')])) == [THREE, b'x']


def test_extended_headers_that_make_no_sense_are_damage_and_no_more() -> None:
  good = tar_bytes([('n' * 200, b'x'), ('b', b'y')], tar_format=tarfile.PAX_FORMAT)
  for old, new in [
    (b' path=', b' path.'),
    (b'210 path', b'999 path'),
    (b'210 path', b'000 path'),
    (b'210 p', b'x10 p'),
  ]:
    assert old in good
    assert codes(good.replace(old, new)) == [b'x', b'y', 'archive-corrupt']


def test_names_without_end_are_not_read() -> None:
  info = tar_info('././@LongLink', tarfile.GNUTYPE_LONGNAME)
  info.size = 1 << 40
  tar = info.tobuf(tarfile.GNU_FORMAT) + tar_bytes([('a', b'x')])
  assert codes(tar) == [b'x', 'archive-corrupt']


@pytest.fixture(scope='module')
def sparse_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """30 stretches of 4 KiB between holes: more than the four that fit into one header."""
  path = tmp_path_factory.mktemp('sparse') / 'image.dcm'
  with path.open('wb') as file:
    for number in range(30):
      file.seek((3 * number + 1) << 16)
      file.write(random.Random(number).randbytes(4096))
    file.truncate(100 << 16)
  return path


@BOTH
@pytest.mark.parametrize('how', [['gnu'], ['pax', '0.0'], ['pax', '0.1'], ['pax', '1.0']])
def test_sparse_files_are_filled_up(sparse_file: pathlib.Path, pack: type[bytes], how: list[str]) -> None:
  version = [f'--sparse-version={how[1]}'] if len(how) > 1 else []
  command = ['tar', '-cf', '-', '-S', f'--format={how[0]}', *version, '-C', str(sparse_file.parent), 'image.dcm']
  tar = subprocess.run(command, check=True, capture_output=True).stdout
  assert len(tar) < sparse_file.stat().st_size // 10
  assert read_all(pack(tar)) == [('image.dcm', 0, sparse_file.read_bytes())]
  assert codes(pack(tar[: len(tar) // 2])) == ['read-failed', 'archive-corrupt']


def sparse(*records: tuple[str, str], content: bytes = b'') -> bytes:
  info = tarfile.TarInfo('a')
  info.size = len(content)
  info.pax_headers = dict(records)
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT) as archive:
    archive.addfile(info, io.BytesIO(content))
    archive.addfile(tarfile.TarInfo('b'))
  return buffer.getvalue()


MAP, SIZE = 'GNU.sparse.map', 'GNU.sparse.size'
ONE = (('GNU.sparse.major', '1'), ('GNU.sparse.realsize', '9'))


@pytest.mark.parametrize(
  ('tar', 'code'),
  [
    (sparse((MAP, '1,2,4,1'), (SIZE, '6'), content=b'xyz'), b'\0xy\0z\0'),
    (sparse((MAP, '4,1,1,2'), (SIZE, '6'), content=b'xyz'), None),
    (sparse((MAP, '1,2,4'), (SIZE, '6'), content=b'xyz'), None),
    (sparse((MAP, '1,2,4,3'), (SIZE, '6'), content=b'xyz'), None),
    (sparse((MAP, '1,9,11,1'), (SIZE, '99'), content=b'xyz'), None),
    (sparse((MAP, '1,2'), content=b'xyz'), None),
    (sparse((MAP, '-1,2'), (SIZE, '6'), content=b'xyz'), None),
    (sparse((MAP, '0,3'), (SIZE, str(1 << 60)), content=b'xyz'), 'bomb'),
    (sparse(*ONE, content=b'1\n0\n3\n'.ljust(512, b'\0') + b'xyz'), b'xyz' + bytes(6)),
    (sparse(*ONE, content=b'9' * 18 + b'\n' + bytes(493)), None),
    (sparse(*ONE, content=b'no number\n'.ljust(512, b'\0')), None),
    (sparse(*ONE, content=b'1\n0\n3\n'.ljust(512, b'\0')), None),
  ],
)
def test_maps_of_sparse_files_that_make_no_sense_are_damage(tar: bytes, code: str | bytes | None) -> None:
  outcomes = codes(tar)
  assert outcomes == ([b'', 'archive-corrupt'] if code is None else [code, b''])


def test_content_is_skipped_when_a_tar_is_listed() -> None:
  big = random.Random(0).randbytes(10 << 20)
  data = tar_bytes([('a', big), ('b', b'x'), ('c', big)])
  file = Counting(data)
  members = list_members(file, Kind.TAR, Limits()).members
  assert file.bytes_read < 20_000
  assert b''.join(member_pieces(file, members[2], Limits())) == big
  assert names(data) == ['a', 'b', 'c']


class Counting(io.BytesIO):
  bytes_read = 0

  def read(self, size: int | None = -1, /) -> bytes:
    data = super().read(size)
    self.bytes_read += len(data)
    return data
