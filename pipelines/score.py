"""`radbeam score`: archives and bundles become predictions, a row for every input and model."""

import contextlib
import datetime
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from model.bundle import Bundle, load_bundle
from model.intended_use import OUTSIDE, REASONS
from pipelines.alarms import end_of_run
from pipelines.beam_options import waits
from pipelines.exits import Exit, UsageError
from pipelines.launch import check_rejects, decode_options, inputs_or_record, report_listing
from pipelines.lock import held_work
from pipelines.options import ScoreOptions
from pipelines.output_key import check_key
from pipelines.run_record import by_model, is_slice, new_run_id, now, record_before_scoring, recorded_runs
from pipelines.score_record import ScoreRun
from pipelines.score_run import Scoring, execute, scoring_of, submit
from pipelines.score_shards import ScoreSpec
from pipelines.staging import FOLDER, begun_run, digest_of, start_run
from transforms import storage
from transforms.inputs import Input

_LOG = logging.getLogger('radbeam.score')


def run(options: ScoreOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError, KeyFileError, Locked, NothingToDo, TooManyRejects, BundleError: as their docstrings say.
  """
  bundles = load_bundles(options.bundle)
  check_key(options.output, options.pseudonym_key_file)
  inputs = inputs_or_record(options, 'score')
  if options.dry_run:
    report_listing(inputs, decode_options(options, bundles[0].spec).limits, _LOG)
    return Exit.DONE
  scoring = scoring_of(options, bundles)
  started = now()
  with _alone(scoring, _work(scoring, inputs, options.run_date), started):
    return _run(options, beam_args, scoring, inputs, started)


@contextlib.contextmanager
def _alone(scoring: Scoring, work: str, started: datetime.datetime) -> Iterator[None]:
  """Keeps off whoever is about to do the same work; other runs, and nights, may work on this output meanwhile."""
  staging = scoring.staging(work)
  begun = begun_run(staging)
  run_id = begun['run_id'] if begun else new_run_id(started, work)
  with held_work(f'{staging}.lock', run_id, 'the same inputs, by the same model and options'):
    yield
  storage.delete_if_empty(storage.join(scoring.output, FOLDER))


def _run(
  options: ScoreOptions,
  beam_args: Sequence[str],
  scoring: Scoring,
  inputs: Sequence[Input],
  started: datetime.datetime,
) -> Exit:
  score_run, spec = plan(scoring, inputs, options.run_date, options.overwrite, started)
  if not waits(beam_args):
    submit(score_run, spec, inputs, beam_args)
    _LOG.info('submitted as run %s; it is done when its record is there', score_run.run_id)
    return Exit.DONE
  parts = by_model(execute(score_run, spec, inputs, beam_args, options.quiet))
  for part in parts:
    sources, rows = part['sources']['written'], part['rows']
    _LOG.info('%d sources, rows %s -> %s/%s', sources, rows, options.output, part['predictions'])
    _report_outside(part['quality'])
  code = end_of_run(parts[0])  # what was not read or not decoded is so for all models
  if code == Exit.DONE:  # what is most urgent to know decides
    for part in parts:
      check_rejects(part, options.max_reject_ratio)
  return code


def load_bundles(paths: Sequence[str]) -> list[Bundle]:
  """Loads and verifies the models of a run: they are fed the same pixels, and their rows lie in folders of their names.

  Raises:
    BundleError: if one cannot be used.
    UsageError: if two were made for images preprocessed differently, or are called the same.
  """
  bundles = [load_bundle(path) for path in paths]
  for bundle in bundles:
    bundle.verify()
  first, *others = bundles
  for other in others:
    if other.spec != first.spec:
      raise UsageError(
        f'--bundle {_called(other)} takes images preprocessed by {other.spec.to_json()}, {_called(first)} by '
        f'{first.spec.to_json()}; one run decodes an image once: score by each in a run of its own'
      )
  names = Counter(map(_called, bundles))
  for name, count in names.items():
    if count > 1:
      raise UsageError(f'{count} of --bundle are called {name}; name each model once, and no two alike')
  return bundles


def _called(bundle: Bundle) -> str:
  return f'{bundle.name}-{bundle.version}'


def _report_outside(flags: Mapping[str, int]) -> None:
  if OUTSIDE in flags:
    why = ', '.join(f'{flag} {rows}' for flag, rows in flags.items() if flag in REASONS)
    _LOG.info('%d scored rows are unlike the images that the model was trained on: %s', flags[OUTSIDE], why)


def _work(scoring: Scoring, inputs: Sequence[Input], run_date: str) -> str:
  named = [[given.path, given.name] for given in inputs]
  return digest_of({'inputs': named, 'config': scoring.config_digest, 'run_date': run_date})


def plan(
  scoring: Scoring, inputs: Sequence[Input], run_date: str, overwrite: bool, started: datetime.datetime
) -> tuple[ScoreRun, ScoreSpec]:
  """Decides which run this is: a new one, or one that was killed and goes on.

  Raises:
    UsageError: if the same work was done before and is not to be done again.
  """
  work = _work(scoring, inputs, run_date)
  earlier = _earlier_run(scoring.output, work)
  if earlier and not overwrite:
    raise UsageError(f'these inputs were scored so as run {earlier}; give --overwrite for a new run that supersedes it')
  new = {'run_id': new_run_id(started, work), 'started': started.isoformat()}
  staging = scoring.staging(work)
  start = start_run(staging, new)
  columns = scoring.columns(start['run_id'], datetime.datetime.fromisoformat(start['started']), earlier)
  names = [scoring.pseudonyms.archive(given.name) for given in inputs]
  return scoring.run(columns, run_date, work, names), scoring.spec(columns, staging)


def _earlier_run(output: str, work: str) -> str | None:
  """The latest run that did the same work and was committed; a part of a night never did.

  Raises:
    DamagedRecordError: if that cannot be told.
  """
  runs = (run_id for run_id in reversed(recorded_runs(output)) if not is_slice(run_id))
  records = (record_before_scoring(output, run_id) or {} for run_id in runs)
  return next((record['run_id'] for record in records if record.get('work_digest') == work), None)
