import errno
import os
import pathlib
from typing import Any

import pytest

from transforms import storage


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
  for name in ('b/2.dcm', 'a.dcm', 'b/c/3.dcm', '.hidden', 'x[1].dcm'):
    path = tmp_path / 'in' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
  return tmp_path / 'in'


EVERYTHING = ['.hidden', 'a.dcm', 'b/2.dcm', 'b/c/3.dcm', 'x[1].dcm']


@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    ('', EVERYTHING),
    ('a.dcm', ['a.dcm']),
    ('*', EVERYTHING),
    ('*.dcm', ['a.dcm', 'x[1].dcm']),
    ('**', EVERYTHING),
    ('**/*', EVERYTHING),
    ('**/*.dcm', ['a.dcm', 'b/2.dcm', 'b/c/3.dcm', 'x[1].dcm']),
    ('?/*', ['b/2.dcm', 'b/c/3.dcm']),
    ('x[1].dcm', ['x[1].dcm']),
    ('none*', []),
    ('none', []),
  ],
)
def test_a_folder_a_file_or_a_glob_gives_each_file_once_and_in_order(
  tree: pathlib.Path, given: str, expected: list[str]
) -> None:
  found = list(storage.list_files(os.path.join(tree, given)))
  assert [os.path.relpath(file.path, tree) for file in found] == expected
  assert [file.size_bytes for file in found] == [len(name) for name in expected]


def test_what_is_no_file_is_listed_as_such(tree: pathlib.Path) -> None:
  (tree / 'dangling').symlink_to(tree / 'none')
  (tree / 'folder').symlink_to(tree / 'b')
  (tree / 'file').symlink_to(tree / 'b/2.dcm')
  os.mkfifo(tree / 'pipe')
  found = list(storage.list_files(str(tree)))
  others = [str(tree / name) for name in ('dangling', 'folder', 'pipe')]
  assert [file.path for file in found if not file.regular] == others
  assert [file.path for file in found if file.regular] == sorted(str(tree / name) for name in [*EVERYTHING, 'file'])


@pytest.mark.parametrize('glob', ['*', 'dang*'])
def test_a_glob_loses_no_dangling_link(tmp_path: pathlib.Path, glob: str) -> None:
  (tmp_path / 'dangling').symlink_to(tmp_path / 'none')
  assert [file.regular for file in storage.list_files(str(tmp_path / glob))] == [False]


def test_the_fingerprint_changes_with_the_file(tree: pathlib.Path) -> None:
  [before] = storage.list_files(str(tree / 'a.dcm'))
  os.utime(tree / 'a.dcm', ns=(0, 12345))
  [after] = storage.list_files(str(tree / 'a.dcm'))
  assert before.fingerprint != after.fingerprint == '12345'


def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(
  tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  scandir = os.scandir

  def refuse(path: str) -> object:
    if str(path).endswith('/c'):
      raise PermissionError(13, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)  # the superuser may read everything
  unreadable = [file.path for file in storage.list_files(str(tree)) if file.problem]
  assert [path.rpartition('/')[2] for path in unreadable] == ['c']


@pytest.mark.parametrize(
  ('number', 'problem'), [(errno.EIO, 'input-unavailable'), (errno.ESTALE, 'input-unavailable'), (13, 'read-failed')]
)
def test_a_folder_that_cannot_be_listed_stands_for_what_is_in_it(
  tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch, number: int, problem: str
) -> None:
  def fail(path: str) -> object:
    raise OSError(number, os.strerror(number), path)

  monkeypatch.setattr(os, 'scandir', fail)
  [found] = storage.list_files(str(tree))
  assert (found.path, found.problem, found.regular) == (str(tree), problem, False)


def test_a_path_that_is_too_long_is_no_end_of_the_others(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'a').write_bytes(b'a')
  inner = os.open(tmp_path, os.O_RDONLY)
  for _ in range(20):  # deeper than a path can say
    os.mkdir('d' * 250, dir_fd=inner)
    below = os.open('d' * 250, os.O_RDONLY, dir_fd=inner)
    os.close(inner)
    inner = below
  os.close(inner)
  found = list(storage.list_files(str(tmp_path)))
  assert [file.problem for file in found] == ['', 'read-failed']


def test_a_file_that_is_moved_away_while_others_are_listed_is_none(
  tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  before = [file.path for file in storage.list_files(str(tree))]
  is_file = os.path.isfile

  def move_away(path: str) -> bool:
    if path == before[0]:
      os.unlink(path)
    return is_file(path)

  monkeypatch.setattr(os.path, 'isfile', move_away)
  assert [file.path for file in storage.list_files(str(tree))] == before[1:]


@pytest.mark.parametrize(('path', 'local'), [('/a/b', True), ('a:b', True), ('gs://bucket/a', False)])
def test_urls_are_told_from_paths(path: str, local: bool) -> None:
  assert storage.is_local(path) == local


def test_a_file_is_replaced_as_a_whole(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  path = str(tmp_path / 'new' / 'record.json')
  storage.write_atomically(path, b'before')

  def killed(*_: object) -> None:
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(os, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
      storage.write_atomically(path, b'after')
  assert storage.read_bytes(path) == b'before'
  storage.write_atomically(path, b'after')
  assert storage.read_bytes(path) == b'after'


def test_new_files_get_their_folder_and_compressed_ones_are_left_as_they_are(tmp_path: pathlib.Path) -> None:
  path = storage.join(str(tmp_path), 'x', 'y.gz')
  with storage.open_write(path) as file:
    file.write(b'not compressed')
  assert storage.read_bytes(path) == b'not compressed'


def test_deleting_takes_all_and_needs_nothing(tree: pathlib.Path) -> None:
  assert storage.exists(str(tree))
  for _ in range(2):
    storage.delete_tree(str(tree))
    assert not tree.exists()


def test_a_folder_that_may_be_listed_and_not_entered_costs_its_own_files(
  tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Without x permission names can be read and nothing else; root, who runs tests in CI, may do everything."""
  (tree / 'closed').mkdir()
  (tree / 'closed/a.dcm').write_bytes(b'a')
  before = [file for file in storage.list_files(str(tree)) if 'closed' not in file.path]
  for name in ('stat', 'lstat'):
    real = getattr(os, name)

    def refuse(path: Any, *more: Any, real: Any = real, **options: Any) -> Any:
      if str(path).startswith(str(tree / 'closed/')):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
      return real(path, *more, **options)

    monkeypatch.setattr(os, name, refuse)
  found = list(storage.list_files(str(tree)))
  assert [file for file in found if 'closed' not in file.path] == before
  assert [(file.problem, file.regular) for file in found if 'closed' in file.path] == [('read-failed', False)]
