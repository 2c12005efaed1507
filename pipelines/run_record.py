"""The run record: what a run was given, what it made, and how it ended. Written last; ids and figures only."""

import datetime
import functools
import json
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple

from pipelines.events import emit
from pipelines.staging import ShardResult, check_conservation, total_counts
from transforms import storage

RUNS: Final = 'runs'  # folder of the records, below the output
PRUNE: Final = '-prune'  # the end of the id of a prune, which nobody misses if it dies
_LONG: Final = frozenset({'entries', 'touched', 'inputs', 'statistics'})  # in records, of no use to who reads many
_REQUESTS: Final = 16
_SLICE: Final = '-s'  # in the ids of slices, between the night's id and the number
_ID_TIME: Final = '%Y%m%dT%H%M%SZ'
_ID_TIME_CHARS: Final = 16
_ID: Final = re.compile(r'\d{8}T\d{6}Z-[\w-]+')
_NAME: Final = re.compile(r'([A-Za-z0-9][\w-]*)\.json(\.damaged)?')
_SET_ASIDE: Final = '.damaged'
_PACKAGES: Final = ('radbeam', 'apache-beam', 'tensorflow', 'tensorflow-transform', 'keras', 'opencv-python-headless')


class DamagedRecordError(ValueError):
  """A run record cannot be read, and going on without it would lose something; the text says what to do."""


class Records(NamedTuple):
  """What the folder of the records holds.

  Attributes:
    runs: that have a record, in the order of their times.
    lost: runs whose record is empty, as a power cut leaves it, or was set aside: they did not happen.
  """

  runs: list[str]
  lost: set[str]


def now() -> datetime.datetime:
  """The current time in UTC, to the second."""
  return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def new_run_id(started: datetime.datetime, digest: str) -> str:
  """Sorts by time, and tells apart runs that start in the same second."""
  return f'{id_time(started)}-{digest[:8]}'


def id_time(moment: datetime.datetime) -> str:
  """A time as run ids begin: ids of runs that began before are less."""
  return f'{moment:{_ID_TIME}}'


def is_slice(run_id: str) -> bool:
  """Whether a run is a part of a night."""
  return _SLICE in run_id


def after_all_others(output: str, started: datetime.datetime) -> datetime.datetime:
  """A start later than that of all other runs of this output, so that ids sort: the clock may have gone back."""
  latest = max(filter(_ID.fullmatch, recorded_runs(output)), default='')[:_ID_TIME_CHARS]
  if latest < id_time(started):
    return started
  return datetime.datetime.strptime(latest, _ID_TIME).replace(tzinfo=datetime.UTC) + datetime.timedelta(seconds=1)


def versions() -> dict[str, str]:
  """Versions of what decides a result."""
  return {'python': platform.python_version()} | {package: _version(package) for package in _PACKAGES}


def code_version() -> str:
  """The version of radbeam."""
  return _version('radbeam')


def _version(package: str) -> str:
  try:
    return version(package)
  except PackageNotFoundError:
    return 'not installed'


def summarise(results: Sequence[ShardResult]) -> dict[str, Any]:
  """Sources, and rows by status and by reason, of a run's shards; checks the conservation law."""
  listed, written = check_conservation(results)
  status: Counter[str] = Counter()
  reason: Counter[str] = Counter()
  for (row_status, row_reason, _, _), rows in total_counts(results).items():
    status[row_status] += rows
    reason[row_reason] += rows if row_reason else 0
  return {
    'sources': {'listed': listed, 'written': written},
    'rows': dict(sorted(status.items())),
    'reasons': dict(sorted((+reason).items())),
  }


def predicted(results: Sequence[ShardResult]) -> dict[str, int]:
  """Scored rows by predicted label."""
  labels: Counter[str] = Counter()
  for (status, _, _, label), rows in total_counts(results).items():
    labels[label] += rows if status == 'scored' else 0
  return dict(sorted((+labels).items()))


def quality(results: Sequence[ShardResult]) -> dict[str, int]:
  """Scored rows by quality flag."""
  flags: Counter[str] = Counter()
  for result in results:
    flags.update(dict(result.quality))
  return dict(sorted(flags.items()))


def record_path(output: str, run_id: str) -> str:
  """Where the record of a run is."""
  return storage.join(output, RUNS, f'{run_id}.json')


def recorded_runs(output: str) -> list[str]:
  """The runs that have a record, in the order of their times."""
  return list_records(output).runs


