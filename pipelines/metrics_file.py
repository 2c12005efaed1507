"""The figures of a night as a file for Prometheus: node_exporter's textfile collector reads it.

Gauges of the last night, in the text exposition format 0.0.4. A night that
crashes leaves the file of the one before: alert on the age of
`radbeam_night_end_timestamp_seconds`.
"""

import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipelines.events import emit
from pipelines.exits import Exit, UsageError
from pipelines.night_figures import DRIFT_MEASURES, STATES, STATUSES, NightFigures, figures_of
from transforms.errors import CODES

_PREFIX: Final = 'radbeam_night_'
_MODE: Final = 0o644  # another user's node_exporter reads it
_FINE: Final = (Exit.DONE, Exit.NOTHING_TO_DO)
_LAST_SUCCESS: Final = 'last_success_timestamp_seconds'
_ESCAPES: Final = str.maketrans({'\\': r'\\', '"': r'\"', '\n': r'\n'})

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Gauge:
  """A metric; its samples are told apart by labels."""

  name: str
  help: str
  samples: tuple[Sample, ...]

  def lines(self) -> Iterator[str]:
    """Its part of the file."""
    name = f'{_PREFIX}{self.name}'
    yield f'# HELP {name} {self.help}'
    yield f'# TYPE {name} gauge'
    for labels, value in self.samples:
      inside = ','.join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
      yield f'{name}{{{inside}}} {value!r}' if inside else f'{name} {value!r}'


# Name and labels of each metric, and what it is. A metric whose figures are not known is not in the file.
METRICS: Final[Mapping[str, str]] = {
  'start_timestamp_seconds': 'When the last night began, in seconds since 1970.',
  'end_timestamp_seconds': 'When its record was written.',
  _LAST_SUCCESS: 'When the last night ended that had exit code 0 or 3.',
  'exit_code': 'Exit code of the last night.',
  'state': '1 for the state that the last night ended in, by state.',
  'model': '1 for the model that scored, by model.',
  'seconds': 'Wall time of the last night.',
  'stage_seconds': 'Wall time of its stages, by stage.',
  'slices': 'Parts that were published.',
  'files': 'Files of the inbox, by what is to become of them: new, done, waiting, left, gone.',
  'inbox_bytes': 'Size of the files of the inbox.',
  'sources': 'Sources, listed and written; the two are equal.',
  'rows': 'Rows published, by status.',
  'reasons': 'Rows rejected or skipped, by reason and status.',
  'predicted': 'Scored rows, by predicted label.',
  'quality': 'Scored rows, by quality flag; duplicates and clashes of UIDs are not among them.',
  'drift': 'Largest drift against the training data, by measure: psi, ks.',
  'alarms': 'Alarms of the last night, by alarm and level.',
}


def check_metrics_file(path: str | None) -> None:
  """Finds out now, and not after hours, whether the file can be written.

  Raises:
    UsageError: if it cannot.
  """
  if path is None:
    return
  folder = os.path.dirname(os.path.abspath(path))
  if '://' in path or os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
    raise UsageError(
      f'--metrics_file is {path}; expected a file in a folder of this machine that is there and can be written'
    )


def write_metrics(path: str, record: Mapping[str, Any]) -> None:
  """Writes the figures of a night in one step; what keeps it from doing so is told, and ends no night.

  Args:
    path: of the file; the collector reads names that end in .prom.
    record: of the night.
  """
  figures = figures_of(record)
  try:
    _replace(path, '\n'.join(metrics_text(figures, _earlier_success(path))).encode() + b'\n')
  except OSError as error:
    emit('metrics-lost', f'the metrics file could not be written ({error.strerror})', errno=error.errno)


def _replace(path: str, data: bytes) -> None:
  temporary = f'{path}.{uuid.uuid4().hex}.tmp'  # no .prom: half a file is not read
  try:
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), 'wb') as file:
      file.write(data)
      file.flush()
      os.fchmod(file.fileno(), _MODE)  # whatever the umask
      os.fsync(file.fileno())
    os.replace(temporary, path)
  finally:
    if os.path.exists(temporary):
      os.unlink(temporary)


def _earlier_success(path: str) -> float | None:
  try:
    with open(path, encoding='utf-8', errors='replace') as file:
      found = re.search(rf'^{_PREFIX}{_LAST_SUCCESS} (\d+(?:\.\d+)?)$', file.read(), re.MULTILINE)
  except OSError:
    return None
  return float(found[1]) if found else None


def metrics_text(figures: NightFigures, earlier_success: float | None = None) -> Iterator[str]:
  """The lines of the file.

  Args:
    figures: of the night.
    earlier_success: what the file says that is to be replaced.
  """
  for gauge in _gauges(figures, earlier_success):
    if gauge.samples:
      yield from gauge.lines()


def _gauges(figures: NightFigures, earlier_success: float | None) -> Iterator[Gauge]:
  ended = figures.finished.timestamp() if figures.finished else None
  samples: dict[str, Iterable[Sample]] = {
    'start_timestamp_seconds': _one(figures.started.timestamp() if figures.started else None),
    'end_timestamp_seconds': _one(ended),
    _LAST_SUCCESS: _one(ended if figures.exit_code in _FINE else earlier_success),
    'exit_code': _one(figures.exit_code),
    'state': _by('state', dict.fromkeys(STATES, 0) | {figures.state: 1}),
    'model': _by('model', {figures.model: 1} if figures.model else {}),
    'seconds': _one(figures.duration_s),
    'stage_seconds': _by('stage', {name: value for name, value in figures.seconds.items() if name != 'total'}),
    'slices': _one(figures.slices),
    'files': _by('what', {name: value for name, value in figures.files.items() if name not in ('bytes', 'files')}),
    'inbox_bytes': _one(figures.files.get('bytes')),
    'sources': _by('what', figures.sources),
    'rows': _by('status', dict.fromkeys(STATUSES, 0) | dict(figures.rows)),
    'reasons': [({'reason': name, 'status': _status(name)}, float(rows)) for name, rows in figures.reasons.items()],
    'predicted': _by('label', figures.predicted),
    'quality': _by('flag', figures.quality),
    'drift': _by('measure', {one: figures.drift[one].value for one in DRIFT_MEASURES if one in figures.drift}),
    'alarms': _alarms(figures),
  }
  for name, text in METRICS.items():
    yield Gauge(name, text, tuple(samples[name]))


def _one(value: float | None) -> list[Sample]:
  return [] if value is None else [({}, float(value))]


def _by(label: str, values: Mapping[str, float]) -> list[Sample]:
  return [({label: name}, float(value)) for name, value in values.items()]


def _status(reason: str) -> str:
  return CODES[reason].status if reason in CODES else 'rejected'


def _alarms(figures: NightFigures) -> list[Sample]:
  pairs = [(alarm.code, alarm.level) for alarm in figures.alarms]
  return [({'alarm': code, 'level': level}, float(pairs.count((code, level)))) for code, level in sorted(set(pairs))]
