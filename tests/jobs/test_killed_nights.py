"""Nights in processes of their own: killed, told to end, two at once. All of them load the SavedModel."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from pipelines.exits import Exit
from tests.end_to_end.nights import Site, radiograph


@pytest.fixture
def site(tmp_path: pathlib.Path, tiny_models: pathlib.Path) -> Site:
  return Site(tmp_path / 'site', tiny_models)


def wait_for(condition: Callable[[], object], process: 'subprocess.Popen[str]') -> None:
  while not condition():
    assert process.poll() is None, 'the night ended too early'
    time.sleep(0.01)


def stop_once(condition: Callable[[], object], process: 'subprocess.Popen[str]') -> None:
  """Stops a night where the condition holds, and holds still once nothing moves."""
  while True:
    wait_for(condition, process)
    os.killpg(process.pid, signal.SIGSTOP)
    if condition():
      return
    os.killpg(process.pid, signal.SIGCONT)


def kill(process: 'subprocess.Popen[str]') -> None:
  os.killpg(process.pid, signal.SIGKILL)
  process.wait()


def test_of_two_nights_at_once_one_works_and_one_says_who_does(site: Site) -> None:
  for number in range(20):
    site.deliver(f'{number}.dcm', radiograph(str(number), 10))
  both = [site.start_night(), site.start_night()]
  codes = {process.wait(): process.stderr.read() if process.stderr else '' for process in both}
  assert set(codes) == {Exit.DONE, Exit.LOCKED}
  assert codes[Exit.LOCKED].count('\n') == 1
  assert site.records()[0]['run_id'] in codes[Exit.LOCKED]
  assert len(site.records()) == 1


def test_a_killed_night_is_gone_on_with_and_its_lock_recovered(site: Site) -> None:
  for number in range(6):
    site.deliver(f'{number}.dcm', radiograph(str(number), 10 + number))
  process = site.start_night('--slice_files', '2')
  stop_once(lambda: site.records('score') and site.staged(), process)
  kill(process)
  dead = site.staged()[0]['run_id']
  finished = [record['run_id'] for record in site.records('score')]
  assert site.night('--slice_files', '2') == Exit.DONE
  (night,) = site.records()
  assert night['recovered_lock'] == dead[: dead.index('-s')]
  assert set(finished) <= set(night['slices'])
  assert dead in night['slices']
  assert sorted(row['probability'] for row in site.rows()) == [(10 + number) / 256 for number in range(6)]
  assert (night['rows'], site.staged()) == ({'scored': 6}, [])
  assert site.published() == {record['run_id'] for record in site.records('score')}


def test_a_begun_slice_whose_files_changed_is_dropped_with_what_it_published(site: Site) -> None:
  path = site.deliver_zip('one.zip', i1=10)
  process = site.start_night()
  stop_once(lambda: site.staged(), process)
  kill(process)
  (dead,) = site.staged()
  orphan = site.output / dead['predictions']
  orphan.mkdir(parents=True, exist_ok=True)  # killed between the rename and the record
  site.deliver_zip(path.name, i1=11)
  assert site.night() == Exit.DONE
  assert [row['probability'] for row in site.rows()] == [11 / 256]
  assert not orphan.exists()
  assert site.staged() == []


def test_a_night_that_is_told_to_end_gives_the_lock_back(site: Site) -> None:
  for number in range(6):
    site.deliver(f'{number}.dcm', radiograph(str(number), 10 + number))
  process = site.start_night('--slice_files', '1')
  wait_for(lambda: site.staged(), process)
  process.send_signal(signal.SIGTERM)
  assert process.wait() == 128 + signal.SIGTERM
  assert site.night() == Exit.DONE
  assert site.records()[-1]['recovered_lock'] is None
  assert len(site.rows()) == 6


def test_what_a_night_leaves_names_no_file(site: Site) -> None:
  site.deliver_zip('Erika-Mustermann.zip', i1=10)
  site.deliver('Mustermann/scan.dcm', radiograph('2', 20))
  process = site.start_night('--slice_files', '1')
  wait_for(lambda: site.records('score'), process)
  kill(process)
  with contextlib.suppress(FileNotFoundError):
    site.night()
  site.night()
  for path in site.output.rglob('*'):
    assert 'Mustermann' not in str(path)
    assert path.is_dir() or b'Mustermann' not in path.read_bytes()
  assert json.loads((site.output / 'runs' / f'{site.records()[-1]["run_id"]}.json').read_text())['exit_code'] == 3
