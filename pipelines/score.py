"""`radbeam score`: archives and a bundle become predictions, a row for every input."""

import datetime
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam

from model.bundle import Bundle, load_bundle
from model.handler import HandlerOptions
from pipelines.beam_options import make_runner, pipeline_options
from pipelines.crosswalk import staging_folder
from pipelines.duplicates import FlagDuplicates
from pipelines.exits import Exit, UsageError
from pipelines.keys import key_path
from pipelines.launch import RUNS, check_rejects, config_of, decode_options, inputs_or_record, report_listing
from pipelines.options import ScoreOptions
from pipelines.progress import shard_progress
from pipelines.publish import part_name, publish_crosswalk, publish_folder, with_role
from pipelines.run_record import code_version, new_run_id, now, summarise, versions, write_record
from pipelines.score_rows import PREDICTIONS_ROLE, RunColumns
from pipelines.score_shards import ScoreShards, ScoreSpec
from pipelines.staging import FOLDER, ShardResult, choose_results, digest_of
from transforms import storage
from transforms.concurrency import usable_cores
from transforms.decode import DecodeOptions
from transforms.duplicates import DuplicateCounts
from transforms.identifiers import Pseudonyms, read_key
from transforms.inputs import Input
from transforms.read_beam import ListShards

_LOG = logging.getLogger('radbeam.score')
_START: Final = 'run.json'  # in the staging folder: which run this work belongs to


@dataclass(frozen=True, slots=True)
class ScoreRun:
  """What the last step needs to know of the run."""

  output: str
  run_date: str
  started: str
  work_digest: str
  key_fingerprint: str
  config_json: str
  inputs_json: str
  columns: RunColumns
  crosswalk: str = ''

  @property
  def record_path(self) -> str:
    """The run record: the commit point."""
    return storage.join(self.output, RUNS, f'{self.columns.run_id}.json')

  @property
  def predictions(self) -> str:
    """The folder of this run's files, below the output."""
    columns = self.columns
    return (
      f'predictions/run_date={self.run_date}/model={columns.model_name}-{columns.model_version}/run_id={columns.run_id}'
    )


def run(options: ScoreOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError, NothingToDo, TooManyRejects, BundleError: as their docstrings say.
  """
  bundle = load_bundle(options.bundle)
  bundle.verify()
  inputs = inputs_or_record(options, 'score')
  decode = decode_options(options, bundle.spec)
  if options.dry_run:
    report_listing(inputs, decode.limits, _LOG)
    return Exit.DONE
  key = key_path(options.pseudonym_key_file)
  score_run, spec = plan(options, inputs, bundle, decode, key)
  pipeline = beam.Pipeline(runner=make_runner(beam_args), options=pipeline_options(beam_args))
  with shard_progress(spec.staging, options.quiet), pipeline:
    build(pipeline, inputs, spec, score_run)
  return _finish(options, score_run, spec)


def plan(
  options: ScoreOptions, inputs: Sequence[Input], bundle: Bundle, decode: DecodeOptions, key: str
) -> tuple[ScoreRun, ScoreSpec]:
  """Decides which run this is: a new one, or one that was killed and goes on.

  Raises:
    UsageError: if the same work was done before and --overwrite is not given.
  """
  pseudonyms = Pseudonyms(read_key(key))
  handler = HandlerOptions(options.batch_size, options.deterministic)
  config = _config_digest(decode, handler, bundle, pseudonyms, bool(options.crosswalk))
  named = [[given.path, given.name] for given in inputs]
  work = digest_of({'inputs': named, 'config': config, 'run_date': options.run_date})
  earlier = _earlier_run(options.output, work)
  if earlier and not options.overwrite:
    raise UsageError(
      f'these inputs were scored by this model as run {earlier}; give --overwrite for a new run that supersedes it'
    )
  staging = storage.join(options.output, FOLDER, work[:16])
  started = _start(staging, work)
  columns = _columns(bundle, started, config, earlier)
  score_run = ScoreRun(
    output=options.output,
    run_date=options.run_date,
    started=started['started'],
    work_digest=work,
    key_fingerprint=pseudonyms.fingerprint,
    config_json=json.dumps(config_of(options, decode), sort_keys=True),
    inputs_json=json.dumps([pseudonyms.archive(given.name) for given in inputs]),
    columns=columns,
    crosswalk=options.crosswalk or '',
  )
  return score_run, ScoreSpec(decode, handler, bundle, columns, staging, key, score_run.crosswalk)


def _config_digest(
  decode: DecodeOptions, handler: HandlerOptions, bundle: Bundle, pseudonyms: Pseudonyms, crosswalk: bool
) -> str:
  return digest_of(
    {
      'decode': repr(decode),
      'handler': repr(handler),
      'model': bundle.model_digest,
      'key': pseudonyms.fingerprint,
      'crosswalk': crosswalk,
      'code': code_version(),
    }
  )


def _columns(bundle: Bundle, started: Mapping[str, str], config: str, earlier: str | None) -> RunColumns:
  return RunColumns(
    run_id=started['run_id'],
    scored_at=datetime.datetime.fromisoformat(started['started']),
    model_name=bundle.name,
    model_version=bundle.version,
    model_digest=bundle.model_digest,
    preprocess_digest=bundle.preprocess_digest,
    config_digest=config,
    code_version=code_version(),
    supersedes_run_id=earlier,
  )


def _start(staging: str, work: str) -> dict[str, str]:
  """The run that this work belongs to: of the attempt that was killed, or a new one."""
  path = storage.join(staging, _START)
  if storage.exists(path):
    start: dict[str, str] = json.loads(storage.read_bytes(path))
    _LOG.info('going on with run %s, which did not come to its end', start['run_id'])
    return start
  started = now()
  start = {'run_id': new_run_id(started, work), 'started': started.isoformat()}
  storage.write_atomically(path, json.dumps(start).encode())
  return start


def _earlier_run(output: str, work: str) -> str | None:
  """The latest run that did the same work and was committed."""
  found = None
  for file in storage.list_files(storage.join(output, RUNS)):
    if file.path.endswith('.json'):
      record = json.loads(storage.read_bytes(file.path))
      if record.get('work_digest') == work:
        found = record['run_id']
  return found


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
  write_record(score_run.record_path, record)
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
    'model': {'name': columns.model_name, 'version': columns.model_version, 'digest': columns.model_digest},
    'preprocess_digest': columns.preprocess_digest,
    'config': json.loads(score_run.config_json),
    'config_digest': columns.config_digest,
    'work_digest': score_run.work_digest,
    'pseudonym_key_fingerprint': score_run.key_fingerprint,
    'supersedes_run_id': columns.supersedes_run_id,
    'versions': versions(),
  }


def _finish(options: ScoreOptions, score_run: ScoreRun, spec: ScoreSpec) -> Exit:
  storage.delete_tree(spec.staging)
  storage.delete_if_empty(storage.join(options.output, FOLDER))
  if score_run.crosswalk:
    storage.delete_tree(staging_folder(score_run.crosswalk))
  record = json.loads(storage.read_bytes(score_run.record_path))
  sources, rows = record['sources']['written'], record['rows']
  _LOG.info('%d sources, rows %s -> %s/%s', sources, rows, options.output, score_run.predictions)
  check_rejects(record, options.max_reject_ratio)
  return Exit.DONE
