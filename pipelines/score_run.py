"""One run of scoring, from inputs to published files and the record that commits them.

`radbeam score` makes one such run, `radbeam nightly` one for each slice of a night.
"""

import datetime
import json
import logging
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from model.bundle import Bundle
from model.handler import HandlerOptions
from pipelines.beam_options import make_runner, pipeline_options
from pipelines.crosswalk import staging_folder
from pipelines.duplicates import FlagDuplicates
from pipelines.keys import key_path, read_site_key
from pipelines.launch import config_of, decode_options
from pipelines.night_options import NightlyOptions
from pipelines.options import ScoreOptions
from pipelines.progress import shard_progress
from pipelines.publish import part_name, publish_crosswalk, publish_folder, with_role
from pipelines.run_record import code_version, commit_record, now, predicted, quality, record_path, summarise, versions
from pipelines.score_rows import PREDICTIONS_ROLE, RunColumns
from pipelines.score_shards import ScoreShards, ScoreSpec
from pipelines.staging import FOLDER, ShardResult, choose_results, digest_of
from transforms import storage
from transforms.concurrency import usable_cores
from transforms.decode import DecodeOptions
from transforms.duplicates import DuplicateCounts
from transforms.identifiers import Pseudonyms
from transforms.inputs import Input
from transforms.read_beam import ListShards
from transforms.statistics import merge, reported

_LOG = logging.getLogger('radbeam.score')


@dataclass(frozen=True, slots=True)
class ScoreRun:
  """What the last step needs to know of the run.

  Attributes:
    further_json: what the record says beside the rest: the night that a slice belongs to, and its `entries`.
  """

  output: str
  run_date: str
  started: str
  work_digest: str
  key_fingerprint: str
  config_json: str
  inputs_json: str
  columns: RunColumns
  crosswalk: str = ''
  further_json: str = '{}'

  @property
  def record_path(self) -> str:
    """The run record: the commit point."""
    return record_path(self.output, self.columns.run_id)

  @property
  def predictions(self) -> str:
    """The folder of this run's files, below the output."""
    columns = self.columns
    return predictions_folder(self.run_date, f'{columns.model_name}-{columns.model_version}', columns.run_id)


def predictions_folder(run_date: str, model: str, run_id: str) -> str:
  """Where the rows of a run are, below the output; `model` is name and version."""
  return f'predictions/run_date={run_date}/model={model}/run_id={run_id}'


@dataclass(frozen=True, slots=True)
class Scoring:
  """What is the same for all runs of a job: how images become scores, and where they go."""

  bundle: Bundle
  decode: DecodeOptions
  handler: HandlerOptions
  pseudonyms: Pseudonyms
  key_path: str
  output: str
  crosswalk: str
  config: Mapping[str, Any]

  @property
  def config_digest(self) -> str:
    """Of everything but the inputs that decides a row."""
    return digest_of(
      {
        'decode': repr(self.decode),
        'handler': repr(self.handler),
        'model': self.bundle.model_digest,
        'intended_use': self.bundle.intended_use.to_facts(),
        'key': self.pseudonyms.fingerprint,
        'crosswalk': bool(self.crosswalk),
        'code': code_version(),
      }
    )

  def staging(self, work: str) -> str:
    """The folder of a run's unfinished work."""
    return storage.join(self.output, FOLDER, work[:16])

  def spec(self, columns: RunColumns, staging: str) -> ScoreSpec:
    """How the shards of a run are scored."""
    return ScoreSpec(self.decode, self.handler, self.bundle, columns, staging, self.key_path, self.crosswalk)

  def columns(self, run_id: str, started: datetime.datetime, supersedes_run_id: str | None) -> RunColumns:
    """What all rows of a run say."""
    bundle = self.bundle
    return RunColumns(
      run_id=run_id,
      scored_at=started,
      model_name=bundle.name,
      model_version=bundle.version,
      model_digest=bundle.model_digest,
      preprocess_digest=bundle.preprocess_digest,
      config_digest=self.config_digest,
      code_version=code_version(),
      supersedes_run_id=supersedes_run_id,
    )

  def run(
    self, columns: RunColumns, run_date: str, work: str, inputs: Sequence[str], further: Mapping[str, Any] | None = None
  ) -> ScoreRun:
    """The run as its last step knows it; `inputs` are ids."""
    return ScoreRun(
      output=self.output,
      run_date=run_date,
      started=columns.scored_at.isoformat(),
      work_digest=work,
      key_fingerprint=self.pseudonyms.fingerprint,
      config_json=json.dumps(self.config, sort_keys=True),
      inputs_json=json.dumps(inputs),
      columns=columns,
      crosswalk=self.crosswalk,
      further_json=json.dumps(further or {}),
    )


def scoring_of(options: ScoreOptions | NightlyOptions, bundle: Bundle) -> Scoring:
  """How these options have images scored.

  Raises:
    KeyFileError, RulesError: if a file that they name cannot be used.
  """
  decode = decode_options(options, bundle.spec)
  key = key_path(options.pseudonym_key_file)
  return Scoring(
    bundle=bundle,
    decode=decode,
    handler=HandlerOptions(options.batch_size, options.deterministic),
    pseudonyms=Pseudonyms(read_site_key(key)),
    key_path=key,
    output=options.output,
    crosswalk=options.crosswalk or '',
    config=config_of(options, decode),
  )


