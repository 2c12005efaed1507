"""What killed runs of this output left behind: gone on with where it still fits, else removed.

Only called under the lock, so that nobody else is at work on it.
"""

import json
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.events import emit
from pipelines.inbox import InboxFile
from pipelines.night_work import Slice, entry_of
from pipelines.staging import FOLDER, START_FILE
from transforms import storage


@dataclass(frozen=True, slots=True)
class Leftover:
  """A slice that was begun: its staging folder, and what `start_run` noted there."""

  staging: str
  start: Mapping[str, Any]

  @property
  def run_id(self) -> str:
    """Of the run that did not come to its end, or did, but not to the removal of this."""
    run_id: str = self.start['run_id']
    return run_id


def find_leftovers(output: str) -> list[Leftover]:
  """The begun slices of earlier nights; plain `score` runs are left alone."""
  found = []
  for file in storage.list_files(storage.join(output, FOLDER)):
    if posixpath.basename(file.path) == START_FILE:
      start = json.loads(storage.read_bytes(file.path))
      if 'files' in start:
        found.append(Leftover(posixpath.dirname(file.path), start))
  return sorted(found, key=lambda leftover: leftover.run_id)


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


def remove_leftovers(output: str, leftovers: Sequence[Leftover], recorded: Collection[str]) -> None:
  """Removes begun slices, and what was published of those that have no record: they did not happen."""
  for leftover in leftovers:
    if leftover.run_id not in recorded:
      storage.delete_tree(storage.join(output, leftover.start['predictions']))
    storage.delete_tree(leftover.staging)
    emit('leftovers-removed', f'removed what run {leftover.run_id} left behind', died=leftover.run_id)
  storage.delete_if_empty(storage.join(output, FOLDER))
