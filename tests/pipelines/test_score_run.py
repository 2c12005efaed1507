"""The last step of a run of scoring, twice at once; what leads to it is tested from end to end."""

import dataclasses
import json
import pathlib
import threading

import pytest

from pipelines.run_record import by_model, commit_record, read_record
from pipelines.score_record import ScoreRun
from pipelines.score_rows import RunColumns
from pipelines.score_run import publish_predictions
from pipelines.staging import ShardResult
from tests.pipelines.shard_results import stage
from tests.pipelines.tiny_bundle import COLUMNS
from transforms import storage
from transforms.duplicates import DuplicateCounts

_TIMES = 25
_SCORED = ((('scored', '', '', 'sick'), 1),)


@pytest.fixture(params=['disk', 'store'])
def output(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
  return str(tmp_path / 'out') if request.param == 'disk' else str(request.getfixturevalue('bucket'))


def score_run(output: str, number: int) -> ScoreRun:
  columns = dataclasses.replace(COLUMNS, run_id=f'run{number}')
  further = json.dumps({'entries': [{'path_id': 'a'}, {'path_id': 'b'}]})
  return ScoreRun(output, '2026-01-01', '2026-01-01T00:00:00', 'w', 'k', '{}', '[]', (columns,), further_json=further)


def staged(output: str, number: int) -> list[ShardResult]:
  folder = storage.join(output, '.staging', str(number))
  results = [stage(folder, shard, {'predictions': f'{number}-{shard}'.encode()}, counts=_SCORED) for shard in range(3)]
  return [dataclasses.replace(results[0], rejected_files=('b',)), *results[1:]]


def test_publishing_twice_at_once_publishes_once(output: str) -> None:
  for number in range(_TIMES):
    run, results = score_run(output, number), staged(output, number)
    start = threading.Barrier(2)
    failures: list[BaseException] = []

    def publish(
      run: ScoreRun = run,
      results: list[ShardResult] = results,
      start: threading.Barrier = start,
      failures: list[BaseException] = failures,
    ) -> None:
      try:
        start.wait()
        publish_predictions(run, results, duplicates=DuplicateCounts())
      except BaseException as error:
        failures.append(error)

    threads = [threading.Thread(target=publish) for _ in range(2)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    assert failures == []
    record = read_record(output, run.run_id)
    names = [storage.join(output, record['predictions'], name) for name in record['files']]
    assert [storage.read_bytes(name) for name in names] == [f'{number}-{shard}'.encode() for shard in range(3)]
    assert [entry['rejected'] for entry in record['entries']] == [False, True]
  predictions = [file.path for file in storage.list_files(storage.join(output, 'predictions'))]
  assert len(predictions) == 3 * _TIMES  # and nothing beside them
  assert len(list(storage.list_files(storage.join(output, 'runs')))) == _TIMES


def test_the_first_to_commit_a_run_stays(output: str) -> None:
  commit_record(output, {'job': 'score', 'run_id': 'r', 'by': 'first'})
  commit_record(output, {'job': 'score', 'run_id': 'r', 'by': 'second'})
  assert read_record(output, 'r')['by'] == 'first'


def test_several_models_have_one_record_and_rows_of_their_own(output: str) -> None:
  run = dataclasses.replace(score_run(output, 1), models=joint_columns())
  first, second = staged(output, 1), [dataclasses.replace(result, model=1) for result in staged(output, 2)]
  for _ in range(2):
    publish_predictions(run, first, second, duplicates=DuplicateCounts(content=3, pixels=2, uid_clashes=1))
  record = read_record(output, 'run1')
  assert (record['sources'], record['rows']) == ({'listed': 3, 'written': 3}, {'scored': 6})
  assert record['duplicates'] == {'content': 3, 'pixels': 2, 'uid_clashes': 1}
  assert [part['model']['version'] for part in record['models']] == ['1', '2']
  for number, part in enumerate(by_model(record), 1):
    assert part['run_id'] == 'run1'
    assert (part['sources'], part['rows']) == ({'listed': 3, 'written': 3}, {'scored': 3})
    names = [storage.join(output, part['predictions'], name) for name in part['files']]
    assert [storage.read_bytes(name) for name in names] == [f'{number}-{shard}'.encode() for shard in range(3)]
  assert [entry['rejected'] for entry in record['entries']] == [False, True]


def joint_columns() -> tuple[RunColumns, RunColumns]:
  columns = dataclasses.replace(COLUMNS, run_id='run1')
  return columns, dataclasses.replace(columns, model_version='2')


def test_models_with_rows_of_different_sources_are_a_bug(output: str) -> None:
  run = dataclasses.replace(score_run(output, 1), models=joint_columns())
  first = staged(output, 1)
  second = [dataclasses.replace(result, model=1, listed=2, written=2) for result in first]
  with pytest.raises(ValueError, match=r'the models have rows of .* sources, expected the same of all'):
    publish_predictions(run, first, second, duplicates=DuplicateCounts())
  assert not list(storage.list_files(storage.join(output, 'runs')))


def test_a_source_that_one_model_lost_is_a_bug(output: str) -> None:
  run = dataclasses.replace(score_run(output, 1), models=joint_columns())
  first = staged(output, 1)
  second = [dataclasses.replace(first[0], model=1, written=0), *(dataclasses.replace(r, model=1) for r in first[1:])]
  with pytest.raises(ValueError, match='shard 0 lists 1 sources but has rows of 0'):
    publish_predictions(run, first, second, duplicates=DuplicateCounts())


def test_a_record_of_one_model_is_read_as_it_stands(output: str) -> None:
  publish_predictions(score_run(output, 1), staged(output, 1), duplicates=DuplicateCounts())
  record = read_record(output, 'run1')
  assert by_model(record) == [record]
  assert 'models' not in record
