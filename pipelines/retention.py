"""What may go: rows that are too old, and rows that later runs have replaced.

A run is marked as pruned in its record first, so that no reader counts it any
more, and then loses its files: one that is killed in between is gone on with by
the next. Records and the ledger stay, so that nothing is scored again.
"""

import datetime
import pathlib
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pipelines.crosswalk_search import PREFIX as CROSSWALK
from pipelines.current import model_of, standing_runs
from pipelines.run_record import RUNS, by_model, read_outlines, read_record, record_path, recorded_runs, write_record
from pipelines.studies import FOLDER as STUDIES
from pipelines.studies import standing_nights
from transforms import storage

Why = Literal['age', 'superseded', 'unfinished']
Record = Mapping[str, Any]
_FOLDERS: Final = ('predictions', STUDIES)
_RUN: Final = re.compile(r'/run_id=([^/]+)/')


@dataclass(frozen=True, slots=True)
class Terms:
  """How long rows are kept, in days since the run date that they are filed under.

  Attributes:
    superseded_days: the same for runs of which no row stands any more; None: as the others.
  """

  keep_days: int
  superseded_days: int | None


@dataclass(frozen=True, slots=True)
class Going:
  """A run whose rows are to go, or were to go already.

  Attributes:
    why: `unfinished` where the record says so already, but files are there.
    rows: of images, and of studies.
    files: how many, crosswalk included; size_bytes: of them all.
    folders: of the output.
    crosswalk: files of the crosswalk.
  """

  run_id: str
  run_date: str
  why: Why
  rows: int
  files: int
  size_bytes: int
  folders: tuple[str, ...]
  crosswalk: tuple[str, ...]


def find_going(output: str, terms: Terms, crosswalk: str | None, today: datetime.date) -> list[Going]:
  """The runs that are to lose their rows, oldest first."""
  records = read_outlines(output, recorded_runs(output))
  whys = _whys(output, records, terms, today)
  files = _files_by_run(output, crosswalk)
  going = (_going(record, whys.get(record['run_id']), files[record['run_id']]) for record in records)
  return [one for one in going if one]


def _going(record: Record, why: Why | None, files: Sequence[storage.StoredFile]) -> Going | None:
  if why is None and 'pruned' in record and files:
    why = 'unfinished'
  if why is None:
    return None
  folders = {posixpath.dirname(file.path) for file in files if not _is_crosswalk(file.path)}
  crosswalk = tuple(file.path for file in files if _is_crosswalk(file.path))
  size = sum(file.size_bytes for file in files)
  return Going(
    record['run_id'],
    record.get('run_date', ''),
    why,
    _rows_of(record),
    len(files),
    size,
    tuple(sorted(folders)),
    crosswalk,
  )


def _is_crosswalk(path: str) -> bool:
  return posixpath.basename(path).startswith(CROSSWALK)


def _rows_of(record: Record) -> int:
  images = sum(record.get('rows', {}).values()) if _has_images(record) else 0
  return images + sum(published['studies'] for published in record.get('studies', ()))


def _has_images(record: Record) -> bool:
  return any(part.get('files') for part in by_model(record))


def _has_rows(record: Record) -> bool:
  return 'pruned' not in record and (_has_images(record) or bool(record.get('studies')))


def _whys(output: str, records: Sequence[Record], terms: Terms, today: datetime.date) -> dict[str, Why]:
  """Why each run goes that goes."""
  readable = [record for record in records if _has_rows(record)]
  aged = _dated_before(readable, today, terms.keep_days)
  superseded: set[str] = set()
  if terms.superseded_days is not None:
    superseded = _dated_before(readable, today, terms.superseded_days) - aged
    staying = [record for record in readable if record['run_id'] not in aged]  # what goes supersedes nothing
    superseded -= _standing(output, staying) if superseded else set()
  whys: dict[str, Why] = dict.fromkeys(aged, 'age')
  return whys | dict.fromkeys(superseded, 'superseded')


def _dated_before(records: Iterable[Record], today: datetime.date, days: int) -> set[str]:
  limit = (today - datetime.timedelta(days=days)).isoformat()
  return {record['run_id'] for record in records if record.get('run_date', limit) < limit}


def _standing(output: str, records: Iterable[Record]) -> set[str]:
  """Runs with a row that is current, of images or of studies."""
  models: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
  for part in (part for record in records for part in by_model(record)):
    if part.get('files'):
      models[model_of(part)].append(part)
  of_images = (standing_runs(output, of_model) for of_model in models.values())
  return set().union(*of_images, standing_nights(output))


def _files_by_run(output: str, crosswalk: str | None) -> defaultdict[str, list[storage.StoredFile]]:
  files: defaultdict[str, list[storage.StoredFile]] = defaultdict(list)
  for folder in _FOLDERS:
    for file in storage.list_files(storage.join(output, folder)):
      found = _RUN.search(file.path[len(output) :])
      if found:
        files[found[1]].append(file)
  for path in pathlib.Path(crosswalk).glob(f'{CROSSWALK}*.parquet') if crosswalk else ():
    run_id = path.stem.removeprefix(CROSSWALK)
    files[run_id].append(storage.StoredFile(str(path), path.stat().st_size, ''))
  return files


def remove(output: str, going: Sequence[Going], today: datetime.date, check: Callable[[], None]) -> None:
  """Marks all runs, then removes their files.

  Args:
    output: of the nights, whose lock is held.
    going: the runs.
    today: for their records.
    check: raises if the lock is lost.
  """
  for one in going:
    if one.why != 'unfinished':
      check()
      mark(output, one.run_id, today)
  for one in going:
    check()
    _remove_files(one)
  _remove_temporaries(output, {one.run_id for one in going})


def mark(output: str, run_id: str, today: datetime.date) -> None:
  """From now on the rows of a run do not count."""
  write_record(record_path(output, run_id), read_record(output, run_id) | {'pruned': today.isoformat()})


def _remove_files(one: Going) -> None:
  for path in one.crosswalk:
    pathlib.Path(path).unlink(missing_ok=True)
  for folder in one.folders:
    storage.delete_tree(folder)
    by_model = posixpath.dirname(folder)
    storage.delete_if_empty(by_model)
    storage.delete_if_empty(posixpath.dirname(by_model))


def _remove_temporaries(output: str, run_ids: set[str]) -> None:
  """Records that a killed run of this job was writing anew."""
  for file in storage.list_files(storage.join(output, RUNS)):
    name = posixpath.basename(file.path)
    if name.endswith('.tmp') and name.partition('.json')[0] in run_ids:
      storage.delete(file.path)
