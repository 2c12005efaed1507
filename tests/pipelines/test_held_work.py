import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from pipelines import lock as module
from pipelines.exits import Locked
from pipelines.lock import held_work, lock_beside
from transforms import storage

_HOLD = """
import sys, time
from pipelines.lock import held_work
with held_work(sys.argv[1], sys.argv[2], 'this dataset'):
  print('held', flush=True)
  time.sleep(600)
"""


@pytest.fixture(params=['disk', 'store'])
def path(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
  base = str(tmp_path / 'out') if request.param == 'disk' else str(request.getfixturevalue('bucket'))
  return storage.join(base, 'a.lock')


def test_a_work_that_is_held_is_refused_by_what_it_is_and_by_the_name_of_its_owner(path: str) -> None:
  with held_work(path, 'run-1', 'this dataset'):
    for _ in range(2):
      with (
        pytest.raises(Locked, match='run run-1 is at work on this dataset'),
        held_work(path, 'run-2', 'this dataset'),
      ):
        pass
    with held_work(path.replace('a.lock', 'b.lock'), 'run-3', 'another'):
      pass


def test_nothing_is_left_of_it_also_where_the_run_fails(path: str) -> None:
  with held_work(path, 'run-1', 'this dataset') as lock:
    assert lock.recovered is None
    assert storage.exists(path)
  with pytest.raises(ZeroDivisionError), held_work(path, 'run-2', 'this dataset'):
    raise ZeroDivisionError
  assert not storage.exists(os.path.dirname(path))


def test_a_folder_that_was_there_stays(tmp_path: pathlib.Path) -> None:
  with held_work(str(tmp_path / '.lock'), 'run-1', 'this dataset'):
    pass
  assert list(tmp_path.iterdir()) == []


def test_of_an_owner_that_died_it_is_free(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
  process = subprocess.Popen([sys.executable, '-c', _HOLD, path, 'run-1'], stdout=subprocess.PIPE, text=True)
  assert process.stdout
  assert process.stdout.readline() == 'held\n'
  with pytest.raises(Locked, match='run-1'), held_work(path, 'run-2', 'this dataset'):
    pass
  os.kill(process.pid, signal.SIGKILL)
  process.wait()
  monkeypatch.setattr(module, 'STALE_AFTER_S', 0.0)  # of an object store
  with held_work(path, 'run-2', 'this dataset') as lock:
    assert lock.recovered == 'run-1'
  assert not storage.exists(path)


def test_never_two_at_once_although_its_file_comes_and_goes(tmp_path: pathlib.Path) -> None:
  path = str(tmp_path / 'staging' / 'a.lock')
  inside: list[int] = []
  most: list[int] = []
  failures: list[BaseException] = []

  def work(number: int) -> None:
    held = 0
    while held < 100:
      try:
        with held_work(path, f'run-{number}', 'this dataset'):
          inside.append(number)
          most.append(len(inside))
          inside.remove(number)
          held += 1
      except Locked:
        continue
      except BaseException as error:
        failures.append(error)
        return

  threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert failures == []
  assert set(most) == {1}
  assert len(most) == 400
  assert list(tmp_path.glob('*/*')) == []


@pytest.mark.parametrize(
  ('folder', 'lock'),
  [
    ('bundle', '.bundle.lock'),
    ('/models/bundle/', '/models/.bundle.lock'),
    ('gs://site/models/bundle', 'gs://site/models/.bundle.lock'),
  ],
)
def test_the_lock_of_a_folder_lies_hidden_beside_it(folder: str, lock: str) -> None:
  assert lock_beside(folder) == lock