def list_records(output: str) -> Records:
  """Looks at names and sizes only; files that cannot be records are passed over."""
  folder = storage.join(output, RUNS)
  named = [
    (_NAME.fullmatch(file.path[len(folder) :].strip('/')), file.size_bytes) for file in storage.list_files(folder)
  ]
  found = [(name, size) for name, size in named if name]
  runs = {name[1] for name, size in found if size and not name[2]}
  return Records(sorted(runs), {name[1] for name, _ in found} - runs)


def read_record(output: str, run_id: str) -> dict[str, Any]:
  """The record of a run.

  Raises:
    DamagedRecordError: if it is none.
  """
  try:
    record = json.loads(storage.read_bytes(record_path(output, run_id)))
  except ValueError:  # of JSON, and of UTF-8
    record = None
  if isinstance(record, dict) and record.get('run_id') == run_id and isinstance(record.get('job'), str):
    return record
  raise DamagedRecordError(
    f'the record {RUNS}/{run_id}.json is damaged; restore it from a backup, or rename it to {run_id}.json{_SET_ASIDE}: '
    'then the rows of this run do not count any more, and its files are scored again'
  )


def readable_record(output: str, run_id: str) -> dict[str, Any] | None:
  """The record of a run; None, and a warning, where it is damaged or was set aside: for who only reads."""
  try:
    return read_record(output, run_id)
  except (DamagedRecordError, FileNotFoundError):
    _say_damaged(record_path(output, run_id), run_id, 'left out')
    return None


def record_before_scoring(output: str, run_id: str) -> dict[str, Any] | None:
  """`readable_record` for who is about to score: what scored files is not left out, else they would be scored again.

  Raises:
    DamagedRecordError: if the run is part of a night, or has published rows.
  """
  try:
    return read_record(output, run_id)
  except DamagedRecordError:
    if is_slice(run_id) or _has_rows(output, run_id):
      raise
  return readable_record(output, run_id)


def _has_rows(output: str, run_id: str) -> bool:
  files = storage.list_files(storage.join(output, 'predictions'))
  return any(f'/run_id={run_id}/' in file.path for file in files)


def set_aside_empty(output: str) -> None:
  """Renames records without a byte: those runs did not happen, and their files are scored again; under the lock."""
  for run_id in sorted(list_records(output).lost):
    path = record_path(output, run_id)
    if storage.exists(path) and not storage.exists(path + _SET_ASIDE):
      storage.move(path, path + _SET_ASIDE)
      _say_damaged(path, run_id, 'empty, so that the run did not happen')


@functools.cache  # once a process for each, however many read it
def _say_damaged(path: str, run_id: str, what: str) -> None:
  named = run_id if _ID.fullmatch(run_id) else 'of-another-program'
  emit('record-damaged', f'the record of run {named} is damaged: {what}', damaged=named)


def read_outlines(output: str, run_ids: Iterable[str]) -> list[dict[str, Any]]:
  """The records of some runs, in their order, without what grows with the inbox: years of them fit in memory.

  Damaged ones are left out.
  """
  wanted = list(run_ids)
  if storage.is_local(output):
    outlines = [_outline(output, run_id) for run_id in wanted]
  else:
    with ThreadPoolExecutor(_REQUESTS) as pool:  # each is a request, and waits for its answer
      outlines = list(pool.map(lambda run_id: _outline(output, run_id), wanted))
  return [outline for outline in outlines if outline]


def _outline(output: str, run_id: str) -> dict[str, Any] | None:
  whole = readable_record(output, run_id)
  if whole is None:
    return None
  record = _short(whole)
  return record | ({'models': [_short(part) for part in record['models']]} if 'models' in record else {})


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in record.items() if name not in _LONG}


def by_model(record: Mapping[str, Any]) -> list[dict[str, Any]]:
  """The record of a run of scoring as the records of runs of one model each, in the order of the models."""
  shared = {name: value for name, value in record.items() if name != 'models'}
  return [shared | part for part in record.get('models', ({},))]


def commit_record(output: str, record: Mapping[str, Any]) -> None:
  """Writes the record of a run, in one step: from now on the run has happened.

  Of two attempts at the same run the first commits; the second finds that it is done. An empty record is none.
  """
  path = record_path(output, record['run_id'])
  if not storage.write_new(path, _to_json(record)) and record['run_id'] in list_records(output).lost:
    write_record(path, record)


def _to_json(record: Mapping[str, Any]) -> bytes:
  return (json.dumps(record, indent=2, sort_keys=True) + '\n').encode()


def write_record(path: str, record: Mapping[str, Any]) -> None:
  """Writes a record, in one step, in the place of an earlier one if there is any."""
  storage.write_atomically(path, _to_json(record))
