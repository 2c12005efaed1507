"""Records of nights as `radbeam nightly` writes them, for what shows them: a month with all that can happen."""

import datetime
import json
import pathlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

FIRST = datetime.date(2026, 1, 3)
POSITIVE, NEGATIVE = 'PNEUMONIA', 'NORMAL'


def run_id(day: datetime.date, hour: int = 1, suffix: str = 'a1b2c3d4') -> str:
  return f'{day:%Y%m%d}T{hour:02}3000Z-{suffix}'


def night(
  day: datetime.date = FIRST, files: int = 1500, chance: random.Random | None = None, **more: Any
) -> dict[str, Any]:
  """The record of a night on which nothing is wrong."""
  chance = chance or random.Random(str(day))
  images = files * 4
  rejected, skipped = round(images * chance.uniform(0.005, 0.02)), round(images * chance.uniform(0.04, 0.06))
  scored = images - rejected - skipped
  sick = round(scored * chance.uniform(0.24, 0.28))
  started = datetime.datetime(day.year, day.month, day.day, 1, 30, tzinfo=datetime.UTC)
  scoring = round(files * chance.uniform(0.9, 1.1), 3)
  seconds = {'ledger': 0.4, 'listing': 1.2, 'fingerprinting': 3.25, 'scoring': scoring, 'total': scoring + 6.1}
  identity = run_id(day)
  record = {
    'job': 'nightly',
    'run_id': identity,
    'run_date': str(day),
    'backfill': None,
    'state': 'done',
    'exit_code': 0,
    'started': started.isoformat(),
    'finished': (started + datetime.timedelta(seconds=seconds['total'])).isoformat(),
    'slices': [f'{identity}-s{number:04}' for number in range(files // 500 or 1)],
    'inbox': {
      'files': files + 40_000,
      'bytes': files * 2_000_000,
      'new': files,
      'done': 40_000,
      'waiting': chance.randint(0, 3),
      'left': 0,
      'gone': 0,
    },
    'sources': {'listed': images, 'written': images},
    'rows': {'scored': scored, 'rejected': rejected, 'skipped': skipped},
    'reasons': {
      'no-pixel-data': skipped,
      'decode-failed': rejected // 2,
      'too-large': rejected // 4,
      'read-failed': rejected - rejected // 2 - rejected // 4,
    },
    'predicted': {NEGATIVE: scored - sick, POSITIVE: sick},
    'quality': {'lossy-compressed': scored // 2, 'outside-intended-use': 9, 'outside-view': 9},
    'seconds': seconds,
    'drift': drift(chance.uniform(0.01, 0.04), chance.uniform(0.01, 0.05)),
    'volume': {'files': files, 'median_of_last': 1500, 'runs_compared': 14},
    'alarms': [],
    'model': {'name': 'chest', 'version': '1.4', 'digest': 'd' * 64, 'positive_label': POSITIVE},
    'recovered_lock': None,
  }
  return record | more


def drift(psi: float, ks: float) -> dict[str, Any]:
  """Figures of drift, the largest of them in the scores."""
  features = {'score': {'psi': psi, 'psi_noise': 0.02, 'ks': ks, 'ks_noise': 0.03}, 'modality': {'psi': psi / 4}}
  return {'available': True, 'images': 5000, 'effective_images': 2500, 'features': features, 'scanners': {}}


def nothing_new(day: datetime.date) -> dict[str, Any]:
  """The record of a night without work."""
  empty: dict[str, Any] = {name: {} for name in ('sources', 'rows', 'reasons', 'predicted', 'quality', 'drift')}
  inbox = {'files': 40_000, 'bytes': 0, 'new': 0, 'done': 40_000, 'waiting': 0, 'left': 0, 'gone': 0}
  return (
    night(day, 1)
    | empty
    | {
      'state': 'nothing-to-do',
      'exit_code': 3,
      'slices': [],
      'inbox': inbox,
      'seconds': {'ledger': 0.4, 'listing': 0.9, 'fingerprinting': 0.0, 'scoring': 0.0, 'total': 1.4},
    }
  )


def month() -> Iterator[dict[str, Any]]:
  """30 nights: a weekly rhythm, one missed, an empty one, a deadline, a new model, drift, alarms, a backfill."""
  chance = random.Random(7)
  for number in range(31):
    day = FIRST + datetime.timedelta(days=number)
    if number == 9:
      continue  # the machine was off
    usual = 420 if day.weekday() >= 5 else 1500
    record = night(day, round(usual * chance.uniform(0.85, 1.15)), chance)
    if day.weekday() >= 5 and number > 13:
      record['volume']['median_of_weekday'] = 420
    if number == 4:
      record = nothing_new(day)
      record['alarms'] = [{'code': 'no-files', 'level': 'warn', 'detail': '0 files, median 1500'}]
    if number == 14:
      record |= {'state': 'deadline', 'exit_code': 6}
      record['inbox']['left'] = 310
    if number >= 18:
      record['model'] |= {'version': '1.5'}
    if 20 <= number <= 23:
      drifted = 0.08 + 0.07 * (number - 19)
      record['drift'] = drift(drifted, drifted / 2)
      level = 'fail' if drifted > 0.25 else 'warn'
      record['alarms'] = [{'code': 'drift', 'level': level, 'detail': f'score psi {drifted:.2f} (at most 0.10)'}]
      record |= {'state': 'alarm', 'exit_code': 7} if level == 'fail' else {}
    if number == 26:
      bad = record['rows']['scored'] // 2
      record['rows'] |= {'scored': record['rows']['scored'] - bad, 'rejected': record['rows']['rejected'] + bad}
      record['reasons'] |= {'unsupported-transfer-syntax': bad}
      record |= {'state': 'too-many-rejects', 'exit_code': 4}
    if number == 28:
      record |= {
        'backfill': '2026-01-03..2026-01-20',
        'recovered_lock': run_id(day - datetime.timedelta(1), 1, '0badcafe'),
      }
    yield record


def slice_of(night_id: str, number: int = 0, scored: int = 400) -> dict[str, Any]:
  """The record of a slice."""
  return {
    'job': 'score',
    'run_id': f'{night_id}-s{number:04}',
    'night_id': night_id,
    'slice': number,
    'run_date': f'{night_id[:4]}-{night_id[4:6]}-{night_id[6:8]}',
    'state': 'done',
    'started': datetime.datetime.strptime(night_id[:15], '%Y%m%dT%H%M%S').replace(tzinfo=datetime.UTC).isoformat(),
    'sources': {'listed': scored + 5, 'written': scored + 5},
    'rows': {'scored': scored, 'rejected': 5},
    'reasons': {'blank': 5},
    'predicted': {NEGATIVE: scored - scored // 4, POSITIVE: scored // 4},
    'model': {'name': 'chest', 'version': '1.5', 'digest': 'd' * 64},
    'entries': [{'path_id': f'{one:032x}', 'size_bytes': 1, 'rejected': False} for one in range(100)],
  }


def write_records(output: pathlib.Path, records: Sequence[dict[str, Any]]) -> str:
  """Writes records as runs of an output; its path."""
  (output / 'runs').mkdir(parents=True, exist_ok=True)
  for record in records:
    (output / 'runs' / f'{record["run_id"]}.json').write_text(json.dumps(record))
  return str(output)
