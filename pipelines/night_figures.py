"""What the record of a night says, for those who watch: the table of runs, the page, metrics and spans.

Records stay for years: fields that an older version did not write count as
not known.
"""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from transforms.errors import CODES

JOB: Final = 'nightly'
INTERRUPTED: Final = 'interrupted'
STATES: Final = ('done', 'nothing-to-do', 'deadline', 'too-many-rejects', 'alarm')
STATUSES: Final = ('scored', 'rejected', 'skipped')
DRIFT_MEASURES: Final = ('psi', 'ks')
_ID_TIME: Final = '%Y%m%dT%H%M%SZ'
_ID_TIME_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class Alarm:
  """A figure beyond its threshold; `level` is warn or fail, `detail` holds figures only."""

  code: str
  level: str
  detail: str = ''


@dataclass(frozen=True, slots=True)
class Drift:
  """The largest value of a measure, and what it is of: a feature such as `score`, perhaps of a scanner."""

  value: float
  of: str


@dataclass(frozen=True, slots=True)
class NightFigures:
  """The figures of a night; None where they are not known.

  Attributes:
    exit_code: None for a night that did not come to its end.
    files: of the inbox: `files`, `new`, `done`, `waiting`, `left`, `gone`, `bytes`.
    seconds: wall time by stage.
    drift: by measure, psi and ks.
    usual_files: the median of earlier nights, of the same weekday where that is a quiet one.
    slices: published parts.
  """

  run_id: str
  run_date: str
  state: str
  exit_code: int | None = None
  started: datetime.datetime | None = None
  finished: datetime.datetime | None = None
  model: str = ''
  positive_label: str | None = None
  backfill: str | None = None
  slices: int = 0
  files: Mapping[str, int] = field(default_factory=dict)
  sources: Mapping[str, int] = field(default_factory=dict)
  rows: Mapping[str, int] = field(default_factory=dict)
  reasons: Mapping[str, int] = field(default_factory=dict)
  predicted: Mapping[str, int] = field(default_factory=dict)
  quality: Mapping[str, int] = field(default_factory=dict)
  seconds: Mapping[str, float] = field(default_factory=dict)
  drift: Mapping[str, Drift] = field(default_factory=dict)
  usual_files: float | None = None
  alarms: tuple[Alarm, ...] = ()
  recovered_lock: str | None = None

  @property
  def duration_s(self) -> float | None:
    """From the beginning to the record."""
    if 'total' in self.seconds:
      return self.seconds['total']
    if self.started and self.finished:
      return (self.finished - self.started).total_seconds()
    return None

  @property
  def total_rows(self) -> int:
    """Rows of all statuses."""
    return sum(self.rows.values())

  def top_rejects(self, count: int) -> list[tuple[str, int]]:
    """The most frequent reasons of rejects, the first of equals by name."""
    rejects = (one for one in self.reasons.items() if is_reject(one[0]))
    return sorted(rejects, key=lambda one: (-one[1], one[0]))[:count]


def is_reject(reason: str) -> bool:
  """Whether a reason rejects: what was never meant to be an image is skipped."""
  return reason not in CODES or CODES[reason].status == 'rejected'


def figures_of(record: Mapping[str, Any]) -> NightFigures:
  """Reads the record of a night."""
  model, volume = record.get('model') or {}, record.get('volume') or {}
  return NightFigures(
    run_id=record['run_id'],
    run_date=record.get('run_date') or date_of(record['run_id']),
    state=record.get('state', ''),
    exit_code=record.get('exit_code'),
    started=_time(record.get('started')),
    finished=_time(record.get('finished')),
    model='-'.join(str(model[part]) for part in ('name', 'version') if model.get(part)),
    positive_label=model.get('positive_label'),
    backfill=record.get('backfill'),
    slices=len(record.get('slices', ())),
    files=_numbers(record.get('inbox')),
    sources=_numbers(record.get('sources')),
    rows=_numbers(record.get('rows')),
    reasons=_numbers(record.get('reasons')),
    predicted=_numbers(record.get('predicted')),
    quality=_numbers(record.get('quality')),
    seconds=_numbers(record.get('seconds')),
    drift=drift_of(record.get('drift') or {}),
    usual_files=volume.get('median_of_weekday', volume.get('median_of_last')),
    alarms=tuple(_alarm(one) for one in record.get('alarms') or ()),
    recovered_lock=record.get('recovered_lock'),
  )


def summary_fields(figures: NightFigures) -> dict[str, Any]:
  """The figures as fields of an event, and attributes of a span: ids, codes and figures."""
  return {
    'run_date': figures.run_date,
    'state': figures.state,
    'exit_code': figures.exit_code,
    'model': figures.model or None,
    'slices': figures.slices,
    'files': figures.files,
    'sources': figures.sources,
    'rows': figures.rows,
    'reasons': figures.reasons,
    'drift': {measure: drift.value for measure, drift in figures.drift.items()},
    'alarms': sorted({alarm.code for alarm in figures.alarms}),
    'seconds': figures.seconds,
  }


def _numbers(table: Mapping[str, Any] | None) -> dict[str, Any]:
  return {name: value for name, value in (table or {}).items() if isinstance(value, int | float)}


def _alarm(entry: Mapping[str, Any]) -> Alarm:
  detail = entry.get('detail')
  if isinstance(detail, Mapping):
    detail = ', '.join(f'{name} {value}' for name, value in detail.items())
  return Alarm(str(entry['code']), str(entry.get('level', 'warn')), '' if detail is None else str(detail))


def _time(text: str | None) -> datetime.datetime | None:
  return datetime.datetime.fromisoformat(text) if text else None


def drift_of(drift: Mapping[str, Any]) -> dict[str, Drift]:
  """The largest figure of each measure over all images, and over scanners where chance does not explain it."""
  largest: dict[str, Drift] = {}
  for of, figures in _compared(drift):
    for measure in DRIFT_MEASURES:
      value = figures.get(measure)
      if isinstance(value, int | float) and (measure not in largest or value > largest[measure].value):
        largest[measure] = Drift(float(value), of)
  return largest


def _compared(drift: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
  for feature, figures in drift.get('features', {}).items():
    yield feature, figures
  for scanner, group in drift.get('scanners', {}).items():
    for feature, figures in group.get('features', {}).items():
      beyond = [name for name in DRIFT_MEASURES if figures.get(name, 0) > figures.get(f'{name}_noise', 0)]
      yield f'{feature} of {scanner}', {name: figures[name] for name in beyond}


def time_of(run_id: str) -> datetime.datetime | None:
  """When a run began, as its id says."""
  try:
    return datetime.datetime.strptime(run_id[:_ID_TIME_CHARS], _ID_TIME).replace(tzinfo=datetime.UTC)
  except ValueError:
    return None


def date_of(run_id: str) -> str:
  """The day on which a run began; '' if its id does not say."""
  time = time_of(run_id)
  return time.date().isoformat() if time else ''
