"""What has been done: the files of past slices, by content and by what scored them.

The truth are the entries in the slices' run records, which commit a slice and
its entries in one step. A snapshot of them all saves reading thousands of
records; it can be lost or be old without harm.
"""

import io
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from pipelines.run_record import code_version, list_records, record_before_scoring
from transforms import storage

_LOG = logging.getLogger('radbeam.ledger')
FOLDER: Final = 'ledger'
_RUNS: Final = b'radbeam.runs'  # in the snapshot's metadata: the records that are in it
_STALE_RUNS: Final = 20  # more records than that which are in no snapshot are worth a new one


class Content(NamedTuple):
  """A file as it was at some time; the checksum is '' where it could not be read."""

  path_id: str
  size_bytes: int
  crc32c: str


@dataclass(frozen=True, slots=True)
class Entry:
  """A file of a past slice.

  Attributes:
    run_date: the day that its rows are filed under; '' where it was only looked at, and found done.
    model: name and version; skip_digest: of the model and of all else that decides a row.
    fingerprint: the store's, when the file was listed.
    rejected: whether there is a rejected row of it.
    failed: whether there is a row of it on which radbeam itself failed.
    unread: whether it was not read to its end, and so is not done.
    code_version: of the radbeam that wrote the rows; '' of records that do not say.
  """

  run_id: str
  run_date: str
  model: str
  skip_digest: str
  path_id: str
  size_bytes: int
  fingerprint: str
  crc32c: str
  rejected: bool
  failed: bool = False
  unread: bool = False
  code_version: str = ''

  @property
  def content(self) -> Content:
    """What makes it the same file."""
    return Content(self.path_id, self.size_bytes, self.crc32c)


_COLUMNS: Final = tuple(field.name for field in fields(Entry))
_NEWER: Final = {'failed': False, 'unread': False, 'code_version': ''}  # columns that older snapshots do not have


class Ledger:
  """Answers whether a file is done, and by whom."""

  def __init__(self, entries: Iterable[Entry] = (), runs: Iterable[str] = (), code_version: str = '') -> None:
    """Takes the entries of past slices.

    Args:
      entries: of all records.
      runs: that have a record.
      code_version: of this radbeam.
    """
    self.runs: set[str] = set(runs)
    self.entries: list[Entry] = []
    self._crcs: dict[tuple[str, int, str], str] = {}
    self._code_version = code_version
    self._done: dict[tuple[Content, str], Entry] = {}
    self._first_dates: dict[Content, str] = {}
    self._latest: dict[tuple[str, str], str] = {}
    for entry in sorted(entries, key=lambda entry: entry.run_id):
      self._add(entry)

  def _add(self, entry: Entry) -> None:
    self.entries.append(entry)
    if entry.run_date:
      self._latest[entry.path_id, entry.model] = entry.run_id
    if entry.unread:  # and whatever is known of its content may not be so any more
      return
    if entry.crc32c:  # what could not be read may be readable by now
      self._crcs[entry.path_id, entry.size_bytes, entry.fingerprint] = entry.crc32c
    if entry.run_date:
      self._done[entry.content, entry.skip_digest] = entry
      self._first_dates.setdefault(entry.content, entry.run_date)

  def crc_of(self, path_id: str, size_bytes: int, fingerprint: str) -> str:
    """The checksum of a file that has not changed since it was listed; '' if that is not known."""
    return self._crcs.get((path_id, size_bytes, fingerprint), '')

  def is_done(self, content: Content, skip_digest: str) -> bool:
    """Whether this content was scored by this model and configuration; rejected counts as well.

    What radbeam itself failed on is done for the version that failed.
    """
    entry = self._done.get((content, skip_digest))
    return entry is not None and not (entry.failed and entry.code_version != self._code_version)

  def is_rejected(self, content: Content, skip_digest: str) -> bool:
    """Whether it was, and the latest time with a rejected row."""
    entry = self._done.get((content, skip_digest))
    return entry is not None and entry.rejected

  def first_date(self, content: Content) -> str | None:
    """The day under which this content was first scored, by whichever model; None if it never was."""
    return self._first_dates.get(content)

  def contents_of(self, first_date: str, last_date: str) -> set[Content]:
    """What was first scored on these days."""
    return {content for content, date in self._first_dates.items() if first_date <= date <= last_date}

  def latest_run(self, path_ids: Iterable[str], model: str) -> str | None:
    """The latest run of a model that scored one of these files, whatever was in it."""
    runs = [self._latest[path_id, model] for path_id in path_ids if (path_id, model) in self._latest]
    return max(runs, default=None)


