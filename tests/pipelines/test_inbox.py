import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import pytest

from pipelines.inbox import Listing, Patience, as_inputs, list_inbox, with_crcs
from transforms.identifiers import Pseudonyms
from transforms.inputs import Input

NOW_S = 1_800_000_000.0
PSEUDONYMS = Pseudonyms(bytes(range(32)))


class Clock:
  """A clock that moves when somebody sleeps, and has something happen at each sleep."""

  def __init__(self, events: Iterable[Callable[[], object]] = ()) -> None:
    self.now = NOW_S
    self.slept: list[float] = []
    self._events = iter(events)

  def time(self) -> float:
    return self.now

  def sleep(self, seconds: float) -> None:
    self.slept.append(seconds)
    self.now += seconds
    next(self._events, lambda: None)()


def write(path: pathlib.Path, content: bytes = b'x', written_at: float = NOW_S - 3600) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)
  os.utime(path, (written_at, written_at))
  return path


def names(listing: Listing) -> list[str]:
  return [os.path.basename(file.path) for _, files in listing.settled for file in files]


def list_with(inbox: pathlib.Path, patience: Patience, clock: Clock | None = None) -> Listing:
  clock = clock or Clock()
  return list_inbox([Input(str(inbox), 'inbox')], patience, clock.time, clock.sleep)


def test_files_that_have_not_changed_for_long_are_not_waited_for(tmp_path: pathlib.Path) -> None:
  write(tmp_path / 'old')
  clock = Clock()
  listing = list_with(tmp_path, Patience(60, 600), clock)
  assert (names(listing), listing.waiting, clock.slept) == (['old'], 0, [])


def test_a_file_that_comes_to_rest_is_waited_for(tmp_path: pathlib.Path) -> None:
  path = write(tmp_path / 'new', b'half', NOW_S - 10)
  clock = Clock(iter([lambda: write(path, b'more than half', NOW_S + 49), lambda: None]))
  listing = list_with(tmp_path, Patience(60, 600), clock)
  assert (names(listing), listing.waiting) == (['new'], 0)
  assert clock.slept == [50, 59]
  assert listing.settled[0][1][0].size_bytes == len(b'more than half')


def test_a_file_that_never_rests_is_left_for_the_next_run(tmp_path: pathlib.Path) -> None:
  path = write(tmp_path / 'growing', b'1', NOW_S)
  write(tmp_path / 'old')

  def grow() -> Iterator[Callable[[], object]]:
    while True:
      yield lambda: write(path, path.read_bytes() + b'1', clock.now)

  clock = Clock(grow())
  listing = list_with(tmp_path, Patience(60, 200), clock)
  assert (names(listing), listing.waiting) == (['old'], 1)
  assert clock.now == NOW_S + 200


def test_a_file_that_gets_its_name_while_others_are_waited_for_is_there(tmp_path: pathlib.Path) -> None:
  path = write(tmp_path / 'upload.part', b'all', NOW_S)
  clock = Clock(iter([lambda: path.rename(tmp_path / 'upload.zip')]))
  assert names(list_with(tmp_path, Patience(30, 600), clock)) == ['upload.zip']


def test_a_time_in_the_future_is_not_waited_for_but_the_file_is_watched(tmp_path: pathlib.Path) -> None:
  write(tmp_path / 'from-another-clock', written_at=NOW_S + 86400)
  clock = Clock()
  assert names(list_with(tmp_path, Patience(60, 600), clock)) == ['from-another-clock']
  assert clock.slept == [60]


@pytest.mark.parametrize('marker', ['a.zip.done', 'study/.done', '.done'])
def test_a_marker_beside_a_file_or_in_a_folder_above_says_that_it_is_written(
  tmp_path: pathlib.Path, marker: str
) -> None:
  write(tmp_path / 'a.zip', written_at=NOW_S)
  write(tmp_path / 'study/series/1.dcm', written_at=NOW_S)
  patience = Patience(60, 600, '.done')
  assert list_with(tmp_path, patience).waiting == 2
  write(tmp_path / marker, b'')
  expected = {'a.zip.done': ['a.zip'], 'study/.done': ['1.dcm'], '.done': ['a.zip', '1.dcm']}[marker]
  listing = list_with(tmp_path, patience)
  assert (names(listing), listing.waiting) == (expected, 2 - len(expected))


def test_checksums_are_those_of_the_content_and_empty_where_there_is_none(tmp_path: pathlib.Path) -> None:
  write(tmp_path / 'check', b'123456789')
  (tmp_path / 'dangling').symlink_to(tmp_path / 'nothing')
  files = with_crcs(list_with(tmp_path, Patience(0, 0)).files(PSEUDONYMS))
  assert [file.crc32c for file in files] == ['e3069283', '']  # RFC 3720, B.4: the check value of CRC-32C


def test_ids_of_paths_are_those_of_the_names_below_the_inbox(tmp_path: pathlib.Path) -> None:
  write(tmp_path / 'sub/a.zip')
  listing = list_with(tmp_path, Patience(0, 0))
  assert [file.path_id for file in listing.files(PSEUDONYMS)] == [PSEUDONYMS.archive('inbox/sub/a.zip')]


def test_a_slice_of_several_inboxes_is_read_as_parts_of_them(tmp_path: pathlib.Path) -> None:
  for name in ('one/b', 'two/c', 'one/a'):
    write(tmp_path / name)
  inbox = [Input(str(tmp_path / 'one'), 'one'), Input(str(tmp_path / 'two'), 'two')]
  files = list_inbox(inbox, Patience(0, 0)).files(PSEUDONYMS)
  chosen = as_inputs([file for file in reversed(files) if not file.file.path.endswith('b')], inbox)
  found = [(given.name, [os.path.basename(file.path) for file in given.files or ()]) for given in chosen]
  assert found == [('one', ['a']), ('two', ['c'])]
