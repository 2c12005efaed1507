"""What `radbeam inspect` shows: a table of sources, or one of them in lines, and its picture."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from transforms.elements import Frame, Pixels
from transforms.errors import CODES
from transforms.sniff import Kind

_GUTTER_PX: Final = 8
_GUTTER_GREY: Final = 128
_OUTCOME: Final = ('status', 'reason', 'detail')
_COLUMNS: Final = '{:>6}  {:10}  {:>13}  {:40}'


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
  """One row that the source would have.

  Attributes:
    row: columns of the tables; ids only where there is a key.
    steps: of the pixel chain, as they were taken.
  """

  frame: Frame
  row: Mapping[str, Any]
  steps: tuple[str, ...]

  @property
  def outcome(self) -> str:
    """`ok`, or the status with the reason and what it means."""
    reason = self.row['reason']
    if reason is None:
      return 'ok'
    detail = f'; {self.row["detail"]}' if self.row['detail'] else ''
    return f'{self.row["status"]}, {reason}: {CODES[reason].meaning}{detail}'

  def to_dict(self) -> dict[str, Any]:
    """For JSON."""
    return {**self.row, 'steps': list(self.steps)}


@dataclass(frozen=True, slots=True, eq=False)
class Inspected:
  """One source.

  Attributes:
    number: in the listing, from 1.
    name: may name a patient.
    kind, size_bytes: None where it could not be read.
  """

  number: int
  name: str
  kind: Kind | None
  size_bytes: int | None
  sightings: tuple[Sighting, ...]

  def to_dict(self, names: bool, sighting: Sighting | None = None) -> dict[str, Any]:
    """For JSON: with all rows, or one."""
    chosen = self.sightings if sighting is None else (sighting,)
    named = {'name': self.name} if names else {}
    facts = {'number': self.number, **named, 'kind': self.kind, 'size_bytes': self.size_bytes}
    return {**facts, 'rows': [one.to_dict() for one in chosen]}


def table_header(names: bool) -> str:
  """First line of the table."""
  return (_COLUMNS.format('number', 'kind', 'bytes', 'rows') + ('  name' if names else '')).rstrip()


def table_line(source: Inspected, names: bool) -> str:
  """A source in one line."""
  counts = Counter(sighting.row['reason'] or 'ok' for sighting in source.sightings)
  rows = ', '.join(f'{reason} ({count})' if count > 1 else reason for reason, count in counts.items())
  size = '' if source.size_bytes is None else f'{source.size_bytes:,}'
  line = _COLUMNS.format(source.number, source.kind or '', size, rows)
  return f'{line}  {source.name}' if names else line.rstrip()


def table_footer(statuses: Sequence[str]) -> str:
  """Last line of the table."""
  return ', '.join(f'{count} {status}' for status, count in Counter(statuses).most_common()) or 'nothing'


def source_lines(source: Inspected, sighting: Sighting, names: bool) -> Iterator[str]:
  """A source, one of its rows, and the steps that led there."""
  if names:
    yield f'name: {source.name}'
  size = '' if source.size_bytes is None else f', {source.size_bytes:,} bytes'
  yield f'{source.kind or "not read"}{size}; rows: {len(source.sightings)}'
  yield sighting.outcome
  yield ''
  width = max(map(len, sighting.row))
  for name, value in sighting.row.items():
    if value not in (None, ()) and name not in _OUTCOME:
      yield f'  {name:{width}}  {" ".join(value) if isinstance(value, tuple) else value}'
  yield ''
  yield from (f'  {number}. {step}' for number, step in enumerate(sighting.steps, 1))


def side_by_side(frame: Frame) -> Pixels | None:
  """The picture as displayed, at most 512 pixels high and wide, and as the model is fed, left to right.

  Returns:
    uint8, grey or RGB; None where there are no pixels.
  """
  if frame.pixels is None or frame.original is None:
    return None
  panels = [frame.original, frame.pixels]
  if any(panel.ndim == 3 for panel in panels):
    panels = [panel if panel.ndim == 3 else cv2.cvtColor(panel, cv2.COLOR_GRAY2RGB) for panel in panels]
  height = max(panel.shape[0] for panel in panels)
  gutter = np.full((height, _GUTTER_PX, *panels[0].shape[2:]), _GUTTER_GREY, np.uint8)
  left, right = (_to_height(panel, height) for panel in panels)
  return np.concatenate([left, gutter, right], axis=1)


def _to_height(panel: Pixels, height: int) -> Pixels:
  below = ((0, height - panel.shape[0]), (0, 0), (0, 0))[: panel.ndim]
  return np.pad(panel, below, constant_values=_GUTTER_GREY)
