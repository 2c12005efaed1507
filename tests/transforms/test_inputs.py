import os
import pathlib

import pytest

from tests.transforms.archive_files import damage, tar_bytes, zip_bytes
from transforms.elements import Limits
from transforms.inputs import Input, list_input, name_inputs

TWO = [('1', b'x'), ('2', b'y')]


@pytest.mark.parametrize(
  ('paths', 'names'),
  [
    (['/mnt/a/export'], ['export']),
    (['/mnt/a/export.zip', '/mnt/b/other.zip'], ['export.zip', 'other.zip']),
    (['/mnt/a/export', '/mnt/b/export'], ['a/export', 'b/export']),
    (['/x/m/a/e', '/y/m/a/e', '/z/e'], ['x/m/a/e', 'y/m/a/e', 'z/e']),
    (['/export', '/a/export'], ['export', 'a/export']),
    (['gs://bucket/night/1', '/mnt/1'], ['night/1', 'mnt/1']),
    (['/mnt/in/*.zip'], ['in']),
    (['/mnt/in/*/a/*.zip'], ['in']),
    (['/'], ['input']),
    (['/x/in', '/y/in/a.zip', '/z/a.zip'], ['x/in', 'y/in/a.zip', 'z/a.zip']),
    (['/in', '/y/in/a.zip', '/z/a.zip'], ['in', 'y/in/a.zip', 'z/a.zip']),
    (['/x/in', '/x/in/a.zip'], ['in', 'a.zip']),
  ],
)
def test_inputs_are_called_by_the_last_of_their_path_that_tells_them_apart(paths: list[str], names: list[str]) -> None:
  assert [given.name for given in name_inputs(paths)] == names


