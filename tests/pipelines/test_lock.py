import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from pipelines import lock as module
from pipelines.exits import Locked
from pipelines.lock import LeaseLost, held_lock
from transforms import object_store, storage

_HOLD = """
import sys, time
from pipelines.lock import held_lock
with held_lock(sys.argv[1], sys.argv[2]):
  print('held', flush=True)
  time.sleep(600)
"""


@pytest.fixture(params=['disk', 'store'])
def output(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
  return str(tmp_path / 'out') if request.param == 'disk' else str(request.getfixturevalue('bucket'))


def start_holder(output: str, run_id: str) -> 'subprocess.Popen[str]':
  process = subprocess.Popen([sys.executable, '-c', _HOLD, output, run_id], stdout=subprocess.PIPE, text=True)
  assert process.stdout
  assert process.stdout.readline() == 'held\n'
  return process


def kill(process: 'subprocess.Popen[str]') -> None:
  os.kill(process.pid, signal.SIGKILL)
  process.wait()


def test_a_lock_that_is_held_is_refused_by_the_name_of_its_owner(output: str) -> None:
  holder = start_holder(output, 'run-1')
  with pytest.raises(Locked, match='run-1'), held_lock(output, 'run-2'):
    pass
  kill(holder)


def test_a_lock_that_was_given_back_leaves_nothing(output: str) -> None:
  for run_id in ('run-1', 'run-2'):
    with held_lock(output, run_id) as lock:
      assert lock.recovered is None
      lock.check()


def test_a_lock_is_given_back_where_the_run_fails(output: str) -> None:
  with pytest.raises(ZeroDivisionError), held_lock(output, 'run-1'):
    raise ZeroDivisionError
  with held_lock(output, 'run-2') as lock:
    assert lock.recovered is None


def test_the_lock_of_a_dead_owner_is_recovered(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
  kill(start_holder(output, 'run-1'))
  if not storage.is_local(output):
    with pytest.raises(Locked, match='run-1'), held_lock(output, 'run-2'):  # it may be alive, as far as one can see
      pass
    monkeypatch.setattr(module, 'STALE_AFTER_S', 0.0)
  with held_lock(output, 'run-2') as lock:
    assert lock.recovered == 'run-1'


def test_of_many_at_once_one_holds_the_lock(output: str) -> None:
  code = (
    'import sys, time; from pipelines.lock import held_lock, Locked\n'
    'try:\n'
    '  with held_lock(sys.argv[1], sys.argv[2]): time.sleep(2)\n'
    'except Locked: raise SystemExit(5)\n'
  )
  runs = [subprocess.Popen([sys.executable, '-c', code, output, f'run-{number}']) for number in range(5)]
  assert sorted(run.wait() for run in runs) == [0, 5, 5, 5, 5]


def test_of_many_that_find_a_dead_owner_one_takes_its_place(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
  kill(start_holder(bucket, 'run-1'))
  monkeypatch.setattr(module, 'STALE_AFTER_S', 0.0)
  url = storage.join(bucket, '.lock')
  found = object_store.find(url)
  assert found
  with held_lock(bucket, 'run-2'):
    # What a slower one does that found the same dead owner.
    assert module._write(url, 'run-3', found.generation) is None


def test_a_lease_is_renewed_so_that_nobody_takes_its_owner_for_dead(
  bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(module, 'RENEWED_EVERY_S', 0.05)
  url = storage.join(bucket, '.lock')
  with held_lock(bucket, 'run-1') as lock:
    before = object_store.find(url)
    time.sleep(0.5)
    after = object_store.find(url)
    assert before
    assert after
    assert before.generation != after.generation
    lock.check()
  assert object_store.find(url) is None


def test_a_run_that_was_taken_for_dead_finds_out_and_leaves_the_other_ones_lock(
  bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(module, 'RENEWED_EVERY_S', 0.05)
  url = storage.join(bucket, '.lock')
  with held_lock(bucket, 'run-1') as lock:
    with storage.open_write(url) as file:
      file.write(b'{"run_id": "run-2"}')
    assert lock.lost.wait(10)
    with pytest.raises(LeaseLost):
      lock.check()
  assert b'run-2' in storage.read_bytes(url)
