"""`radbeam runs`: the nights of an output, as a table, as JSON, or as one page that needs no network.

Only records are read, so that it answers at once; neither Beam nor TensorFlow
is loaded for a local output.
"""

import dataclasses
import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipelines.exits import Exit, UsageError
from pipelines.night_figures import INTERRUPTED, NightFigures
from pipelines.night_options import RunsOptions
from pipelines.nights import latest_nights
from pipelines.runs_page import page_of
from pipelines.runs_text import NOT_KNOWN, duration_text, notes_of
from transforms import storage

_TOP_REASONS: Final = 2
_COLUMNS: Final = (
  *('run', 'date', 'state', 'exit', 'model', 'new', 'scored', 'rejected', 'skipped'),
  *('psi', 'ks', 'time', 'reasons', 'notes'),
)
_FIGURES: Final = frozenset({'exit', 'new', 'scored', 'rejected', 'skipped', 'psi', 'ks', 'time'})


def run(options: RunsOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError: if there is no such output, or the page is there already.
  """
  if options.html and storage.exists(options.html) and not options.overwrite:
    raise UsageError(f'{options.html} exists already; give another --html, or --overwrite to replace it')
  if not storage.exists(options.output):
    raise UsageError(f'--output {options.output} does not exist; name what `radbeam nightly` was given')
  nights = latest_nights(options.output, options.last)
  if options.html and not options.dry_run:
    storage.write_atomically(options.html, page_of(nights, datetime.datetime.now(datetime.UTC)).encode())
  if options.json:
    print(json.dumps([as_json(night) for night in nights], indent=2))
  elif options.html:
    print(f'{len(nights)} {"night" if len(nights) == 1 else "nights"} -> {options.html}')
  else:
    print('\n'.join(table_lines(nights)) if nights else 'no night has left a record yet')
  return Exit.DONE


def as_json(night: NightFigures) -> dict[str, Any]:
  """A night as JSON has it."""
  fields = dataclasses.asdict(night) | {'duration_s': night.duration_s}
  return {name: value.isoformat() if isinstance(value, datetime.datetime) else value for name, value in fields.items()}


def table_lines(nights: Sequence[NightFigures]) -> Iterator[str]:
  """The table, newest night first: text to the left, figures to the right."""
  rows = [dict(zip(_COLUMNS, _COLUMNS, strict=True)), *map(_cells, nights)]
  widths = {name: max(len(row[name]) for row in rows) for name in _COLUMNS}
  for row in rows:
    cells = (row[name].rjust(widths[name]) if name in _FIGURES else row[name].ljust(widths[name]) for name in _COLUMNS)
    yield '  '.join(cells).rstrip()


def _cells(night: NightFigures) -> dict[str, str]:
  is_known = night.state != INTERRUPTED or night.slices > 0
  counts = {name: str(night.rows.get(name, 0)) if is_known else NOT_KNOWN for name in ('scored', 'rejected', 'skipped')}
  cells = {
    'run': night.run_id,
    'date': night.run_date,
    'state': night.state,
    'exit': _figure(night.exit_code),
    'model': night.model or NOT_KNOWN,
    'new': _figure(night.files.get('new')),
    **counts,
    'psi': f'{night.drift["psi"].value:.3f}' if 'psi' in night.drift else NOT_KNOWN,
    'ks': f'{night.drift["ks"].value:.3f}' if 'ks' in night.drift else NOT_KNOWN,
    'time': duration_text(night.duration_s),
    'reasons': ', '.join(f'{reason} {rows}' for reason, rows in night.top_rejects(_TOP_REASONS)) or NOT_KNOWN,
    'notes': '; '.join(notes_of(night)),
  }
  return {name: ''.join(char if char.isprintable() else '?' for char in text) for name, text in cells.items()}


def _figure(value: int | None) -> str:
  return NOT_KNOWN if value is None else str(value)
