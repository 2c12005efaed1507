"""Finished work that is not yet a result: files under unique names, and a marker per finished shard.

A run that is killed leaves its markers; the next one takes over every shard
whose fingerprint is unchanged. Nothing that lies here is ever read as a result.
"""

import hashlib
import json
import logging
import posixpath
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from pipelines.exits import TooManyFailures
from transforms import storage
from transforms.boundary import INTERNAL
from transforms.statistics import Statistics

_LOG = logging.getLogger('radbeam.staging')
FOLDER = '.staging'
FEW_FAILURES: Final = 20
FEW_FAILURES_RATIO: Final = 0.001
_STARTED: Final = 'started'  # folder of notes, in a run's folder
START_FILE = 'run.json'  # in a run's folder there: which run the work belongs to

_FILE_IDS: Final = ('rejected_files', 'failed_files', 'unread_files')

RowKey = tuple[str, str, str, str]  # status, reason, split, label (as given, or as predicted); '' where there is none
RowCounts = Counter[RowKey]


@dataclass(frozen=True, slots=True, order=True)
class StagedFile:
  """A file of a finished shard; `role` says where it belongs once published."""

  role: str
  path: str
  size_bytes: int
  sha256: str


@dataclass(frozen=True, slots=True)
class ShardResult:
  """What became of a shard.

  Attributes:
    number: of the shard; fingerprint: of its inputs and of the job's configuration.
    listed: sources that the listings promise; written: distinct `source_id` in the rows.
    counts: rows by (status, reason, split, label), '' where there is none.
    rejected_files: ids of the files below the inputs that have a rejected row, where a job asks for them.
    failed_files: of these, those with a row `internal-error`.
    unread_files: ids of the files that were not read to their end, whatever rows they have.
    statistics: a sketch of `transforms.statistics` of what was scored; empty where a job makes none.
    quality: scored rows by quality flag, but for duplicates and clashes of UIDs, which are known only after all shards.
    model: which of the models of a run of scoring these rows are of; each has results of its own.
  """

  number: int
  fingerprint: str
  files: tuple[StagedFile, ...]
  listed: int
  written: int
  counts: tuple[tuple[RowKey, int], ...]
  rejected_files: tuple[str, ...] = ()
  statistics: Statistics = field(default_factory=dict, hash=False)
  quality: tuple[tuple[str, int], ...] = ()
  model: int = 0
  failed_files: tuple[str, ...] = ()
  unread_files: tuple[str, ...] = ()

  @property
  def content(self) -> tuple[object, ...]:
    """What two attempts at the same shard must agree on."""
    return (
      self.fingerprint,
      self.listed,
      self.written,
      self.counts,
      self.rejected_files,
      self.failed_files,
      self.unread_files,
      self.statistics,
      self.quality,
      [(f.role, f.sha256) for f in self.files],
    )


class StagedWriter:
  """Hands out unique names below one staging folder and describes what was written to them."""

  def __init__(self, folder: str, number: int) -> None:
    self._stem = f'shard-{number:05d}-{uuid.uuid4().hex}'
    self._folder = folder

  def path(self, role: str) -> str:
    """A new name for a file of this shard."""
    return storage.join(self._folder, role.replace('/', '-'), self._stem)

  def describe(self, role: str) -> StagedFile:
    """Size and digest of a file that was written and closed."""
    path = self.path(role)
    digest = hashlib.sha256()
    size = 0
    with storage.open_read(path) as file:
      while block := file.read(1 << 20):
        digest.update(block)
        size += len(block)
    return StagedFile(role, path, size, digest.hexdigest())


def marker_folder(folder: str) -> str:
  """Where the markers of finished shards lie."""
  return storage.join(folder, 'finished')


def start_shard(folder: str, fingerprint: str) -> bool:
  """Notes that a shard is being decoded.

  Returns:
    Whether this is the first attempt: an earlier one that left no marker was
    killed, perhaps by an image, and this one had better be careful.
  """
  return storage.write_note(storage.join(folder, _STARTED, fingerprint))


def write_marker(folder: str, result: ShardResult) -> None:
  """Says that a shard is finished: written last, after all of its files."""
  name = f'shard-{result.number:05d}-{uuid.uuid4().hex}.json'
  storage.write_atomically(storage.join(marker_folder(folder), name), json.dumps(asdict(result)).encode())


def find_finished(folder: str, number: int, fingerprint: str) -> ShardResult | None:
  """The result of an earlier attempt at the same work, if all of its files are still there."""
  for marker in storage.list_files(marker_folder(folder)):
    name = posixpath.basename(marker.path)
    if not (name.startswith(f'shard-{number:05d}-') and name.endswith('.json')):
      continue
    result = _read_marker(marker.path)
    if result and result.fingerprint == fingerprint and all(_is_there(file) for file in result.files):
      return result
  return None


def _read_marker(path: str) -> ShardResult | None:
  """What a marker says; one that breaks off, as after a power cut, counts as not there."""
  values = read_note(path)
  try:
    return _parse(values) if values else None
  except (KeyError, TypeError, ValueError):  # JSON, but no marker
    return None


