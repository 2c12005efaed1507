"""A night that is killed at any change that it makes ends, run again, as if nothing had happened."""

import itertools
import json
import pathlib
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pipelines.current import current, prediction_runs, read_rows
from pipelines.exits import Exit
from pipelines.run_record import recorded_runs
from tests.end_to_end.nights import Site, radiograph
from transforms import storage

_NEVER = 0
_LEFTOVERS = ('.staging', '.tmp', '/.run_id')
Rows = Counter[tuple[str, str, float | None]]


class Jobs:
  """Processes that are forked from one that has loaded everything, and killed where the test says."""

  def __init__(self) -> None:
    self._server = subprocess.Popen(
      [sys.executable, '-m', 'tests.crash_points.crashing'],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,  # some hundred jobs tell what they do
      text=True,
    )

  def run(self, argv: list[str], output: str, point: int = _NEVER, moment: str = 'before') -> int:
    """The exit code of a job; negative if it was killed."""
    assert self._server.stdin
    assert self._server.stdout
    print(
      json.dumps({'argv': argv, 'output': output, 'point': point, 'moment': moment}),
      file=self._server.stdin,
      flush=True,
    )
    return int(self._server.stdout.readline())

  def end(self) -> None:
    assert self._server.stdin
    self._server.stdin.close()
    self._server.wait()


@dataclass(frozen=True)
class Place:
  """A disk or a store, with the output of a first night."""

  site: Site
  root: str
  before: str

  def copy(self, name: str) -> str:
    """The state before the night that is killed."""
    target = storage.join(self.root, name)
    if storage.is_local(target):
      shutil.copytree(self.before, target)
    else:
      files = [file.path for file in storage.list_files(self.before)]
      storage.copy_files([(path, path.replace(self.before, target)) for path in files])
    return target

  def command(self, output: str) -> list[str]:
    argv = self.site.command()
    argv[argv.index('--output') + 1] = output
    return argv


@pytest.fixture(params=['disk', 'store'])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path, tiny_models: pathlib.Path) -> Place:
  root = str(tmp_path / 'outputs') if request.param == 'disk' else str(request.getfixturevalue('bucket'))
  site = Site(tmp_path / 'site', tiny_models)
  return Place(site, root, storage.join(root, 'before'))


@pytest.fixture
def jobs(place: Place) -> Iterator[Jobs]:
  """Started after the place, whose address it must have in its environment."""
  made = Jobs()
  yield made
  made.end()


def visible(output: str) -> Rows:
  """What a reader sees: each image once, of runs that happened."""
  return Counter((row['image_id'], row['status'], row['probability']) for row in current(output).to_pylist())


def all_rows(output: str) -> Rows:
  """Every row of every run that happened."""
  rows = (row for record in prediction_runs(output) for row in read_rows(output, record).to_pylist())
  return Counter((row['image_id'], row['status'], row['probability']) for row in rows)


def leftovers(output: str) -> list[str]:
  runs = {record['run_id'] for record in prediction_runs(output)}
  paths = [file.path for file in storage.list_files(output)]
  orphans = [path for path in paths if '/predictions/' in path and not any(f'run_id={run}/' in path for run in runs)]
  return orphans + [path for path in paths if any(part in path for part in _LEFTOVERS)]


def nights(output: str) -> list[dict[str, Any]]:
  files = storage.list_files(storage.join(output, 'runs'))
  records = (json.loads(storage.read_bytes(file.path)) for file in files)
  return [record for record in records if record['job'] == 'nightly']


def test_a_night_killed_anywhere_loses_nothing_and_doubles_nothing(place: Place, jobs: Jobs) -> None:
  site = place.site
  site.deliver_zip('a.zip', i1=10, i2=20)
  assert jobs.run(place.command(place.before), place.before) == Exit.DONE
  site.deliver_zip('a.zip', i1=11, i3=30)
  site.deliver('b.dcm', radiograph('4', 40))
  site.deliver('broken.zip', b'PK\x03\x04')
  whole = place.copy('whole')
  assert jobs.run(place.command(whole), whole) == Exit.DONE
  states = [visible(place.before), visible(whole)]
  points = killed = 0
  for moment in ('before', 'during'):
    for point in itertools.count(1):
      output = place.copy(f'{moment}-{point}')
      code = jobs.run(place.command(output), output, point, moment)
      if code >= 0:
        break
      killed += 1
      assert visible(output) in states, f'half a night is visible, killed {moment} change {point}'
      assert jobs.run(place.command(output), output) in (Exit.DONE, Exit.NOTHING_TO_DO)
      assert visible(output) == states[1], f'killed {moment} change {point}'
      assert all_rows(output) == all_rows(whole), f'killed {moment} change {point}'
      assert leftovers(output) == [], f'killed {moment} change {point}'
      assert sum(sum(night['rows'].values()) for night in nights(output)) == sum(all_rows(whole).values())
    points = max(points, point - 1)
  print(f'{place.root}: killed at {points} changes, {killed} times')
  assert points > 10


def test_a_prune_killed_anywhere_is_finished_by_the_next(place: Place, jobs: Jobs) -> None:
  site = place.site
  for number in range(2):
    site.deliver_zip(f'{number}.zip', **{f'i{number}': 10 + number})
    command = [*place.command(place.before), '--run_date', f'2026-01-0{number + 1}']
    assert jobs.run(command, place.before) == Exit.DONE
  whole = place.copy('whole')
  prune = ['--keep_days', '0', '--apply']
  assert jobs.run(['prune', whole, *prune], whole) == Exit.DONE
  assert not visible(whole)
  counts = set()
  for moment in ('before', 'during'):
    for point in itertools.count(1):
      output = place.copy(f'{moment}-{point}')
      code = jobs.run(['prune', output, *prune], output, point, moment)
      if code >= 0:
        break
      counts.add(len(visible(output)))
      assert jobs.run(['prune', output, *prune], output) in (Exit.DONE, Exit.NOTHING_TO_DO)
      assert not visible(output)
      files = [file.path for file in storage.list_files(output)]
      assert [path for path in files if '.parquet' in path and '/ledger/' not in path] == []
      assert [path for path in files if '.tmp' in path] == [], f'killed {moment} change {point}'
      assert len(recorded_runs(output)) >= len(recorded_runs(whole)) - 1
    assert point > 10
  assert counts == {0, 1, 2}, 'the older goes first, and none is seen by half'
