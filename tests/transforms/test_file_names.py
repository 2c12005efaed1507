import pytest

from tests.transforms.archive_files import tar_bytes, zip_bytes
from transforms.file_names import inflated_name, is_volume, kind_of, suffix_of
from transforms.sniff import HEAD_BYTES, Kind

NOISE = bytes(range(1, 255)) * 4
PLAIN = zip_bytes([('x', b'')])


@pytest.mark.parametrize(
  ('head', 'name', 'kind'),
  [
    (PLAIN, 'export.zip', Kind.ZIP),
    (PLAIN, 'IM0001', Kind.ZIP),
    (PLAIN, 'a.dcm', Kind.ZIP),
    (PLAIN, 'viewer.jar', Kind.AUXILIARY),
    (PLAIN, 'Befund.DOCX', Kind.AUXILIARY),
    (zip_bytes([('META-INF/MANIFEST.MF', b'')]), 'viewer', Kind.AUXILIARY),
    (zip_bytes([('META-INF/MANIFEST.MF', b'')]), 'export.zip', Kind.ZIP),
    (zip_bytes([('[Content_Types].xml', b'')]), 'report', Kind.AUXILIARY),
    (zip_bytes([('mimetype', b'application/epub+zip')]), 'report', Kind.AUXILIARY),
    (tar_bytes([('x', b'')]), 'a.zip', Kind.TAR),
    (b'\xff\xd8\xff', 'a.zip', Kind.JPEG),
    (NOISE, 'a.zip', Kind.ZIP),
    (NOISE, 'A.ZIP', Kind.ZIP),
    (NOISE, 'a.tar', Kind.TAR),
    (NOISE, 'a.tar.gz', Kind.GZIP),
    (NOISE, 'a.tbz2', Kind.BZIP2),
    (NOISE, 'a.txz', Kind.XZ),
    (NOISE, 'a.tar.zst', Kind.ZSTD),
    (b'<html>', 'a.zip', Kind.ZIP),
    (b'', 'a.zip', Kind.EMPTY),
    (b'', 'IM0001', Kind.EMPTY),
    (b'', 'a.ini', Kind.AUXILIARY),
    (b'<html>', 'IM0001', Kind.AUXILIARY),
    (NOISE, 'IM0001', Kind.UNKNOWN),
    (NOISE, 'a.dcm', Kind.UNKNOWN),
    (NOISE, 'zip', Kind.UNKNOWN),
    (NOISE, 'viewer/lib.dll', Kind.AUXILIARY),
    (NOISE, 'VIEWER\\LIB.DLL', Kind.AUXILIARY),
    (NOISE, 'disc/Thumbs.db', Kind.AUXILIARY),
    (NOISE, 'DICOMDIR', Kind.AUXILIARY),
    (NOISE, '.DS_Store', Kind.AUXILIARY),
    (NOISE, 'x/._IM0001', Kind.AUXILIARY),
    (NOISE, '__MACOSX/IM0001', Kind.AUXILIARY),
    (NOISE, '__MACOSX', Kind.UNKNOWN),
  ],
)
def test_content_decides_and_then_the_name(head: bytes, name: str, kind: Kind) -> None:
  assert kind_of(head[:HEAD_BYTES], name) is kind


@pytest.mark.parametrize(
  ('name', 'suffix'), [('a.b/c', ''), ('a.b\\c', ''), ('a.TXT', 'txt'), ('.profile', 'profile'), ('a.', ''), ('', '')]
)
def test_the_suffix_is_that_of_the_last_part(name: str, suffix: str) -> None:
  assert suffix_of(name) == suffix


@pytest.mark.parametrize(
  ('name', 'expected'),
  [('a.z01', True), ('a.Z99', True), ('a.zip.001', True), ('a.7z.002', True), ('a.zip', False), ('im.001', False)],
)
def test_volumes_are_told_by_their_names(name: str, expected: bool) -> None:
  assert is_volume(name) == expected


@pytest.mark.parametrize(
  ('name', 'before'),
  [('a.tar.gz', 'a.tar'), ('A.TGZ', 'A.tar'), ('a.dcm.xz', 'a.dcm'), ('a.zip', 'a.zip'), ('a.dcm', 'a.dcm'), ('', '')],
)
def test_a_compressed_file_had_another_name_before(name: str, before: str) -> None:
  assert inflated_name(name) == before