def test_relative_paths_are_named_like_absolute_ones(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  (tmp_path / 'export' / 'sub').mkdir(parents=True)
  expected = [Input(str(tmp_path / 'export'), 'export')]
  for folder, path in (('.', 'export'), ('export', '.'), ('export/sub', '..')):
    monkeypatch.chdir(tmp_path / folder)
    assert name_inputs([path]) == expected


def test_names_do_not_depend_on_where_the_inputs_are_mounted(tmp_path: pathlib.Path) -> None:
  listings = []
  for mount in ('here', 'there/deeper'):
    root = tmp_path / mount / 'export'
    (root / 'day').mkdir(parents=True)
    (root / 'day' / 'a.zip').write_bytes(zip_bytes(TWO))
    (root / 'day' / '3.dcm').write_bytes(b'z')
    listings.append(listed(str(root)))
  assert listings[0] == listings[1] == [('export', 'folder', ['day/3.dcm']), ('export/day/a.zip', 'zip', ['1', '2'])]


def listed(path: str, limits: Limits | None = None) -> list[tuple[str, str, list[str]]]:
  """Archive, kind, and members of every batch of one input."""
  [given] = name_inputs([path])
  batches = list_input(given, limits or Limits())
  return sorted((b.archive.name, b.archive.kind, [member.name for member in b.members]) for b in batches)


@pytest.mark.parametrize(
  ('name', 'content', 'expected'),
  [
    ('a.zip', zip_bytes(TWO), ('zip', ['1', '2'])),
    ('a.dcm', zip_bytes(TWO), ('zip', ['1', '2'])),
    ('a.tar', tar_bytes(TWO), ('tar', ['1', '2'])),
    ('a.tgz', tar_bytes(TWO, 'w:gz'), ('stream', [])),
    ('a.tar.zst', tar_bytes(TWO, 'w:zst'), ('stream', [])),
    ('a.zip', b'PK\x03\x04 and no more', ('broken', [])),
    ('a.zip', zip_bytes([]), ('broken', [])),
    ('a.zip', b'<html>The export failed', ('broken', [])),
    ('a.tar', bytes(10_240), ('broken', [])),
    ('a.dcm', bytes(10_240), ('folder', [''])),
    ('a.tar', bytes(512) + tar_bytes(TWO)[512:1024], ('broken', [])),
    ('a.tgz', b'<html>The export failed', ('stream', [])),
    ('a.exe', b'MZ' + bytes(99) + zip_bytes(TWO), ('zip', ['1', '2'])),
    ('a.exe', b'MZ' + bytes(99) + zip_bytes([('META-INF/MANIFEST.MF', b''), *TWO]), ('folder', [''])),
    ('a.exe', b'MZ' + bytes(99), ('folder', [''])),
    ('a.bin', b'\1\2\3' + zip_bytes(TWO), ('zip', ['1', '2'])),
    ('a.jar', zip_bytes(TWO), ('folder', [''])),
    ('a', zip_bytes([('[Content_Types].xml', b'<'), *TWO]), ('folder', [''])),
    ('a.zip', b'', ('folder', [''])),
  ],
)
def test_a_single_file_is_told_by_its_content(
  tmp_path: pathlib.Path, name: str, content: bytes, expected: tuple[str, list[str]]
) -> None:
  (tmp_path / name).write_bytes(content)
  assert listed(str(tmp_path / name)) == [(name, *expected)]


@pytest.mark.parametrize(
  ('content', 'limits', 'members', 'problem'),
  [
    (zip_bytes(TWO)[:-9], Limits(), ['1', '2'], ('archive-corrupt', 'the central directory is damaged or missing')),
    (zip_bytes(TWO)[:-90], Limits(), ['1', '2'], ('archive-corrupt', 'the central directory is damaged or missing')),
    (tar_bytes(TWO)[:700], Limits(), ['1'], ('archive-corrupt', 'breaks off')),
    (damage(tar_bytes(TWO), 1024), Limits(), ['1'], ('archive-corrupt', 'a header is damaged')),
    (zip_bytes([('folder/', b'')]), Limits(), [], ('archive-empty', '')),
    (zip_bytes(TWO), Limits(max_members=1), [], ('bomb', 'more than 1 members')),
    (tar_bytes(TWO), Limits(max_members=1), [], ('bomb', 'more than 1 members')),
  ],
)
def test_an_archive_that_is_broken_says_why_beside_its_members(
  tmp_path: pathlib.Path, content: bytes, limits: Limits, members: list[str], problem: tuple[str, str]
) -> None:
  (tmp_path / 'a').write_bytes(content)
  *listed, broken = list_input(Input(str(tmp_path / 'a'), 'a'), limits)
  assert [member.name for batch in listed for member in batch.members] == members
  assert (broken.archive.kind, broken.members, broken.archive.problem) == ('broken', (), problem)


@pytest.mark.parametrize(
  ('glob', 'expected'),
  [
    ('in', [('in', 'folder', ['1', 'sub/2', 'sub/3']), ('in/sub/a.zip', 'zip', ['1', '2'])]),
    ('in/', [('in', 'folder', ['1', 'sub/2', 'sub/3']), ('in/sub/a.zip', 'zip', ['1', '2'])]),
    ('in/**', [('in', 'folder', ['1', 'sub/2', 'sub/3']), ('in/sub/a.zip', 'zip', ['1', '2'])]),
    ('in/sub/[23]', [('sub', 'folder', ['2', '3'])]),
    ('in/s*/*.zip', [('in/sub/a.zip', 'zip', ['1', '2'])]),
  ],
)
def test_archives_and_loose_files_of_a_folder(
  tmp_path: pathlib.Path, glob: str, expected: list[tuple[str, str, list[str]]]
) -> None:
  (tmp_path / 'in' / 'sub').mkdir(parents=True)
  for name in ('1', 'sub/2', 'sub/3'):
    (tmp_path / 'in' / name).write_bytes(b'x')
  (tmp_path / 'in' / 'sub' / 'a.zip').write_bytes(zip_bytes(TWO))
  assert listed(f'{tmp_path}/{glob}') == expected


def test_links_and_pipes_are_members_that_are_never_opened(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'dangling').symlink_to(tmp_path / 'none')
  os.mkfifo(tmp_path / 'pipe')  # opening it would wait for ever
  [batch] = list_input(Input(str(tmp_path), 'in'), Limits())
  assert [(member.name, member.problem) for member in batch.members] == [('dangling', 'link'), ('pipe', 'link')]


def test_a_folder_that_may_not_be_listed_has_a_row(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  (tmp_path / 'locked').mkdir()
  (tmp_path / 'x').write_bytes(b'x')
  scandir = os.scandir

  def refuse(path: str) -> object:
    if str(path).endswith('/locked'):
      raise PermissionError(13, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)  # the superuser may read everything
  [batch] = list_input(Input(str(tmp_path), 'in'), Limits())
  assert [(member.name, member.problem) for member in batch.members] == [('locked', 'read-failed'), ('x', '')]


def test_loops_of_links_come_to_an_end_and_odd_names_are_found(tmp_path: pathlib.Path) -> None:
  root = tmp_path / 'in [1]?*'
  (root / 'sub').mkdir(parents=True)
  (root / 'sub' / 'loop').symlink_to(root)
  (root / 'self').symlink_to(root / 'self')
  (root / 'a [0]*?.dcm').write_bytes(b'x')
  (root / 'b[1].zip').write_bytes(zip_bytes(TWO))
  assert listed(str(root)) == [
    ('in [1]?*', 'folder', ['a [0]*?.dcm', 'self', 'sub/loop']),
    ('in [1]?*/b[1].zip', 'zip', ['1', '2']),
  ]


def test_a_loose_file_that_changes_makes_other_work(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'a').write_bytes(b'x')
  before = list(list_input(Input(str(tmp_path), 'in'), Limits()))
  os.utime(tmp_path / 'a', ns=(0, 1))
  assert list(list_input(Input(str(tmp_path), 'in'), Limits())) != before


def test_archives_with_undecodable_names_have_printable_ones(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'M\udcfcller.zip').write_bytes(zip_bytes(TWO))
  assert listed(str(tmp_path))[0][0] == f'{tmp_path.name}/M\\xfcller.zip'
  assert listed(str(tmp_path / 'M\udcfcller.zip'))[0][0] == 'M\\xfcller.zip'
