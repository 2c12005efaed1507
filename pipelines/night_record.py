"""The record of a night: what its slices came to, and how it ended."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipelines.alarms import (
  drift_alarms,
  drift_figures,
  failure_alarms,
  has_failed,
  unread_alarms,
  volume_alarms,
  volume_figures,
)
from pipelines.exits import Exit
from pipelines.launch import reject_ratio
from pipelines.night import Found, Night
from pipelines.night_options import NightlyOptions
from pipelines.night_work import entry_of
from pipelines.run_record import is_slice, now, readable_record, recorded_runs, versions
from pipelines.staging import digest_of
from transforms.statistics import BINS, merge, reported

JOB: Final = 'nightly'
_SUMS: Final = ('sources', 'rows', 'reasons', 'predicted', 'quality', 'duplicates')


@dataclass(frozen=True, slots=True)
class State:
  """How a night ended."""

  name: str
  exit: Exit


def last_nights(output: str, count: int) -> list[dict[str, Any]]:
  """The records of the latest nights, newest first."""
  nights: list[dict[str, Any]] = []
  for run_id in reversed([run_id for run_id in recorded_runs(output) if not is_slice(run_id)]):
    record = readable_record(output, run_id)
    nights += [record] if record and record['job'] == JOB else []
    if len(nights) == count:
      break
  return nights


def unfinished_slices(output: str) -> list[str]:
  """Published slices of nights that were killed before they wrote their record: the next night counts them."""
  slices = [run_id for run_id in recorded_runs(output) if is_slice(run_id)]
  last = next(iter(last_nights(output, 1)), None)
  if last is None:
    return slices
  return [run_id for run_id in slices if run_id > last['run_id'] and run_id not in last['slices']]


def add_up(slices: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
  """The counts of all slices."""
  totals: dict[str, Counter[str]] = {name: Counter() for name in _SUMS}
  for record in slices:
    for name in _SUMS:
      totals[name].update(record.get(name, {}))
  return {name: dict(sorted(counts.items())) for name, counts in totals.items()}


def watched(
  night: Night, found: Found, slices: Sequence[Mapping[str, Any]], last: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
  """What tells whether something is off: statistics, drift, volume, and the alarms that come of them.

  Args:
    night: with the bundle that the images are compared with.
    found: in the inbox.
    slices: the records of the night.
    last: the records of the latest nights, newest first.
  """
  options = night.options
  of_model = (record for record in slices if record['model']['digest'] == night.bundle.model_digest)
  sketches = [record.get('statistics', {}) for record in of_model]
  statistics = merge(sketch for sketch in sketches if sketch.get('bins') == BINS)
  drift = drift_figures(night.bundle, statistics, options, night.pseudonyms.fingerprint)
  alarms = [*_reading_alarms(found, slices), *drift_alarms(drift, options)]
  figures = {'statistics': reported(statistics), 'drift': drift}
  if _is_usual(options):
    volume = volume_figures(found.work.unseen, last, options.run_date)
    alarms += volume_alarms(volume, options)
    figures['volume'] = volume
  return figures | {'alarms': alarms}


def _reading_alarms(found: Found, slices: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
  """What was not read, and what was not decoded although it should have been."""
  entries = sum(len(record.get('entries', ())) for record in slices)
  failed = failure_alarms(add_up(slices)['reasons'])
  return failed + unread_alarms(_unread(slices), entries, found.listing.unreadable)


def _unread(slices: Iterable[Mapping[str, Any]]) -> int:
  """How many files were not read to their end."""
  return sum(entry.get('unread', False) for record in slices for entry in record.get('entries', ()))


def _is_usual(options: NightlyOptions) -> bool:
  """Whether the night scores what came, so that its volume says something."""
  return not (options.backfill or options.only_failed or options.overwrite)


def state_of(
  totals: Mapping[str, Mapping[str, int]],
  found: Found,
  scored: bool,
  max_reject_ratio: float,
  alarms: Iterable[Mapping[str, str]],
) -> State:
  """How the night ended; what is most urgent to know decides."""
  if has_failed(alarms):
    return State('alarm', Exit.ALARM)
  if reject_ratio(totals['rows']) > max_reject_ratio:
    return State('too-many-rejects', Exit.TOO_MANY_REJECTS)
  if found.left:
    return State('deadline', Exit.DEADLINE)
  return State('done', Exit.DONE) if scored else State('nothing-to-do', Exit.NOTHING_TO_DO)


def night_record(
  night: Night, found: Found, slices: Sequence[Mapping[str, Any]], state: State, recovered: str | None
) -> dict[str, Any]:
  """The record; ids and figures only."""
  bundle, work = night.bundle, found.work
  return {
    'job': JOB,
    'run_id': night.run_id,
    'run_date': night.options.run_date,
    'backfill': night.options.backfill,
    'state': state.name,
    'exit_code': int(state.exit),
    'started': night.started.isoformat(),
    'finished': now().isoformat(),
    'slices': [record['run_id'] for record in slices],
    'inbox': {
      'files': len(found.files) + found.listing.waiting,
      'bytes': sum(file.file.size_bytes for file in found.files),
      'new': len(work.wanted),
      'done': work.done,
      'waiting': found.listing.waiting,
      'left': found.left,
      'gone': work.gone,
      'unread': _unread(slices),
    },
    **add_up(slices),
    'touched': [entry_of(file) | {'rejected': False} for file in work.touched],
    'model': {
      'name': bundle.name,
      'version': bundle.version,
      'digest': bundle.model_digest,
      'positive_label': bundle.positive_label,
    },
    'preprocess_digest': bundle.preprocess_digest,
    'config': night.config,
    'config_digest': digest_of(night.config),
    'skip_digest': night.skip_digest,
    'pseudonym_key_fingerprint': night.pseudonyms.fingerprint,
    'recovered_lock': recovered,
    'versions': versions(),
  }
