"""`radbeam prune`: the rows of old nights are deleted; that they were there and what was done stays in the records."""

import datetime
import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipelines.events import emit, name_run
from pipelines.exits import Exit, NothingToDo, UsageError
from pipelines.lock import held_lock
from pipelines.night_leftovers import remove_traces
from pipelines.night_options import PruneOptions
from pipelines.retention import Going, Terms, find_going, remove
from pipelines.run_record import PRUNE, after_all_others, commit_record, new_run_id, now
from transforms import storage

_LOG = logging.getLogger('radbeam.prune')
JOB = 'prune'


def run(options: PruneOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError, NothingToDo, Locked: as their docstrings say.
  """
  if not storage.exists(options.output):
    raise UsageError(f'--output {options.output} does not exist; name what `radbeam nightly` was given')
  if not options.apply or options.dry_run:
    _report(_going(options), 'would prune')
    _LOG.info('nothing was deleted; give --apply to do it')
    return Exit.DONE
  started, token = now(), secrets.token_hex()
  with held_lock(options.output, new_run_id(started, token) + PRUNE) as lock:
    if lock.recovered:
      remove_traces(options.output, lock.recovered)
    going = _going(options)
    remove(options.output, going, now().date(), lock.check)
    started = after_all_others(options.output, started)
    record = _record(options, new_run_id(started, token) + PRUNE, started, going) | {'recovered_lock': lock.recovered}
    lock.check()
    commit_record(options.output, record)
  name_run(record['run_id'])
  emit('runs-pruned', None, runs=len(going), **_totals(going))
  _report(going, 'pruned')
  return Exit.DONE


def _going(options: PruneOptions) -> list[Going]:
  terms = Terms(options.keep_days, options.superseded_days)
  return find_going(options.output, terms, options.crosswalk, now().date())


def _record(options: PruneOptions, run_id: str, started: datetime.datetime, going: Sequence[Going]) -> dict[str, Any]:
  return {
    'job': JOB,
    'run_id': run_id,
    'state': 'done' if going else 'nothing-to-do',
    'exit_code': int(Exit.DONE if going else Exit.NOTHING_TO_DO),
    'started': started.isoformat(),
    'finished': now().isoformat(),
    'config': {'keep_days': options.keep_days, 'superseded_days': options.superseded_days},
    'pruned_runs': [one.run_id for one in going],
    **_totals(going),
  }


def _totals(going: Sequence[Going]) -> dict[str, int]:
  sums = Counter({'removed_files': 0, 'removed_bytes': 0, 'removed_rows': 0})
  for one in going:
    sums.update(removed_files=one.files, removed_bytes=one.size_bytes, removed_rows=one.rows)
  return dict(sums)


def _report(going: Sequence[Going], what: str) -> None:
  """Raises NothingToDo where there is nothing."""
  if not going:
    raise NothingToDo('no run is that old')
  for one in going:
    _LOG.info(
      '%s %s of %s (%s): %d files, %d bytes, %d rows',
      *(what, one.run_id, one.run_date, one.why, one.files, one.size_bytes, one.rows),
    )
  totals = _totals(going)
  text = '{} {} runs in all: {removed_files} files, {removed_bytes} bytes, {removed_rows} rows'
  _LOG.info(text.format(what, len(going), **totals))
