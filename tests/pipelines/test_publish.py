import os
import pathlib
import stat
import threading

import pyarrow.parquet as pq
import pytest

from pipelines.publish import part_name, publish_crosswalk, publish_folder, with_role
from tests.pipelines.shard_results import stage, with_crosswalk


@pytest.fixture
def staged(tmp_path: pathlib.Path) -> list[tuple[str, str]]:
  results = [stage(tmp_path / 'staging', number, {'x': str(number).encode()}) for number in range(3)]
  return [(file.path, f'deep/{part_name(number, 3, "txt")}') for number, file in with_role(results, 'x')]


def content(folder: pathlib.Path) -> dict[str, str]:
  return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob('*') if path.is_file()}


WHOLE = {f'deep/part-0000{number}-of-00003.txt': str(number) for number in range(3)}


def test_only_files_of_the_role_are_taken(tmp_path: pathlib.Path) -> None:
  results = [stage(tmp_path, number, {'x': b'', 'y': b''}) for number in range(2)]
  assert [(number, file.role) for number, file in with_role(results, 'y')] == [(0, 'y'), (1, 'y')]


def test_publishing_twice_changes_nothing_and_leaves_nothing_behind(
  tmp_path: pathlib.Path, staged: list[tuple[str, str]]
) -> None:
  for _ in range(2):
    publish_folder(staged, str(tmp_path / 'out' / 'run'))
  assert content(tmp_path / 'out') == {f'run/{name}': text for name, text in WHOLE.items()}
  assert [path.name for path in (tmp_path / 'out').iterdir()] == ['run']


def test_two_who_publish_at_once_leave_one_result(
  tmp_path: pathlib.Path, staged: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
  both_are_there, rename = threading.Barrier(2), os.rename

  def rename_together(source: pathlib.Path, target: pathlib.Path) -> None:
    both_are_there.wait(30)
    rename(source, target)

  monkeypatch.setattr(os, 'rename', rename_together)
  failures: list[BaseException] = []

  def publish() -> None:
    try:
      publish_folder(staged, str(tmp_path / 'out' / 'run'))
    except BaseException as error:
      failures.append(error)

  threads = [threading.Thread(target=publish) for _ in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert failures == []
  assert content(tmp_path / 'out') == {f'run/{name}': text for name, text in WHOLE.items()}
  assert [path.name for path in (tmp_path / 'out').iterdir()] == ['run']


def test_what_a_killed_attempt_left_is_no_result(
  tmp_path: pathlib.Path, staged: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
  def killed(*_: object) -> None:
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(os, 'rename', killed)
    with pytest.raises(KeyboardInterrupt):
      publish_folder(staged, str(tmp_path / 'out' / 'run'))
  assert not (tmp_path / 'out' / 'run').exists()
  publish_folder(staged, str(tmp_path / 'out' / 'run'))
  assert content(tmp_path / 'out' / 'run') == WHOLE


def test_another_file_system_is_published_to_by_copying(
  tmp_path: pathlib.Path, staged: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
  def across(*_: object) -> None:
    raise OSError(18, 'Invalid cross-device link')

  monkeypatch.setattr(os, 'link', across)
  publish_folder(staged, str(tmp_path / 'out' / 'run'))
  assert content(tmp_path / 'out' / 'run') == WHOLE


def test_what_cannot_be_published_is_told(tmp_path: pathlib.Path, staged: list[tuple[str, str]]) -> None:
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'run').write_text('a file stands in the way')
  with pytest.raises(NotADirectoryError):
    publish_folder(staged, str(tmp_path / 'out' / 'run'))


def test_the_crosswalk_is_one_file_for_its_owner_alone(tmp_path: pathlib.Path) -> None:
  folder = tmp_path / 'crosswalk'
  results = [with_crosswalk(folder, number) for number in range(2)]
  for result in results:
    assert stat.S_IMODE(os.stat(result.files[0].path).st_mode) == 0o600
  for _ in range(2):
    publish_crosswalk(results, str(folder), 'run7')
  [path] = [path for path in folder.iterdir() if path.is_file()]
  assert path.name == 'crosswalk-run7.parquet'
  assert stat.S_IMODE(path.stat().st_mode) == 0o600
  assert stat.S_IMODE(folder.stat().st_mode) == 0o700
  lines = pq.read_table(path).to_pylist()
  assert [(line['image_id'], line['member'], line['patient_id']) for line in lines] == [
    ('image0', 'Doe/0', 'P1'),
    ('image1', 'Doe/1', 'P1'),
  ]
