"""Inboxes whose files are rewritten, moved and unplugged while they are read: a row each, and again the next night."""

import errno
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines import night_slices
from pipelines.current import current
from pipelines.exits import Exit
from pipelines.night_leftovers import find_leftovers
from tests.end_to_end.nights import Site, radiograph
from tests.transforms.archive_files import zip_bytes
from transforms import read_beam
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame

IMAGES = 70  # of a zip: more than are read in one go


@pytest.fixture
def site(tmp_path: pathlib.Path, tiny_models: pathlib.Path, scored_by_numpy: None) -> Site:
  return Site(tmp_path / 'site', tiny_models)


def deliver(site: Site, number: int, images: int = IMAGES) -> pathlib.Path:
  members = [(f'{image}.dcm', radiograph(f'{number}.{image}', 10 + image)) for image in range(images)]
  return site.deliver(f'{number}.zip', zip_bytes(members))


def once_decoding(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
  """Something happens when the first image is decoded."""
  seen: list[bytes] = []

  def decode(data: bytes, options: DecodeOptions, *, keep_original: bool = False) -> Iterator[Frame]:
    seen.append(data)
    if len(seen) == 1:
      happens()
    return decode_source(data, options, keep_original=keep_original)

  monkeypatch.setattr(read_beam, 'decode_source', decode)


def outcomes(rows: list[dict[str, Any]]) -> Counter[str]:
  return Counter(row['reason'] or row['status'] for row in rows)


def standing(site: Site) -> Counter[str]:
  return outcomes(current(str(site.output)).to_pylist())


def rewrite(path: pathlib.Path) -> None:
  """As a copy that starts again: cut, then written; in the end it holds the same."""
  whole = path.read_bytes()
  path.write_bytes(whole[: len(whole) // 2])
  path.write_bytes(whole)


def unplug(inbox: pathlib.Path, elsewhere: pathlib.Path) -> None:
  """As a mount that goes: the folder that it was mounted at stays, and is empty."""
  inbox.rename(elsewhere)
  inbox.mkdir()


def test_a_file_that_is_rewritten_while_another_is_read_is_read_again(
  site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
  paths = [deliver(site, number) for number in range(2)]
  with monkeypatch.context() as patched:
    once_decoding(patched, lambda: rewrite(paths[1]))
    assert site.night() == Exit.DONE
  found = outcomes(site.rows())
  assert found['changed-while-reading']
  assert found['scored'] + found['changed-while-reading'] == 2 * IMAGES
  assert 'warn: input-unread (1 of 2 were not read to their end)' in capfd.readouterr().err
  (night,) = site.records()
  assert (night['inbox']['unread'], night['sources']['listed']) == (1, 2 * IMAGES)

  assert site.night() == Exit.DONE
  assert site.records()[-1]['inbox'] | {'bytes': 0} == site.records()[-1]['inbox'] | {'bytes': 0, 'new': 1, 'done': 1}
  assert standing(site) == {'scored': 2 * IMAGES}
  assert site.rows()[-1]['supersedes_run_id'] == site.records('score')[0]['run_id']
  assert site.night() == Exit.NOTHING_TO_DO


def test_what_was_read_of_the_older_content_gives_way_to_the_newer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
  path = deliver(site, 0)
  newer = zip_bytes([(f'{image}.dcm', radiograph(f'7.{image}', 10 + image)) for image in range(5)])
  with monkeypatch.context() as patched:
    once_decoding(patched, lambda: path.write_bytes(newer))
    assert site.night() == Exit.ALARM  # nothing else was there to be read
  found = outcomes(site.rows())
  assert found['changed-while-reading']
  assert found['scored']  # the image that was being decoded, which no content has any more
  assert found.total() == IMAGES
  assert standing(site)['scored'] == found['scored']
  assert site.night() == Exit.DONE
  assert standing(site) == {'scored': 5}


def test_a_mount_that_goes_away_is_no_end_of_its_files(
  site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
  for number in range(5):
    deliver(site, number)
  elsewhere = site.root / 'elsewhere'
  with monkeypatch.context() as patched:
    once_decoding(patched, lambda: unplug(site.inbox, elsewhere))
    assert site.night() == Exit.ALARM
  found = outcomes(site.rows())
  assert set(found) == {'scored', 'input-gone'}
  assert found.total() == 5 * IMAGES
  assert 'fail: input-unread' in capfd.readouterr().err
  assert site.records()[-1]['rows']['skipped'] == found['input-gone']

  site.inbox.rmdir()
  elsewhere.rename(site.inbox)
  assert site.night() == Exit.DONE
  assert standing(site) == {'scored': 5 * IMAGES}
  assert site.night() == Exit.NOTHING_TO_DO


def test_a_disk_that_gives_no_bytes_is_asked_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
  """The kernel answers EIO to whoever reads this file; the link stands for a bad sector."""
  for number in range(3):
    deliver(site, number, images=2)
  (site.inbox / 'bad').symlink_to('/proc/self/mem')
  for nights in (1, 2):
    assert site.night() == (Exit.DONE if nights == 1 else Exit.ALARM)  # of the second night it is all there is
    assert outcomes(site.rows()) == {'scored': 6, 'input-unavailable': nights}
    assert site.records()[-1]['inbox']['unread'] == 1
  (site.inbox / 'bad').unlink()
  assert site.night() == Exit.NOTHING_TO_DO


def test_one_of_two_inboxes_that_is_gone_does_not_hold_up_the_other(
  site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
  deliver(site, 0, images=2)
  gone = site.root / 'other-inbox'
  for expected in ({'scored': 2}, {}):
    assert site.night('--inbox', str(gone)) == Exit.ALARM
    assert site.records()[-1]['rows'] == expected
    assert 'fail: inbox-unreadable (1 inboxes)' in capfd.readouterr().err
  gone.mkdir()
  assert site.night('--inbox', str(gone)) == Exit.NOTHING_TO_DO


def test_one_of_two_inboxes_that_may_not_be_listed_is_told_every_night(
  site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
  deliver(site, 0, images=2)
  other = site.root / 'other-inbox'
  other.mkdir()
  scandir = os.scandir

  def refuse(path: Any = '.') -> Any:
    if str(path) == str(other):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)  # root, who runs tests in CI, may list everything
  for _ in range(2):
    assert site.night('--inbox', str(other)) == Exit.ALARM
    assert 'inbox-unreadable' in [alarm['code'] for alarm in site.records()[-1]['alarms']]
  assert outcomes(site.rows()) == {'scored': 2, 'read-failed': 1}


def test_a_slice_that_has_ended_two_nights_does_not_hold_up_a_third(
  site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
  deliver(site, 0, images=2)

  def fail(*_: object) -> None:
    raise RuntimeError('as if the process had died')

  def end(*_: object) -> None:
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(night_slices, 'execute', end)
    for _ in range(2):  # somebody ends the night, which says nothing of the slice
      assert site.night() == 130
    assert [leftover.attempts for leftover in find_leftovers(str(site.output))] == [0]
    patched.setattr(night_slices, 'execute', fail)
    for _ in range(2):
      assert site.night() == Exit.CRASHED
  deliver(site, 1, images=3)
  assert site.night() == Exit.DONE
  slices = {record['run_id']: record['rows'] for record in site.records('score')}
  assert [slices[run_id] for run_id in site.records()[-1]['slices']] == [{'scored': 3}, {'scored': 2}]