def execute(
  score_run: ScoreRun, spec: ScoreSpec, inputs: Sequence[Input], beam_args: Sequence[str], quiet: bool
) -> dict[str, Any]:
  """Runs the pipeline, waits for it, and removes what it staged.

  Returns:
    The run record.
  """
  pipeline = beam.Pipeline(runner=make_runner(beam_args), options=pipeline_options(beam_args))
  with shard_progress(spec.staging, quiet), pipeline:
    build(pipeline, inputs, spec, score_run)
  _remove_staged(score_run, spec)
  record: dict[str, Any] = json.loads(storage.read_bytes(score_run.record_path))
  return record


def submit(score_run: ScoreRun, spec: ScoreSpec, inputs: Sequence[Input], beam_args: Sequence[str]) -> None:
  """Hands the pipeline to its engine, which goes on alone, and removes what was staged as well."""
  with beam.Pipeline(runner=make_runner(beam_args), options=pipeline_options(beam_args)) as pipeline:
    record = build(pipeline, inputs, spec, score_run)
    # A step of its own: should it be repeated, publishing is not.
    _ = record | 'Published' >> beam.Reshuffle() | 'RemoveStaged' >> beam.Map(_tidy, score_run, spec)


def _tidy(_: str, score_run: ScoreRun, spec: ScoreSpec) -> None:
  _remove_staged(score_run, spec)


def _remove_staged(score_run: ScoreRun, spec: ScoreSpec) -> None:
  storage.delete_tree(spec.staging)
  storage.delete_if_empty(posixpath.dirname(spec.staging))
  storage.delete_if_empty(storage.join(score_run.output, FOLDER))
  if score_run.crosswalk:
    storage.delete_tree(staging_folder(score_run.crosswalk))


def build(
  pipeline: beam.Pipeline, inputs: Sequence[Input], spec: ScoreSpec, score_run: ScoreRun
) -> beam.PCollection[str]:
  """Wires the job; the one element that comes out is the path of the run record."""
  results = (
    pipeline
    | 'Inputs' >> beam.Create(inputs)
    | 'ListShards' >> ListShards(spec.decode.limits, usable_cores())
    | 'ScoreShards' >> ScoreShards(spec)
  )
  flagged = results | 'FlagDuplicates' >> FlagDuplicates(spec.staging, PREDICTIONS_ROLE)
  return (
    pipeline
    | 'Once' >> beam.Create([score_run])
    | 'PublishPredictions'
    >> beam.Map(
      publish_predictions,
      results=beam.pvalue.AsIter(flagged.results),
      duplicates=beam.pvalue.AsSingleton(flagged.counts),
    )
  )


def publish_predictions(score_run: ScoreRun, results: Iterable[ShardResult], duplicates: DuplicateCounts) -> str:
  """Publishes the files of a run, then its record; safe to run again.

  Returns:
    The path of the record.
  """
  chosen = choose_results(results)
  counts = {'content': duplicates.content, 'pixels': duplicates.pixels}
  record = _record(score_run, chosen) | {'duplicates': counts}
  files = [
    (file.path, part_name(number, len(chosen), 'parquet')) for number, file in with_role(chosen, PREDICTIONS_ROLE)
  ]
  publish_folder(files, storage.join(score_run.output, score_run.predictions))
  if score_run.crosswalk:
    publish_crosswalk(chosen, score_run.crosswalk, score_run.columns.run_id)
  commit_record(score_run.output, record)
  return score_run.record_path


def _record(score_run: ScoreRun, results: Sequence[ShardResult]) -> dict[str, Any]:
  columns = score_run.columns
  return {
    'job': 'score',
    'run_id': columns.run_id,
    'run_date': score_run.run_date,
    'state': 'done',
    'started': score_run.started,
    'finished': now().isoformat(),
    'inputs': json.loads(score_run.inputs_json),
    'predictions': score_run.predictions,
    'files': [part_name(number, len(results), 'parquet') for number in range(len(results))],
    **summarise(results),
    'predicted': predicted(results),
    'quality': quality(results),
    'statistics': reported(merge(result.statistics for result in results)),
    'model': {'name': columns.model_name, 'version': columns.model_version, 'digest': columns.model_digest},
    'preprocess_digest': columns.preprocess_digest,
    'config': json.loads(score_run.config_json),
    'config_digest': columns.config_digest,
    'work_digest': score_run.work_digest,
    'pseudonym_key_fingerprint': score_run.key_fingerprint,
    'supersedes_run_id': columns.supersedes_run_id,
    'versions': versions(),
    **with_outcomes(json.loads(score_run.further_json), results),
  }


def with_outcomes(further: dict[str, Any], results: Sequence[ShardResult]) -> dict[str, Any]:
  """Says of each entry, where there are some, whether it has a rejected row."""
  rejected = {file_id for result in results for file_id in result.rejected_files}
  entries = [entry | {'rejected': entry['path_id'] in rejected} for entry in further.get('entries', ())]
  return further | ({'entries': entries} if entries else {})
