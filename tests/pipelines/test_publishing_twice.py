"""Several publishers of a dataset: attempts at the same step, runs that were killed in it, and other runs."""

import dataclasses
import json
import pathlib
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from pipelines import dataset_publish
from pipelines.dataset_publish import DatasetRun, committed_run, publish_dataset
from pipelines.exits import UsageError
from pipelines.schemas import INDEX, write_table
from pipelines.staging import ShardResult
from tests.pipelines.shard_results import stage
from transforms import storage
from transforms.duplicates import DuplicateCounts
from transforms.near_duplicates import NearDuplicates
from transforms.preprocess import PreprocessSpec

_STEPS = 6  # to give up, four folders that differ, the record
_KILLED = [('disk', step, goes_on) for step in range(_STEPS) for goes_on in ('same-run', 'next-run')]
_TIMES = 3  # of a race


@pytest.fixture(params=['disk', 'store'])
def run(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> DatasetRun:
  output = str(tmp_path / 'dataset') if request.param == 'disk' else str(request.getfixturevalue('bucket'))
  return new_run(output, 'run1')


def new_run(output: str, run_id: str, gives_up: str = '') -> DatasetRun:
  return DatasetRun(
    output, run_id, '2024-02-29T00:00:00+00:00', PreprocessSpec(16), 'unit', 'abc', '{}', gives_up=gives_up
  )


def staged(run: DatasetRun, shards: int = 1) -> list[ShardResult]:
  results = []
  for number in range(shards):
    pictures = {f'samples/{name}.png': run.run_id.encode() for name in ('of-both', *(['id0'] if not number else []))}
    contents = {f'examples/{split}': f'{run.run_id} {split}{number}'.encode() for split in ('train', 'val', 'test')}
    result = stage(run.staging, number, {**contents, 'index': b'', **pictures})
    (index,) = [file.path for file in result.files if file.role == 'index']
    row = {'image_id': f'{run.run_id}{number}', 'pixel_sha256': 'p', 'split': 'train', 'label': 'a', 'status': 'ok'}
    with storage.open_write(index) as file:
      write_table(file, [row], INDEX)
    results.append(result)
  return results


def graph(run: DatasetRun) -> str:
  path = storage.join(run.staging, 'transform_graph', uuid.uuid4().hex)
  with storage.open_write(storage.join(path, 'deep', 'saved_model.pb')) as file:
    file.write(run.run_id.encode())
  return path


def publisher(run: DatasetRun, shards: int = 1) -> Callable[[], str]:
  """The last step of a run, as often as it is called."""
  results, transform_graph = staged(run, shards), graph(run)
  return lambda: publish_dataset(run, results, transform_graph, DuplicateCounts(), NearDuplicates())


def state(output: str) -> dict[str, tuple[str, bytes]]:
  """All that is published; files that were written anew differ in their fingerprints."""
  files = [file for file in storage.list_files(output) if '/.staging/' not in file.path]
  return {file.path[len(output) :]: (file.fingerprint, storage.read_bytes(file.path)) for file in files}


def contents(output: str) -> dict[str, bytes]:
  """What is published, but for the record's times."""
  record: dict[str, Any] = {}
  found = {name: content for name, (_, content) in state(output).items()}
  if '/dataset.json' in found:
    record = {**json.loads(found['/dataset.json']), 'finished': ''}
  return found | {'/dataset.json': json.dumps(record).encode()}


def expected(run: DatasetRun, shards: int = 1) -> dict[str, bytes]:
  """What one publisher alone makes."""
  alone = dataclasses.replace(run, output=storage.join(run.output, 'alone'), gives_up='')
  publisher(alone, shards)()
  found = contents(alone.output)
  storage.delete_tree(alone.output)
  return found


def test_an_attempt_after_the_commit_changes_nothing_also_without_what_was_staged(run: DatasetRun) -> None:
  publish = publisher(run)
  path = publish()
  before = state(run.output)
  assert publish() == path
  storage.delete_tree(run.staging)
  assert publish() == path
  assert state(run.output) == before
  assert not any('.staging' in file.path for file in storage.list_files(run.output))


def test_a_picture_that_two_shards_have_is_published_once(run: DatasetRun) -> None:
  publisher(run, 2)()
  names = [name for name in contents(run.output) if name.startswith('/samples/')]
  assert names == ['/samples/id0.png', '/samples/of-both.png']


def test_an_attempt_that_finds_out_late_changes_nothing(run: DatasetRun, monkeypatch: pytest.MonkeyPatch) -> None:
  publish = publisher(run)
  describe = dataset_publish._describe
  before: list[dict[str, tuple[str, bytes]]] = []

  def commit_in_between(*args: Any) -> dict[str, Any]:
    described = describe(*args)
    monkeypatch.undo()
    publish()
    before.append(state(run.output))
    return described

  monkeypatch.setattr(dataset_publish, '_describe', commit_in_between)
  publish()
  assert [state(run.output)] == before


def test_the_dataset_of_another_run_goes_only_where_it_was_given_up(run: DatasetRun) -> None:
  publisher(run)()
  before = state(run.output)
  late = new_run(run.output, 'run2')
  with pytest.raises(UsageError, match=r'run run1 has published a dataset in .* since run run2 began'):
    publisher(late)()
  with pytest.raises(UsageError, match='run run1 has published'):
    publisher(new_run(run.output, 'run2', 'run0'))()
  assert state(run.output) == before
  new = new_run(run.output, 'run2', 'run1')
  publisher(new, 2)()
  assert committed_run(run.output) == 'run2'
  assert contents(run.output) == expected(new, 2)


@pytest.mark.parametrize(
  ('run', 'step', 'goes_on'), [*_KILLED, ('store', 2, 'next-run'), ('store', 5, 'same-run')], indirect=['run']
)
def test_who_is_killed_between_two_steps_is_gone_on_with(
  run: DatasetRun, step: int, goes_on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  publisher(run, 2)()
  new = new_run(run.output, 'run2', 'run1')
  publish = publisher(new)
  left = [step]

  def killed(done: Callable[..., object]) -> Callable[..., object]:
    def do(*args: object) -> object:
      left[0] -= 1
      if left[0] < 0:
        raise KeyboardInterrupt
      return done(*args)

    return do

  with monkeypatch.context() as patched:
    for name in ('publish_folder', 'write_record', '_give_up'):
      patched.setattr(dataset_publish, name, killed(getattr(dataset_publish, name)))
    with pytest.raises(KeyboardInterrupt):
      publish()
  assert committed_run(run.output) == (None if step else 'run1')  # never half of one
  last = new if goes_on == 'same-run' else new_run(run.output, 'run3', committed_run(run.output) or '')
  (publish if last is new else publisher(last))()
  assert contents(run.output) == expected(last)


def test_attempts_at_once_end_as_one(run: DatasetRun) -> None:
  for number in range(_TIMES):
    own = new_run(storage.join(run.output, str(number)), 'run1')
    publish = publisher(own)
    failures: list[BaseException] = []

    def attempt(publish: Callable[[], str] = publish, failures: list[BaseException] = failures) -> None:
      try:
        publish()
      except BaseException as error:
        failures.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    assert failures == []
    assert contents(own.output) == expected(own)
    assert not list(pathlib.Path(own.output).glob('.*-*'))