def entries_of(record: Mapping[str, Any]) -> Iterator[Entry]:
  """The entries of a slice's record, and of a night's: the files that were touched, and yet the same."""
  model = record.get('model') or {}
  for entry in (*record.get('entries', ()), *record.get('touched', ())):
    yield Entry(
      run_id=record['run_id'],
      run_date='' if record['job'] == 'nightly' else record['run_date'],
      model=f'{model.get("name")}-{model.get("version")}',
      skip_digest=record['skip_digest'],
      code_version=record.get('versions', {}).get('radbeam', ''),
      **entry,
    )


def load_ledger(output: str) -> Ledger:
  """Reads the latest snapshot, and the records that are not in it.

  Raises:
    DamagedRecordError: if one of these is damaged, and its files would be scored again.
  """
  known, entries = _read_snapshot(output)
  runs, lost = list_records(output)
  entries = [entry for entry in entries if entry.run_id not in lost]
  for run_id in sorted(set(runs) - known):
    entries.extend(entries_of(record_before_scoring(output, run_id) or {}))
  return Ledger(entries, runs, code_version())


def save_ledger(output: str) -> None:
  """Writes a new snapshot where that saves the next run much reading; one older snapshot stays."""
  known, _ = _read_snapshot(output)
  ledger = load_ledger(output)
  if len(ledger.runs - known) < _STALE_RUNS:
    return
  older = _snapshots(output)
  storage.write_atomically(storage.join(output, FOLDER, f'snapshot-{max(ledger.runs)}.parquet'), _to_parquet(ledger))
  for path in older[:-1]:
    storage.delete(path)


def _snapshots(output: str) -> list[str]:
  files = storage.list_files(storage.join(output, FOLDER))
  return sorted(file.path for file in files if file.path.endswith('.parquet'))


def _read_snapshot(output: str) -> tuple[set[str], list[Entry]]:
  for path in reversed(_snapshots(output)):
    try:
      return _from_parquet(storage.read_bytes(path))
    except (ValueError, KeyError, OSError):  # Arrow's errors are some of these
      _LOG.warning('a snapshot of the ledger cannot be read, and is made again from the run records')
  return set(), []


def _to_parquet(ledger: Ledger) -> bytes:
  import pyarrow as pa  # here, because an empty ledger needs none
  import pyarrow.parquet as pq

  columns = {name: [getattr(entry, name) for entry in ledger.entries] for name in _COLUMNS}
  table = pa.table(columns).replace_schema_metadata({_RUNS: json.dumps(sorted(ledger.runs))})
  buffer = io.BytesIO()
  pq.write_table(table, buffer, compression='zstd')
  return buffer.getvalue()


def _from_parquet(data: bytes) -> tuple[set[str], list[Entry]]:
  import pyarrow.parquet as pq

  table = pq.read_table(io.BytesIO(data))
  known = set(table.column_names)
  older = {name: [value] * len(table) for name, value in _NEWER.items() if name not in known}
  columns = [older[name] if name in older else table[name].to_pylist() for name in _COLUMNS]
  runs = set(json.loads(table.schema.metadata[_RUNS]))
  return runs, [Entry(*values) for values in zip(*columns, strict=True)]
