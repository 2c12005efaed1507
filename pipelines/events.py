"""What a run says of itself: events with stable codes, for a person as a line of text, for a machine as JSON.

`emit` goes through the logger, so that a line stays what it was on a
terminal; `pipelines.log_output` writes the same event as JSON. Fields are ids,
codes and figures: a text that could quote the input, or name a place, is refused.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Scalar = str | int | float | bool | None
Field = Scalar | Sequence[Scalar] | Mapping[str, Scalar]

LOGGER: Final = 'radbeam.events'
RECORD_FIELD: Final = 'radbeam_event'  # attribute of a log record that holds its event

_CODE_OR_ID: Final = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.:+=-]{0,199}')
_RESERVED: Final = frozenset({'time', 'level', 'event', 'run_id', 'logger', 'text', 'traceback'})


@dataclass(frozen=True, slots=True)
class EventKind:
  """What stands behind a code.

  Attributes:
    meaning: when it is said.
    level: warnings are shown with --quiet as well.
  """

  meaning: str
  level: int = logging.INFO


@dataclass(frozen=True, slots=True)
class Event:
  """Something that happened; `text` is for a person, and None where a person need not be told."""

  code: str
  text: str | None
  fields: Mapping[str, Any]


# Codes are for those who filter by them: they stay, whatever becomes of the texts.
EVENTS: Final[Mapping[str, EventKind]] = {
  'night-started': EventKind('the lock is held and the night begins'),
  'lock-recovered': EventKind('the run that held the lock has died; this one goes on in its place', logging.WARNING),
  'inbox-listed': EventKind('what the inbox holds: files new, done, still being written'),
  'inbox-waiting': EventKind('waits for files that are still being written'),
  'nothing-new': EventKind('there is nothing to score'),
  'slice-started': EventKind('a part of the night begins'),
  'slice-published': EventKind('the rows of a part are there, and its record'),
  'deadline-reached': EventKind('no further slice is begun; the next run goes on', logging.WARNING),
  'leftovers-removed': EventKind('what a run that died had left unfinished is gone'),
  'record-damaged': EventKind('a run record cannot be read; it is left out, or if empty set aside', logging.WARNING),
  'alarm': EventKind('a figure is beyond its threshold', logging.WARNING),
  'night-finished': EventKind('the record of the night is written'),
  'runs-pruned': EventKind('rows of old runs were deleted; their records stay'),
  'id-looked-up': EventKind('somebody was told what an id stands for, or that it is not known'),
  'metrics-lost': EventKind('the file of --metrics_file could not be written', logging.WARNING),
  'telemetry-lost': EventKind("OpenTelemetry's collector did not take spans", logging.WARNING),
  'message': EventKind('a line for persons that has no code of its own; paths in it are withheld'),
  'job-ended': EventKind('the last line of every job: exit code and outcome, and of a crash where it happened'),
}

_run_id: str | None = None


def emit(code: str, text: str | None, **fields: Field) -> None:
  """Says that something happened.

  Args:
    code: one of `EVENTS`.
    text: the line for a person; None if a person need not be told.
    fields: ids, codes, figures, and lists and tables of them.

  Raises:
    ValueError, TypeError: if the code is unknown, or a field is something else: a defect.
  """
  kind = EVENTS[code]
  for name, value in fields.items():
    if name in _RESERVED:
      raise ValueError(f'field {name} is set for every event; name it otherwise')
    check_field(name, value)
  say(Event(code, text, fields), kind.level)


def say(event: Event, level: int) -> None:
  """`emit` for what was checked."""
  logging.getLogger(LOGGER).log(level, '%s', event.text, extra={RECORD_FIELD: event})


def name_run(run_id: str | None) -> None:
  """From now on each event carries the id of this run."""
  global _run_id
  _run_id = run_id


def current_run() -> str | None:
  """The run that `name_run` named."""
  return _run_id


def check_field(name: str, value: Field) -> None:
  """Refuses what may not leave.

  Raises:
    ValueError, TypeError: if it is more than ids, codes and figures.
  """
  if isinstance(value, Mapping):
    parts: list[Any] = [*value, *value.values()]
  else:
    parts = list(value) if isinstance(value, list | tuple) else [value]
  for part in parts:
    if not (part is None or isinstance(part, str | int | float)):
      raise TypeError(f'field {name} holds a {type(part).__name__}; expected ids, codes and figures')
    if isinstance(part, str) and not _CODE_OR_ID.fullmatch(part):
      raise ValueError(f'field {name} holds a text that is no id and no code; expected one, such as too-large')
