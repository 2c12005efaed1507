"""The latest nights of an output, as their records have them; of those that died, what their slices tell."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipelines.night_figures import INTERRUPTED, JOB, NightFigures, figures_of, time_of
from pipelines.run_record import PRUNE, readable_record, recorded_runs

_SLICE: Final = re.compile(r'(.+)-s\d{4,}')
_COUNTS: Final = ('sources', 'rows', 'reasons', 'predicted', 'quality')


def latest_nights(output: str, count: int) -> list[NightFigures]:
  """The latest nights, newest first.

  A night without a record, or with a damaged one, was interrupted: it is known
  by its published slices, or by the next night or prune, which found its lock.
  Slices that a later night counts as its own are not counted a second time.
  """
  runs = recorded_runs(output)
  slices = _slices_by_night(runs)
  nights: list[NightFigures] = []
  counted: set[str] = set()
  died: set[str] = set()
  recovered: set[str | None] = set()
  whole = {run_id for run_id in runs if not _SLICE.fullmatch(run_id)}
  for run_id in sorted(whole | slices.keys(), reverse=True):
    if len(nights) == count:
      break
    record = readable_record(output, run_id) if run_id in whole else None
    if record is None and run_id in slices:
      died.add(run_id)
      nights.append(_interrupted(output, run_id, [one for one in slices[run_id] if one not in counted]))
    if record is None:
      continue
    recovered.add(record.get('recovered_lock'))
    if record.get('job') == JOB:
      nights.append(figures_of(record))
      counted.update(record.get('slices', ()))
  found = {one for one in recovered if one and not one.endswith(PRUNE)} - whole - died
  nights += [_interrupted(output, run_id, ()) for run_id in found]
  return sorted(nights, key=lambda night: night.run_id, reverse=True)[:count]


def _slices_by_night(runs: Iterable[str]) -> dict[str, list[str]]:
  nights: dict[str, list[str]] = {}
  for run_id in runs:
    found = _SLICE.fullmatch(run_id)
    if found:
      nights.setdefault(found[1], []).append(run_id)
  return nights


def _interrupted(output: str, run_id: str, slices: Sequence[str]) -> NightFigures:
  """What would stand in the record."""
  records = list(filter(None, (readable_record(output, one) for one in slices)))
  first = records[0] if records else {}
  started = time_of(run_id)
  return figures_of(
    {
      'run_id': run_id,
      'run_date': first.get('run_date'),
      'state': INTERRUPTED,
      'started': started.isoformat() if started else None,
      'model': first.get('model'),
      'slices': slices,
      'inbox': {'new': sum(len(record.get('entries', ())) for record in records)} if records else {},
      **{name: _sum(record.get(name, {}) for record in records) for name in _COUNTS},
    }
  )


def _sum(tables: Iterable[Mapping[str, Any]]) -> dict[str, int]:
  total: Counter[str] = Counter()
  for table in tables:
    total.update(table)
  return dict(total)