def read_note(path: str) -> dict[str, Any] | None:
  """A small JSON object that a killed run may have left; None where it breaks off, or is none."""
  try:
    values = json.loads(storage.read_bytes(path))
  except ValueError:  # of JSON, and of UTF-8
    return None
  return values if isinstance(values, dict) else None


def _is_there(file: StagedFile) -> bool:
  return any(found.size_bytes == file.size_bytes for found in storage.list_files(file.path))


def _parse(values: dict[str, object]) -> ShardResult:
  files = tuple(StagedFile(**file) for file in values.pop('files'))  # type: ignore[attr-defined]
  counts = tuple((tuple(key), count) for key, count in values.pop('counts'))  # type: ignore[attr-defined]
  ids: dict[str, tuple[str, ...]] = {name: tuple(values.pop(name, ())) for name in _FILE_IDS}  # type: ignore[arg-type]
  quality = tuple((flag, rows) for flag, rows in values.pop('quality', ()))  # type: ignore[attr-defined]
  return ShardResult(files=files, counts=counts, quality=quality, **ids, **values)  # type: ignore[arg-type]


def choose_results(results: Iterable[ShardResult]) -> list[ShardResult]:
  """One result per shard, whichever attempt, in the order of the shards.

  Raises:
    ValueError: if two attempts at a shard differ, or a number is missing: a bug.
  """
  chosen: dict[int, ShardResult] = {}
  for result in sorted(results, key=lambda result: (result.number, result.files)):
    first = chosen.setdefault(result.number, result)
    if first.content != result.content:
      raise ValueError(f'two attempts at shard {result.number} differ: the work is not deterministic')
  if sorted(chosen) != list(range(len(chosen))):
    raise ValueError(f'{len(chosen)} shards have a result, but the highest number is {max(chosen)}')
  return [chosen[number] for number in range(len(chosen))]


def check_conservation(results: Iterable[ShardResult]) -> tuple[int, int]:
  """Sources listed and sources written, which must be equal in every shard.

  Raises:
    ValueError: naming the first shard where a source was lost or invented.
  """
  listed = written = 0
  for result in results:
    if result.listed != result.written:
      raise ValueError(f'shard {result.number} lists {result.listed} sources but has rows of {result.written}')
    listed += result.listed
    written += result.written
  return listed, written


def counted(rows: Iterable[Mapping[str, Any]], counts: RowCounts) -> Iterator[Mapping[str, Any]]:
  """Passes rows on, and counts them by outcome as they go by."""
  for row in rows:
    counts[
      row['status'], row['reason'] or '', row.get('split') or '', row.get('label') or row.get('predicted_label') or ''
    ] += 1
    yield row


def check_failures(results: Iterable[ShardResult], staging: Iterable[str]) -> None:
  """Makes sure that images on which radbeam failed are the exception: many are a broken program, and no result.

  Args:
    results: one for each shard.
    staging: folders of this unfinished work; if it cannot be published, the next attempt begins again.

  Raises:
    TooManyFailures: if they are more than a few, and more than one in a thousand.
  """
  by_reason: Counter[str] = Counter()
  for (_, reason, _, _), rows in total_counts(results).items():
    by_reason[reason] += rows
  failed, total = by_reason[INTERNAL], by_reason.total()
  if failed > FEW_FAILURES and failed > FEW_FAILURES_RATIO * total:
    for folder in staging:
      _forget_finished(folder)
    raise TooManyFailures(
      f'radbeam itself failed on {failed} of {total} images, more than {FEW_FAILURES} and more than '
      f'{FEW_FAILURES_RATIO:.1%}; nothing was published. Look for an installation that is broken, or another version'
    )


def _forget_finished(folder: str) -> None:
  """Removes markers and notes."""
  storage.delete_tree(marker_folder(folder))
  forget_started(folder)


def forget_started(folder: str) -> None:
  """Removes the notes of shards that were begun, where it was no image that ended the work on them."""
  storage.delete_tree(storage.join(folder, _STARTED))


def total_counts(results: Iterable[ShardResult]) -> RowCounts:
  """Rows by (status, reason, split, label) over all shards."""
  total: RowCounts = Counter()
  for result in results:
    total.update(dict(result.counts))
  return total


def digest_of(values: Mapping[str, object]) -> str:
  """SHA-256 of a configuration's canonical JSON, hexadecimal."""
  return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def start_run(staging: str, new: Mapping[str, Any]) -> dict[str, Any]:
  """The run that this work belongs to: of the attempt that was killed, or a new one.

  Args:
    staging: of this work.
    new: what a new run is called (`run_id`, `started`), and what else whoever goes on must know.
  """
  start = begun_run(staging)
  if start:
    _LOG.info('going on with run %s, which did not come to its end', start['run_id'])
    return start
  storage.write_atomically(storage.join(staging, START_FILE), json.dumps(new).encode())
  return dict(new)


def begun_run(staging: str) -> dict[str, Any] | None:
  """What a run that was killed has noted of itself; None if there was none, or its note breaks off."""
  path = storage.join(staging, START_FILE)
  start = read_note(path) if storage.exists(path) else None
  return start if start and {'run_id', 'started'} <= start.keys() else None
