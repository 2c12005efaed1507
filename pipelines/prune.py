"""`radbeam prune`: the rows of old nights are deleted; that they were there, and what was done, stays in the records.

A run is pruned in two steps: first its record says so, which takes its rows
from every reader, then its files go. A prune that was killed between the two
is finished by the next one.
"""

import datetime
import logging
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.current import model_of, superseded_runs
from pipelines.exits import Exit, NothingToDo, UsageError
from pipelines.lock import held_lock
from pipelines.night_options import PruneOptions
from pipelines.run_record import new_run_id, now, read_record, record_path, recorded_runs, write_record
from transforms import storage

_LOG = logging.getLogger('radbeam.prune')
PRUNED = 'pruned'  # in a record: the day


@dataclass(frozen=True, slots=True)
class Doomed:
  """A run whose files are to go.

  Attributes:
    folders: of its files, below the output.
    files, bytes: that are there.
  """

  record: dict[str, Any]
  folders: tuple[str, ...]
  files: int
  size_bytes: int


def run(options: PruneOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError, NothingToDo, Locked: as their docstrings say.
  """
  if not storage.exists(options.output):
    raise UsageError(f'--output {options.output} does not exist; name what `radbeam nightly` was given')
  if not options.apply or options.dry_run:
    _report(find_doomed(options, now().date()), 'would prune')
    _LOG.info('nothing was deleted; give --apply to do it')
    return Exit.DONE
  with held_lock(options.output, new_run_id(now(), secrets.token_hex())) as lock:
    doomed = find_doomed(options, now().date())
    _report(doomed, 'pruning')
    for one in doomed:
      lock.check()
      mark(options.output, one.record, now().date())
      delete_files(options.output, one, options.crosswalk)
  return Exit.DONE


def _report(doomed: Sequence[Doomed], what: str) -> None:
  """Raises NothingToDo where there is nothing."""
  if not doomed:
    raise NothingToDo('no run is that old')
  for one in doomed:
    _LOG.info(
      '%s %s of %s: %d files, %d bytes', what, one.record['run_id'], _date(one.record), one.files, one.size_bytes
    )
  rows = sum(sum(one.record.get('rows', {}).values()) for one in doomed if 'predictions' in one.record)
  size_bytes = sum(one.size_bytes for one in doomed)
  _LOG.info('%s %d runs in all: %d files, %d bytes, %d rows', what, len(doomed), _files(doomed), size_bytes, rows)


def _files(doomed: Sequence[Doomed]) -> int:
  return sum(one.files for one in doomed)


def find_doomed(options: PruneOptions, today: datetime.date) -> list[Doomed]:
  """The runs that are old enough, and those that an earlier prune marked and did not finish."""
  records = [read_record(options.output, run_id) for run_id in recorded_runs(options.output)]
  last_day = today - datetime.timedelta(days=options.keep_days)
  superseded = _superseded(options, records, today)
  doomed = []
  for record in records:
    is_old = _folders(record) and (_date(record) < last_day.isoformat() or record['run_id'] in superseded)
    if is_old or PRUNED in record:
      files = list(_stored(options.output, record))
      if files or PRUNED not in record:
        doomed.append(Doomed(record, _folders(record), len(files), sum(file.size_bytes for file in files)))
  return doomed


def _superseded(options: PruneOptions, records: Sequence[dict[str, Any]], today: datetime.date) -> set[str]:
  if options.superseded_days is None:
    return set()
  last_day = (today - datetime.timedelta(days=options.superseded_days)).isoformat()
  readable = [record for record in records if record.get('files') and PRUNED not in record]
  found: set[str] = set()
  for model in {model_of(record) for record in readable}:
    found |= superseded_runs(options.output, [record for record in readable if model_of(record) == model])
  return {record['run_id'] for record in readable if record['run_id'] in found and _date(record) < last_day}


def _date(record: dict[str, Any]) -> str:
  return str(record.get('run_date', ''))


def _folders(record: dict[str, Any]) -> tuple[str, ...]:
  predictions = (record['predictions'],) if record.get('files') else ()
  return (*predictions, *(published['folder'] for published in record.get('studies', ())))


def _stored(output: str, record: dict[str, Any]) -> Iterator[storage.StoredFile]:
  for folder in _folders(record):
    yield from storage.list_files(storage.join(output, folder))


def mark(output: str, record: dict[str, Any], today: datetime.date) -> None:
  """Takes the rows of a run from all readers."""
  if PRUNED not in record:
    write_record(record_path(output, record['run_id']), record | {PRUNED: today.isoformat()})


def delete_files(output: str, doomed: Doomed, crosswalk: str | None) -> None:
  """Deletes the files of a run, and its part of the crosswalk."""
  for folder in doomed.folders:
    storage.delete_tree(storage.join(output, folder))
  if crosswalk:
    storage.delete_tree(storage.join(crosswalk, f'crosswalk-{doomed.record["run_id"]}.parquet'))
