"""What lies in the inbox: files under ids, and which of them are still being written."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from pipelines.events import emit
from transforms import storage
from transforms.concurrency import usable_cores
from transforms.identifiers import Pseudonyms
from transforms.inputs import Input, names_of
from transforms.storage import StoredFile

_LATEST_POLL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class InboxFile:
  """A file of the inbox.

  Attributes:
    folder: position of its inbox among those given.
    path_id: of its name below the inbox.
    crc32c: of its content, hexadecimal; '' while it is not known, or where it cannot be read.
  """

  folder: int
  file: StoredFile
  path_id: str
  crc32c: str = ''


@dataclass(frozen=True, slots=True)
class Patience:
  """When a file counts as written.

  Attributes:
    settle_s: once its size and time have been the same for so long, in seconds.
    max_wait_s: those that never come to rest are waited for so long.
    marker: instead of the above: once FILE plus this, or a file of this name in its folder or above, is there.
  """

  settle_s: float
  max_wait_s: float
  marker: str = ''


@dataclass(frozen=True, slots=True)
class Listing:
  """The files that can be worked on, and those that are left for the next run.

  Attributes:
    settled: by inbox.
    waiting: files that are still being written.
    unreadable: inboxes that may not be listed, or are not there.
  """

  settled: tuple[tuple[Input, tuple[StoredFile, ...]], ...]
  waiting: int
  unreadable: int = 0

  def files(self, pseudonyms: Pseudonyms) -> list[InboxFile]:
    """The settled files under their ids."""
    return [
      InboxFile(folder, file, pseudonyms.archive(name))
      for folder, (given, files) in enumerate(self.settled)
      for file, name in zip(files, names_of(given, files), strict=True)
    ]


def list_inbox(
  inbox: Sequence[Input],
  patience: Patience,
  clock: Callable[[], float] = time.time,
  sleep: Callable[[float], None] = time.sleep,
) -> Listing:
  """Lists the inbox, again and again while files in it change, but no longer than patience has it.

  Args:
    inbox: where to look.
    patience: when a file counts as written.
    clock: gives seconds since 1970.
    sleep: waits so many seconds.
  """
  seen: dict[str, tuple[tuple[int, str], float]] = {}
  started = clock()
  while True:
    found = [tuple(storage.list_files(given.path)) for given in inbox]
    if patience.marker:
      return _marked(inbox, found, patience.marker)
    remaining = _remaining(found, seen, patience.settle_s, clock())
    left = started + patience.max_wait_s - clock()
    if not remaining or left <= 0:
      return _without(inbox, found, remaining)
    emit('inbox-waiting', f'{len(remaining)} files are still being written; waiting', files=len(remaining))
    sleep(min(max(min(remaining.values()), 0.1), left, _LATEST_POLL_S))


def _remaining(
  found: Iterable[Iterable[StoredFile]], seen: dict[str, tuple[tuple[int, str], float]], settle_s: float, now: float
) -> dict[str, float]:
  """Seconds for which each file that is not yet settled must stay as it is."""
  remaining: dict[str, float] = {}
  for file in (file for files in found for file in files):
    state = file.size_bytes, file.fingerprint
    if file.path not in seen or seen[file.path][0] != state:
      seen[file.path] = state, _unchanged_since(file, now)
    left = seen[file.path][1] + settle_s - now
    if left > 0:
      remaining[file.path] = left
  return remaining


def _unchanged_since(file: StoredFile, now: float) -> float:
  """A time in the future says nothing: such a file is watched from now on."""
  changed = storage.modified_at(file)
  return changed if changed <= now else now


def _without(inbox: Sequence[Input], found: Sequence[Sequence[StoredFile]], waiting: Collection[str]) -> Listing:
  settled = [tuple(file for file in files if file.path not in waiting) for files in found]
  unreadable = sum(map(_is_unreadable, inbox, found))
  return Listing(tuple(zip(inbox, settled, strict=True)), len(waiting), unreadable)


def _is_unreadable(given: Input, found: Sequence[StoredFile]) -> bool:
  """Whether an inbox says nothing of what is in it: one that is empty is readable."""
  if not found:
    return storage.is_local(given.path) and not storage.exists(given.path)  # a bucket has no folders to miss
  return any(file.problem and file.path == given.path for file in found)


def _marked(inbox: Sequence[Input], found: Sequence[Sequence[StoredFile]], marker: str) -> Listing:
  """The files whose marker is there; the markers themselves are no input."""
  paths = {file.path for files in found for file in files}
  markers = {path for path in paths if path.endswith(marker)}
  marked = {path for path in paths - markers if f'{path}{marker}' in markers or _is_below(path, marker, markers)}
  listing = _without(inbox, found, paths - marked)
  return replace(listing, waiting=listing.waiting - len(markers))


def _is_below(path: str, marker: str, markers: set[str]) -> bool:
  folder = os.path.dirname(path)
  while folder not in ('', '/') and not folder.endswith(':/'):
    if f'{folder}/{marker}' in markers:
      return True
    folder = os.path.dirname(folder)
  return False


def with_crcs(files: Sequence[InboxFile]) -> list[InboxFile]:
  """The files with the checksum of their content, read on all cores where the store does not know it."""
  with ThreadPoolExecutor(usable_cores()) as pool:
    return [replace(file, crc32c=crc) for file, crc in zip(files, pool.map(_crc_of, files), strict=True)]


def _crc_of(file: InboxFile) -> str:
  if file.file.crc32c or not file.file.regular:
    return file.file.crc32c
  try:
    return storage.crc32c_of(file.file.path)
  except OSError:  # its row says so
    return ''


def as_inputs(files: Iterable[InboxFile], inbox: Sequence[Input]) -> list[Input]:
  """Files of one or several inboxes as inputs of a run, called as if the whole inbox were read."""
  ordered = sorted(files, key=lambda file: (file.folder, file.file.path))
  return [
    replace(inbox[folder], files=tuple(file.file for file in group))
    for folder, group in groupby(ordered, key=lambda file: file.folder)
  ]
