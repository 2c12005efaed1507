"""One run of scoring, from inputs to published files and the record that commits them.

`radbeam score` makes one such run, `radbeam nightly` one for each slice of a night.
"""

import datetime
import itertools
import json
import logging
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from model.bundle import Bundle
from model.handler import BundlesModelHandler, HandlerOptions, MakeHandler
from pipelines.beam_options import make_runner, pipeline_options
from pipelines.crosswalk import remove_staged
from pipelines.duplicates import FlagDuplicates, Outputs
from pipelines.keys import key_path, read_site_key
from pipelines.launch import config_of, decode_options
from pipelines.night_options import NightlyOptions
from pipelines.options import ScoreOptions
from pipelines.progress import shard_progress
from pipelines.publish import part_name, publish_crosswalk, publish_folder, with_role
from pipelines.run_record import code_version, commit_record
from pipelines.score_record import ScoreRun, score_record
from pipelines.score_rows import PREDICTIONS_ROLE, RowsOf, RunColumns
from pipelines.score_shards import ScoreShards, ScoreSpec
from pipelines.staging import FOLDER, ShardResult, check_failures, choose_results, digest_of
from transforms import storage
from transforms.concurrency import usable_cores
from transforms.decode import DecodeOptions
from transforms.duplicates import DuplicateCounts
from transforms.identifiers import Pseudonyms
from transforms.inputs import Input
from transforms.read_beam import ListShards

_LOG = logging.getLogger('radbeam.score')


@dataclass(frozen=True, slots=True)
class Scoring:
  """What is the same for all runs of a job: how images become scores, and where they go."""

  bundles: tuple[Bundle, ...]
  decode: DecodeOptions
  handler: HandlerOptions
  pseudonyms: Pseudonyms
  key_path: str
  output: str
  crosswalk: str
  config: Mapping[str, Any]
  make_handler: MakeHandler = BundlesModelHandler.of

  @property
  def config_digest(self) -> str:
    """Of everything but the inputs that decides the rows."""
    digests = [self._digest_of_rows(bundle) for bundle in self.bundles]
    return digests[0] if len(digests) == 1 else digest_of({'models': digests})

  def _digest_of_rows(self, bundle: Bundle) -> str:
    """The same for the rows of one model: alone or beside others it says the same."""
    return digest_of(
      {
        'decode': repr(self.decode),
        'handler': repr(self.handler),
        'model': bundle.model_digest,
        'intended_use': bundle.intended_use.to_facts(),
        'key': self.pseudonyms.fingerprint,
        'crosswalk': bool(self.crosswalk),
        'code': code_version(),
      }
    )

  def staging(self, work: str) -> str:
    """The folder of a run's unfinished work."""
    return storage.join(self.output, FOLDER, work[:16])

  def spec(self, columns: Sequence[RunColumns], staging: str) -> ScoreSpec:
    """How the shards of a run are scored; one model needs no folder of its own."""
    folders = [storage.join(staging, str(number)) if len(columns) > 1 else staging for number in range(len(columns))]
    parts = zip(self.bundles, columns, folders, range(len(columns)), strict=True)
    models = tuple(itertools.starmap(RowsOf, parts))
    return ScoreSpec(self.decode, self.handler, models, staging, self.key_path, self.crosswalk, self.make_handler)

  def columns(self, run_id: str, started: datetime.datetime, supersedes_run_id: str | None) -> tuple[RunColumns, ...]:
    """For each model what all its rows of a run say."""
    return tuple(
      RunColumns(
        run_id=run_id,
        scored_at=started,
        model_name=bundle.name,
        model_version=bundle.version,
        model_digest=bundle.model_digest,
        preprocess_digest=bundle.preprocess_digest,
        config_digest=self._digest_of_rows(bundle),
        code_version=code_version(),
        supersedes_run_id=supersedes_run_id,
      )
      for bundle in self.bundles
    )

  def run(
    self,
    columns: tuple[RunColumns, ...],
    run_date: str,
    work: str,
    inputs: Sequence[str],
    further: Mapping[str, Any] | None = None,
  ) -> ScoreRun:
    """The run as its last step knows it; `inputs` are ids."""
    return ScoreRun(
      output=self.output,
      run_date=run_date,
      started=columns[0].scored_at.isoformat(),
      work_digest=work,
      key_fingerprint=self.pseudonyms.fingerprint,
      config_json=json.dumps(self.config, sort_keys=True),
      inputs_json=json.dumps(inputs),
      models=columns,
      crosswalk=self.crosswalk,
      further_json=json.dumps(further or {}),
    )


def scoring_of(options: ScoreOptions | NightlyOptions, bundles: Sequence[Bundle]) -> Scoring:
  """How these options have images scored, by bundles of the same preprocessing.

  Raises:
    KeyFileError, RulesError: if a file that they name cannot be used.
  """
  decode = decode_options(options, bundles[0].spec)
  key = key_path(options.pseudonym_key_file)
  return Scoring(
    bundles=tuple(bundles),
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
  with shard_progress(spec.models[-1].staging, quiet), pipeline:
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
    remove_staged(score_run.crosswalk, spec.staging)


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
  flagged = [_flag_duplicates(results, model, len(spec.models)) for model in spec.models]
  return (
    pipeline
    | 'Once' >> beam.Create([score_run])
    | 'PublishPredictions'
    >> beam.Map(
      publish_predictions,
      *(beam.pvalue.AsIter(model.results) for model in flagged),
      duplicates=beam.pvalue.AsSingleton(flagged[0].counts),  # the models were fed the same pixels
      staging=(spec.staging, *(model.staging for model in spec.models)),
    )
  )


def _flag_duplicates(results: beam.PCollection[ShardResult], model: RowsOf, models: int) -> Outputs:
  """The results of one model; where it is the only one there is nothing to tell apart."""
  if models == 1:
    return results | 'FlagDuplicates' >> FlagDuplicates(model.staging, PREDICTIONS_ROLE)
  own = results | f'ResultsOf{model.number}' >> beam.Filter(_is_of, model.number)
  return own | f'FlagDuplicates{model.number}' >> FlagDuplicates(model.staging, PREDICTIONS_ROLE)


def _is_of(result: ShardResult, model: int) -> bool:
  return result.model == model


def publish_predictions(
  score_run: ScoreRun, *results: Iterable[ShardResult], duplicates: DuplicateCounts, staging: Iterable[str] = ()
) -> str:
  """Publishes the files of a run, then its record; safe to run again.

  Args:
    score_run: whose models are in the same order.
    results: of the shards, for each model.
    duplicates: among the images.
    staging: folders of unfinished work, which begins again where radbeam failed on too many images.

  Returns:
    The path of the record.

  Raises:
    TooManyFailures: if radbeam itself failed on more than a few images.
  """
  chosen = [choose_results(of_model) for of_model in results]
  check_failures(chosen[0], staging)
  record = score_record(score_run, chosen, duplicates)
  for columns, of_model in zip(score_run.models, chosen, strict=True):
    files = [
      (file.path, part_name(number, len(of_model), 'parquet')) for number, file in with_role(of_model, PREDICTIONS_ROLE)
    ]
    publish_folder(files, storage.join(score_run.output, score_run.predictions(columns)))
  if score_run.crosswalk:
    publish_crosswalk(chosen[0], score_run.crosswalk, score_run.run_id)
  commit_record(score_run.output, record)
  return score_run.record_path
