"""Figures of a night in words, the same in the table and on the page."""

from collections.abc import Iterator

from pipelines.night_figures import NightFigures

NOT_KNOWN = '–'


def duration_text(seconds: float | None) -> str:
  """Seconds, minutes or hours, in two parts at most."""
  if seconds is None:
    return NOT_KNOWN
  whole = round(seconds)
  if whole < 60:
    return f'{seconds:.1f} s' if seconds < 10 else f'{whole} s'
  minutes = round(seconds / 60)
  return f'{minutes} min' if minutes < 60 else f'{minutes // 60} h {minutes % 60:02} min'


def notes_of(night: NightFigures) -> Iterator[str]:
  """What is special about a night: alarms first."""
  for alarm in night.alarms:
    yield f'{alarm.level}: {alarm.code}' + (f' ({alarm.detail})' if alarm.detail else '')
  if night.backfill:
    yield f'backfill {night.backfill}'
  if night.files.get('left'):
    yield f'{_files(night.files["left"])} left'
  if night.files.get('waiting'):
    yield f'{_files(night.files["waiting"])} still being written'
  if night.recovered_lock:
    yield f'went on for {night.recovered_lock}'


def _files(count: int) -> str:
  return '1 file' if count == 1 else f'{count:,} files'
