"""What killed runs of this output left behind: gone on with where it still fits, else removed.

Only called under the lock, so that nobody else is at work on it.
"""

import contextlib
import posixpath
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipelines.events import emit
from pipelines.inbox import InboxFile
from pipelines.ledger import FOLDER as LEDGER
from pipelines.night_work import Slice, entry_of
from pipelines.publish import remove_attempts
from pipelines.run_record import RUNS
from pipelines.staging import FOLDER, START_FILE, begun_run, forget_started
from transforms import storage

_ATTEMPT: Final = 'attempt-'
_NOTED: Final = frozenset({'run_date', 'config_digest', 'predictions', 'supersedes_run_id', 'files'})  # and its start


@dataclass(frozen=True, slots=True)
class Leftover:
  """A slice that was begun: its staging folder, what `start_run` noted there, and how often it was tried."""

  staging: str
  start: Mapping[str, Any]
  attempts: int = 1

  @property
  def run_id(self) -> str:
    """Of the run that did not come to its end, or did, but not to the removal of this."""
    run_id: str = self.start['run_id']
    return run_id


def staging_of_nights(output: str) -> str:
  """Where slices lie while they are at work: apart from `score` runs, which hold no lock."""
  return storage.join(output, FOLDER, 'nightly')


def find_leftovers(output: str) -> list[Leftover]:
  """The begun slices of earlier nights; one whose note breaks off, as after a power cut, counts as not there."""
  files = list(storage.list_files(staging_of_nights(output)))
  tries = Counter(posixpath.dirname(file.path) for file in files if posixpath.basename(file.path).startswith(_ATTEMPT))
  folders = [posixpath.dirname(file.path) for file in files if posixpath.basename(file.path) == START_FILE]
  found = [
    Leftover(folder, start, tries[folder])
    for folder in folders
    if (start := begun_run(folder)) and start.keys() >= _NOTED
  ]
  return sorted(found, key=lambda leftover: leftover.run_id)


@contextlib.contextmanager
def noted_attempt(staging: str) -> Iterator[None]:
  """Notes that a slice is worked on, so that one that never comes to its end does not hold up the others.

  Who is told to end has not been ended by the slice, and takes the note back.
  """
  note = storage.join(staging, f'{_ATTEMPT}{uuid.uuid4().hex}')
  storage.write_note(note)
  try:
    yield
  except (KeyboardInterrupt, SystemExit):
    storage.delete(note)
    forget_started(staging)
    raise


def take_over(
  leftovers: Sequence[Leftover], wanted: Sequence[tuple[str, InboxFile]], config_digest: str
) -> list[tuple[Leftover, Slice]]:
  """The begun slices that can go on: same configuration, and all of their files still wanted as they were.

  They come before all else, since their runs are the older ones.
  """
  by_state = {_state(entry_of(file)): file for _, file in wanted}
  slices: list[tuple[Leftover, Slice]] = []
  for leftover in leftovers:
    files = [by_state.get(_state(entry)) for entry in leftover.start['files']]
    if leftover.start['config_digest'] == config_digest and all(files):
      slices.append((leftover, Slice(leftover.start['run_date'], tuple(file for file in files if file))))
      by_state = {state: file for state, file in by_state.items() if file not in files}
  return slices


def _state(entry: Mapping[str, Any]) -> tuple[Any, ...]:
  return entry['path_id'], entry['size_bytes'], entry['fingerprint'], entry['crc32c']


def remove_leftovers(
  output: str, leftovers: Sequence[Leftover], recorded: Collection[str], recovered: str | None
) -> None:
  """Removes begun slices, and what was published of those that have no record: they did not happen.

  Args:
    output: of the night.
    leftovers: the begun slices.
    recorded: runs that have a record.
    recovered: the night that died while it held the lock.
  """
  for leftover in leftovers:
    predictions = storage.join(output, leftover.start['predictions'])
    remove_attempts(predictions)
    if leftover.run_id not in recorded:
      storage.delete_tree(predictions)
    emit('leftovers-removed', f'removed what run {leftover.run_id} left behind', died=leftover.run_id)
  remove_staging(output)
  if recovered:
    remove_traces(output, recovered)
  _remove_temporaries(storage.join(output, RUNS), tuple(leftover.run_id for leftover in leftovers))
  _remove_temporaries(storage.join(output, LEDGER), ('snapshot-',))


def remove_traces(output: str, died: str) -> None:
  """Removes what the run that died while it held the lock was writing; its begun slices stay."""
  _remove_studies(output, died)
  _remove_temporaries(storage.join(output, RUNS), (died,))


def remove_staging(output: str) -> None:
  """Removes all unfinished work of nights."""
  storage.delete_tree(staging_of_nights(output))
  storage.delete_if_empty(storage.join(output, FOLDER))


def _remove_studies(output: str, night_id: str) -> None:
  """The study rows of a night that died before it wrote its record."""
  for file in storage.list_files(storage.join(output, 'studies')):
    if f'/run_id={night_id}/' in file.path or f'/.run_id={night_id}-' in file.path:
      storage.delete(file.path)
      storage.delete_if_empty(posixpath.dirname(file.path))


def _remove_temporaries(folder: str, beginnings: tuple[str, ...]) -> None:
  """Files that were being written; other runs may be writing some of theirs."""
  for file in storage.list_files(folder):
    name = posixpath.basename(file.path)
    if name.endswith('.tmp') and name.startswith(beginnings):
      storage.delete(file.path)
