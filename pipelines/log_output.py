"""Where the events of a run go: lines on stderr, for a person or as JSON, and JSON lines in a file."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pipelines.crashes import traceback_without_texts
from pipelines.events import RECORD_FIELD, Event, current_run, name_run, say
from pipelines.exits import Exit, UsageError

_OURS: Final = 'radbeam'
_PATH: Final = re.compile(r"""(?:\0|[A-Za-z][\w+.-]*:/|[~.]{0,2}/|[\w.-]+/)[^\s,;'"()]*""")
_WITHHELD: Final = '(a path)'
_CALM: Final = (Exit.DONE, Exit.NOTHING_TO_DO)


class JsonLines(logging.Formatter):
  """One JSON object a line: time in UTC, level, code of the event, run, fields; no text but that of failures."""

  def format(self, record: logging.LogRecord) -> str:
    """The line of a record."""
    event = _event_of(record)
    run_id = current_run()
    named = {'run_id': run_id} if run_id else {}
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')
    line = {'time': time, 'level': record.levelname.lower(), 'event': event.code, **named, **event.fields}
    return json.dumps(line, ensure_ascii=True)


def _event_of(record: logging.LogRecord) -> Event:
  event: Event | None = getattr(record, RECORD_FIELD, None)
  text = '' if event else without_paths(record.getMessage())
  return event or Event('message', text, {'logger': record.name, 'text': text})


def _is_for_persons(record: logging.LogRecord) -> bool:
  event: Event | None = getattr(record, RECORD_FIELD, None)
  return event is None or event.text is not None


class _LogFile(logging.FileHandler):
  """A file of JSON lines; a disk that is full ends no run."""

  def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
    """Drops the line: what logging would print quotes it."""


def configure(log_format: str, log_file: str | None, quiet: bool) -> None:
  """Our own lines on stderr, as they are or as JSON; of libraries errors only, and none amid JSON.

  Raises:
    UsageError: if the file of the log cannot be written.
  """
  name_run(None)
  logging.basicConfig(level=logging.ERROR, format='%(name)s: %(message)s', stream=sys.stderr, force=True)
  for handler in logging.getLogger().handlers:
    handler.setLevel(logging.CRITICAL + 1 if log_format == 'json' else logging.ERROR)  # besides the loggers' own
  ours = logging.getLogger(_OURS)
  ours.setLevel(logging.INFO)
  ours.propagate = False
  _close(ours.handlers)
  ours.handlers[:] = [_on_stderr(log_format, quiet)]
  if log_file:
    ours.handlers.append(_in_file(log_file))


def _close(handlers: Iterable[logging.Handler]) -> None:
  for handler in handlers:
    if isinstance(handler, _LogFile):
      handler.close()


def _on_stderr(log_format: str, quiet: bool) -> logging.Handler:
  handler = logging.StreamHandler(sys.stderr)
  handler.setLevel(logging.WARNING if quiet else logging.INFO)
  if log_format == 'json':
    handler.setFormatter(JsonLines())
  else:
    handler.setFormatter(logging.Formatter('%(message)s'))
    handler.addFilter(_is_for_persons)
  return handler


def _in_file(path: str) -> logging.Handler:
  if '://' in path:
    raise UsageError(f'--log_file is {path}; expected a file of this machine, since lines are appended')
  try:
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    handler = _LogFile(path, encoding='utf-8')
  except OSError as error:
    raise UsageError(f'--log_file is {path}, which cannot be written ({error.strerror}); name another') from error
  handler.setFormatter(JsonLines())
  return handler


def is_json_on_stderr() -> bool:
  """Whether stderr is for a machine: nothing else may be written there."""
  handlers = logging.getLogger(_OURS).handlers
  return any(isinstance(one.formatter, JsonLines) and not isinstance(one, _LogFile) for one in handlers)


def end_job(
  job: str, code: int, text: str | None = None, crash: BaseException | None = None, places: Sequence[str] = ()
) -> None:
  """Says how a job ended, for machines: the command line has told the person.

  Args:
    job: its name.
    code: the exit code.
    text: what the person was told.
    crash: a defect.
    places: given by flags; the text may quote them.
  """
  fields: dict[str, Any] = {'job': job, 'exit_code': int(code), 'outcome': _outcome(code)}
  if text:
    fields['text'] = without_paths(text, places)
  if crash is not None:
    fields['traceback'] = traceback_without_texts(crash).splitlines()
  say(Event('job-ended', None, fields), logging.INFO if code in _CALM else logging.ERROR)


def _outcome(code: int) -> str:
  known = {int(one): one.name.lower().replace('_', '-') for one in Exit}
  return known.get(code, 'interrupted')


def without_paths(text: str, places: Sequence[str] = ()) -> str:
  """A text without names of places, since they may identify patients or sites: those given, and what looks like one."""
  for place in places:
    text = re.sub(rf'(?<!\w){re.escape(place)}(?!\w)', '\0', text)  # what stands around it belongs to it
  return _PATH.sub(_WITHHELD, text)
