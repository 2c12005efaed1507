"""The last step of a run of scoring, twice at once; what leads to it is tested from end to end."""

import dataclasses
import json
import pathlib
import threading

import pytest

from pipelines.run_record import commit_record, read_record
from pipelines.score_run import ScoreRun, publish_predictions
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
  return ScoreRun(output, '2026-01-01', '2026-01-01T00:00:00', 'w', 'k', '{}', '[]', columns, further_json=further)


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
        publish_predictions(run, results, DuplicateCounts())
      except BaseException as error:
        failures.append(error)

    threads = [threading.Thread(target=publish) for _ in range(2)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    assert failures == []
    record = read_record(output, run.columns.run_id)
    names = [storage.join(output, record['predictions'], name) for name in record['files']]
    assert [storage.read_bytes(name) for name in names] == [f'{number}-{shard}'.encode() for shard in range(3)]
    assert [entry['rejected'] for entry in record['entries']] == [False, True]
  predictions = [file.path for file in storage.list_files(storage.join(output, 'predictions'))]
  assert len(predictions) == 3 * _TIMES  # and nothing beside them
  assert len(list(storage.list_files(storage.join(output, 'runs')))) == _TIMES


def test_the_first_to_commit_a_run_stays(output: str) -> None:
  commit_record(output, {'run_id': 'r', 'by': 'first'})
  commit_record(output, {'run_id': 'r', 'by': 'second'})
  assert read_record(output, 'r')['by'] == 'first'
