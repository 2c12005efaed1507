"""`radbeam score`: archives and a bundle become predictions, a row for every input."""

import datetime
import logging
from collections.abc import Mapping, Sequence

from model.bundle import load_bundle
from model.intended_use import OUTSIDE, REASONS
from pipelines.beam_options import waits
from pipelines.exits import Exit, UsageError
from pipelines.launch import check_rejects, decode_options, inputs_or_record, report_listing
from pipelines.options import ScoreOptions
from pipelines.run_record import new_run_id, now, read_record, recorded_runs
from pipelines.score_run import ScoreRun, Scoring, execute, scoring_of, submit
from pipelines.score_shards import ScoreSpec
from pipelines.staging import digest_of, start_run
from transforms.inputs import Input

_LOG = logging.getLogger('radbeam.score')


def run(options: ScoreOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError, NothingToDo, TooManyRejects, BundleError: as their docstrings say.
  """
  bundle = load_bundle(options.bundle)
  bundle.verify()
  inputs = inputs_or_record(options, 'score')
  if options.dry_run:
    report_listing(inputs, decode_options(options, bundle.spec).limits, _LOG)
    return Exit.DONE
  scoring = scoring_of(options, bundle)
  score_run, spec = plan(scoring, inputs, options.run_date, options.overwrite)
  if not waits(beam_args):
    submit(score_run, spec, inputs, beam_args)
    _LOG.info('submitted as run %s; it is done when its record is there', score_run.columns.run_id)
    return Exit.DONE
  record = execute(score_run, spec, inputs, beam_args, options.quiet)
  sources, rows = record['sources']['written'], record['rows']
  _LOG.info('%d sources, rows %s -> %s/%s', sources, rows, options.output, score_run.predictions)
  _report_outside(record['quality'])
  check_rejects(record, options.max_reject_ratio)
  return Exit.DONE


def _report_outside(flags: Mapping[str, int]) -> None:
  if OUTSIDE in flags:
    why = ', '.join(f'{flag} {rows}' for flag, rows in flags.items() if flag in REASONS)
    _LOG.info('%d scored rows are unlike the images that the model was trained on: %s', flags[OUTSIDE], why)


def plan(scoring: Scoring, inputs: Sequence[Input], run_date: str, overwrite: bool) -> tuple[ScoreRun, ScoreSpec]:
  """Decides which run this is: a new one, or one that was killed and goes on.

  Raises:
    UsageError: if the same work was done before and is not to be done again.
  """
  named = [[given.path, given.name] for given in inputs]
  work = digest_of({'inputs': named, 'config': scoring.config_digest, 'run_date': run_date})
  earlier = _earlier_run(scoring.output, work)
  if earlier and not overwrite:
    raise UsageError(
      f'these inputs were scored by this model as run {earlier}; give --overwrite for a new run that supersedes it'
    )
  started = now()
  new = {'run_id': new_run_id(started, work), 'started': started.isoformat()}
  staging = scoring.staging(work)
  start = start_run(staging, new)
  columns = scoring.columns(start['run_id'], datetime.datetime.fromisoformat(start['started']), earlier)
  names = [scoring.pseudonyms.archive(given.name) for given in inputs]
  return scoring.run(columns, run_date, work, names), scoring.spec(columns, staging)


def _earlier_run(output: str, work: str) -> str | None:
  """The latest run that did the same work and was committed."""
  records = (read_record(output, run_id) for run_id in reversed(recorded_runs(output)))
  return next((record['run_id'] for record in records if record.get('work_digest') == work), None)
