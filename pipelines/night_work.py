"""What a night has to do: which files are wanted, in which order, cut into slices. Pure but for reading checksums."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.inbox import InboxFile, with_crcs
from pipelines.ledger import Content, Ledger
from pipelines.night_options import NightlyOptions
from transforms import storage


@dataclass(frozen=True, slots=True)
class Slice:
  """Files that are scored and published together, under one day."""

  run_date: str
  files: tuple[InboxFile, ...]


@dataclass(frozen=True, slots=True)
class Work:
  """What is to be done, and what became of the rest of the inbox.

  Attributes:
    wanted: in the order in which they are to be done, with the day to file each under.
    unseen: how many of them no model has scored: what came since the last night.
    done: files that need no work.
    touched: of these, those whose time changed and whose content did not.
    gone: of a backfill: what was scored on those days, and is not in the inbox any more.
  """

  wanted: tuple[tuple[str, InboxFile], ...]
  unseen: int
  done: int
  touched: tuple[InboxFile, ...]
  gone: int


def content_of(file: InboxFile) -> Content:
  """What makes it the same file in the ledger."""
  return Content(file.path_id, file.file.size_bytes, file.crc32c)


def entry_of(file: InboxFile) -> dict[str, Any]:
  """A file as it stands in a run record; whether it was rejected is known only afterwards."""
  return {
    'path_id': file.path_id,
    'size_bytes': file.file.size_bytes,
    'fingerprint': file.file.fingerprint,
    'crc32c': file.crc32c,
  }


def plan_work(files: Iterable[InboxFile], ledger: Ledger, skip_digest: str, options: NightlyOptions) -> Work:
  """Decides what of the inbox is to be scored."""
  known, unknown = _look_up(files, ledger)
  read = with_crcs(unknown)
  wanted, done = _divide([*known, *read], ledger, skip_digest, options)
  unread = {file.path_id for file in known}
  touched = tuple(file for file in done if file.path_id not in unread and file.crc32c)
  gone = 0
  if options.backfill:
    present = {content_of(file) for file in [*known, *read]}
    gone = len(ledger.contents_of(*dates_of(options.backfill)) - present)
  dated = ((_run_date(file, ledger, options), file) for file in wanted)
  ordered = sorted(dated, key=lambda one: (one[0], *_urgency(one[1], ledger)))
  unseen = sum(ledger.first_date(content_of(file)) is None for file in wanted)
  return Work(tuple(ordered), unseen, len(done), touched, gone)


def dates_of(backfill: str) -> tuple[str, str]:
  """The first and the last day of `FROM..TO`."""
  first, _, last = backfill.partition('..')
  return first, last


def _look_up(files: Iterable[InboxFile], ledger: Ledger) -> tuple[list[InboxFile], list[InboxFile]]:
  """Files whose content is known from their size and time, and those that must be read."""
  known: list[InboxFile] = []
  unknown: list[InboxFile] = []
  for file in files:
    crc = file.file.crc32c or ledger.crc_of(file.path_id, file.file.size_bytes, file.file.fingerprint)
    known.append(replace(file, crc32c=crc)) if crc else unknown.append(file)
  return known, unknown


def _divide(
  files: Iterable[InboxFile], ledger: Ledger, skip_digest: str, options: NightlyOptions
) -> tuple[list[InboxFile], list[InboxFile]]:
  wanted: list[InboxFile] = []
  done: list[InboxFile] = []
  for file in files:
    (wanted if _is_wanted(content_of(file), ledger, skip_digest, options) else done).append(file)
  return wanted, done


def _is_wanted(content: Content, ledger: Ledger, skip_digest: str, options: NightlyOptions) -> bool:
  if options.backfill:
    first, last = dates_of(options.backfill)
    if not first <= (ledger.first_date(content) or '') <= last:
      return False
  if options.only_failed:
    return ledger.is_rejected(content, skip_digest)
  if options.overwrite or (options.retry_rejected and ledger.is_rejected(content, skip_digest)):
    return True
  if options.done_by == 'any' and not options.backfill:
    return ledger.first_date(content) is None
  return not ledger.is_done(content, skip_digest)


def _run_date(file: InboxFile, ledger: Ledger, options: NightlyOptions) -> str:
  """Of a backfill the day of the old rows, beside which the new ones are to stand."""
  return (ledger.first_date(content_of(file)) if options.backfill else None) or options.run_date


def _urgency(file: InboxFile, ledger: Ledger) -> tuple[bool, float, str]:
  """What no model has scored comes first, and of that what came first."""
  return ledger.first_date(content_of(file)) is not None, storage.modified_at(file.file), file.path_id


def cut_slices(wanted: Sequence[tuple[str, InboxFile]], max_files: int, max_bytes: int) -> Iterator[Slice]:
  """Cuts the work into slices of one day each; a file larger than a slice is one by itself."""
  files: list[InboxFile] = []
  size = 0
  day = ''
  for run_date, file in wanted:
    is_full = len(files) >= max_files or size + file.file.size_bytes > max_bytes
    if files and (is_full or run_date != day):
      yield Slice(day, tuple(files))
      files, size = [], 0
    day = run_date
    files.append(file)
    size += file.file.size_bytes
  if files:
    yield Slice(day, tuple(files))
