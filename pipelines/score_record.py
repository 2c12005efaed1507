"""What a run of scoring is called, where its files go, and what its record says."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipelines.publish import part_name
from pipelines.run_record import now, predicted, quality, record_path, summarise, versions
from pipelines.score_rows import RunColumns
from pipelines.staging import ShardResult
from transforms.duplicates import DuplicateCounts
from transforms.statistics import merge, reported

_DUPLICATES: Final = ('content', 'pixels', 'uid_clashes')


@dataclass(frozen=True, slots=True)
class ScoreRun:
  """What the last step needs to know of the run.

  Attributes:
    models: for each model the columns that are the same in all of its rows.
    further_json: what the record says beside the rest: the night that a slice belongs to, and its `entries`.
  """

  output: str
  run_date: str
  started: str
  work_digest: str
  key_fingerprint: str
  config_json: str
  inputs_json: str
  models: tuple[RunColumns, ...]
  crosswalk: str = ''
  further_json: str = '{}'

  @property
  def run_id(self) -> str:
    """One for all models."""
    return self.models[0].run_id

  @property
  def record_path(self) -> str:
    """The run record: the commit point."""
    return record_path(self.output, self.run_id)

  def predictions(self, columns: RunColumns) -> str:
    """The folder of the files of one of its models, below the output."""
    return predictions_folder(self.run_date, f'{columns.model_name}-{columns.model_version}', self.run_id)


def predictions_folder(run_date: str, model: str, run_id: str) -> str:
  """Where the rows of a run are, below the output; `model` is name and version."""
  return f'predictions/run_date={run_date}/model={model}/run_id={run_id}'


def score_record(
  score_run: ScoreRun, results: Sequence[Sequence[ShardResult]], duplicates: DuplicateCounts
) -> dict[str, Any]:
  """The record of a run; checks the conservation law for each model.

  What is of a model stands at the top where there is one, and below `models`
  where there are several; `pipelines.run_record.by_model` reads both.

  Args:
    score_run: the run.
    results: of its shards, for each model.
    duplicates: among the images.

  Raises:
    ValueError: if a source was lost or invented: a bug.
  """
  parts = [_of_model(score_run, *part) for part in zip(score_run.models, results, strict=True)]
  return {
    'job': 'score',
    'run_id': score_run.run_id,
    'run_date': score_run.run_date,
    'state': 'done',
    'started': score_run.started,
    'finished': now().isoformat(),
    'inputs': json.loads(score_run.inputs_json),
    **(parts[0] if len(parts) == 1 else _joined(parts)),
    'duplicates': {name: getattr(duplicates, name) for name in _DUPLICATES},
    'config': json.loads(score_run.config_json),
    'work_digest': score_run.work_digest,
    'pseudonym_key_fingerprint': score_run.key_fingerprint,
    'supersedes_run_id': score_run.models[0].supersedes_run_id,
    'versions': versions(),
    **with_outcomes(json.loads(score_run.further_json), results),
  }


def _of_model(score_run: ScoreRun, columns: RunColumns, results: Sequence[ShardResult]) -> dict[str, Any]:
  return {
    'predictions': score_run.predictions(columns),
    'files': [part_name(number, len(results), 'parquet') for number in range(len(results))],
    **summarise(results),
    'predicted': predicted(results),
    'quality': quality(results),
    'statistics': reported(merge(result.statistics for result in results)),
    'model': {'name': columns.model_name, 'version': columns.model_version, 'digest': columns.model_digest},
    'preprocess_digest': columns.preprocess_digest,
    'config_digest': columns.config_digest,
  }


def _joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """The models, with their rows added up; the sources are the same for all, and counted once."""
  sources = parts[0]['sources']
  if any(part['sources'] != sources for part in parts):
    raise ValueError(f'the models have rows of {[part["sources"] for part in parts]} sources, expected the same of all')
  totals: dict[str, Counter[str]] = {name: Counter() for name in ('rows', 'reasons')}
  for part in parts:
    for name in totals:
      totals[name].update(part[name])
  sums = {name: dict(sorted(counts.items())) for name, counts in totals.items()}
  return {'sources': sources, **sums, 'models': list(parts)}


def with_outcomes(further: dict[str, Any], results: Sequence[Sequence[ShardResult]]) -> dict[str, Any]:
  """Says of each entry, where there are some, what became of it by some model.

  Whether it has a rejected row, one on which radbeam failed, and whether it was not read to its end.
  """
  every = [result for of_model in results for result in of_model]
  ids = {
    'rejected': {file_id for result in every for file_id in result.rejected_files},
    'failed': {file_id for result in every for file_id in result.failed_files},
    'unread': {file_id for result in every for file_id in result.unread_files},
  }
  entries = [
    entry | {name: entry['path_id'] in files for name, files in ids.items()} for entry in further.get('entries', ())
  ]
  return further | ({'entries': entries} if entries else {})
