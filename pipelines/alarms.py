"""What is off about a night: images or scores that drift from the training, files that stay away.

For a night, once its slices are published:

  total = statistics.merge(record.get('statistics', {}) for record in slices)
  drift = drift_figures(bundle, total, options, pseudonyms.fingerprint)     # "drift" of the record
  volume = volume_figures(new_files, last_nights(output, VOLUME_NIGHTS), options.run_date)     # "volume"
  alarms = drift_alarms(drift, options) + volume_alarms(volume, options)    # "alarms"
  alarms += uid_alarms(add_up(slices)['duplicates'], studies, options.uid_alarm)
  if has_failed(alarms): state = 'alarm', Exit.ALARM
  "statistics" of the record is statistics.reported(total)

All are plain JSON of ids, codes and figures.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any, Final

from model import bundle as layout
from model.bundle import Bundle
from model.drift import Excess, Thresholds, alarms_of, drift_of, read_training
from pipelines.events import emit
from pipelines.exits import Exit
from pipelines.night_options import WatchOptions
from transforms.boundary import INTERNAL
from transforms.errors import UNREAD

Alarm = dict[str, str]

VOLUME_NIGHTS: Final = 14
_LEAST_NIGHTS: Final = 3  # before a fall can be told from chance; none at all is told from the first
_SAME_WEEKDAYS: Final = 2
_SHOWN: Final = 5  # features, the worst first
_FEW_UNREAD: Final = 3  # files: one that somebody took away is no broken mount


def drift_figures(
  bundle: Bundle, statistics: Mapping[str, Any], options: WatchOptions, key_fingerprint: str
) -> dict[str, Any]:
  """The night's distance from the bundle's training, as `model.drift.drift_of` has it, and the thresholds.

  Args:
    bundle: of any format; one without statistics gives `available` false.
    statistics: the sum over the slices; may be empty.
    options: thresholds.
    key_fingerprint: of the key behind the night's ids.
  """
  training = read_training(bundle.path / layout.STATISTICS_FILE)
  figures = drift_of(training, statistics, key_fingerprint, options.min_drift_images)
  return figures | {'thresholds': {'psi': options.max_psi, 'ks': options.max_ks}}


def drift_alarms(drift: Mapping[str, Any], options: WatchOptions) -> list[Alarm]:
  """An alarm for all images, and one for each scanner, of which a figure is beyond threshold and chance."""
  if options.drift_alarm == 'off':
    return []
  found = alarms_of(drift, Thresholds(options.max_psi, options.max_ks))
  return [
    _alarm('scanner-drift' if scanner else 'drift', _drift_detail(scanner, list(excesses)), options.drift_alarm)
    for scanner, excesses in groupby(found, key=lambda excess: excess.scanner)
  ]


def _drift_detail(scanner: str, excesses: Sequence[Excess]) -> str:
  shown = ', '.join(
    f'{one.feature} {one.measure} {one.value:.2f} (at most {one.limit:.2f})' for one in excesses[:_SHOWN]
  )
  more = f', and {len(excesses) - _SHOWN} more' if len(excesses) > _SHOWN else ''
  return f'{f"scanner {scanner}: " if scanner else ""}{shown}{more}; {excesses[0].images} images, counted by study'


def volume_figures(files: int, last: Iterable[Mapping[str, Any]], run_date: str) -> dict[str, Any]:
  """How many files came, and how many usually do.

  Args:
    files: that this night found new.
    last: records of the latest nights, newest first, without this one; backfills, and nights of
      versions that did not count, are left out.
    run_date: of this night, for its day of the week.

  Returns:
    `files`, `median_of_last` and `runs_compared`; where both earlier nights of
    the same weekday had fewer than that, `median_of_weekday`: a quiet Sunday is
    no alarm.
  """
  nights = [night for night in last if not night.get('backfill') and 'files' in night.get('volume', {})][:VOLUME_NIGHTS]
  counts = [night['volume']['files'] for night in nights]
  figures = {'files': files, 'median_of_last': median(counts) if counts else None, 'runs_compared': len(counts)}
  same = [night['volume']['files'] for night in nights if _weekday(night['run_date']) == _weekday(run_date)]
  if len(same) >= _SAME_WEEKDAYS and max(same) < median(counts):
    figures['median_of_weekday'] = median(same)
  return figures


def _weekday(run_date: str) -> int:
  return datetime.date.fromisoformat(run_date).weekday()


def volume_alarms(volume: Mapping[str, Any], options: WatchOptions) -> list[Alarm]:
  """`no-files` where some are usual, `few-files` where a night has less than its ratio of what is usual."""
  usual = volume.get('median_of_weekday', volume['median_of_last'])
  files, compared = volume['files'], volume['runs_compared']
  if options.volume_alarm == 'off' or not usual:
    return []
  detail = f'{files} files, the median of {compared} nights is {volume["median_of_last"]:g}'
  if 'median_of_weekday' in volume:
    detail += f', of this weekday {usual:g}'
  if files == 0:
    return [_alarm('no-files', detail, options.volume_alarm)]
  if compared >= _LEAST_NIGHTS and files < options.min_volume_ratio * usual:
    return [_alarm('few-files', detail, options.volume_alarm)]
  return []


def uid_alarms(duplicates: Mapping[str, int], studies: Iterable[Mapping[str, Any]], level: str) -> list[Alarm]:
  """`uid-clash` where different images came under one SOP Instance UID, in a run or in several.

  Args:
    duplicates: counts of runs.
    studies: what the record of a night says of the study rows, which look at other runs.
    level: `off` for none.
  """
  within, over = duplicates.get('uid_clashes', 0), sum(published['uid_clashes'] for published in studies)
  counts = [(within, 'another of their run'), (over, 'one of another run')]
  shared = ', '.join(f'{images} with {other}' for images, other in counts if images)
  if level == 'off' or not shared:
    return []
  return [_alarm('uid-clash', f'different images that share their SOP Instance UID: {shared}', level)]


def failure_alarms(reasons: Mapping[str, int]) -> list[Alarm]:
  """`internal-error` where radbeam itself failed on an image: somebody has to know.

  Args:
    reasons: rows by reason.
  """
  failed = reasons.get(INTERNAL, 0)
  return [_alarm(INTERNAL, f'radbeam itself failed on {failed} images', 'fail')] if failed else []


def unread_alarms(unread: int, of: int, unreadable_inboxes: int = 0) -> list[Alarm]:
  """`input-unread` where inputs vanished, changed or failed while they were read; `inbox-unreadable`.

  Args:
    unread: files, or rows of them, that were not read to their end.
    of: all that were to be read.
    unreadable_inboxes: those that are not there, or may not be listed.
  """
  alarms = [_alarm('inbox-unreadable', f'{unreadable_inboxes} inboxes', 'fail')] if unreadable_inboxes else []
  if unread:
    level = 'fail' if unread > _FEW_UNREAD or 2 * unread > of else 'warn'
    alarms.append(_alarm('input-unread', f'{unread} of {of} were not read to their end', level))
  return alarms


def alarms_of_run(record: Mapping[str, Any]) -> list[Alarm]:
  """Those of a run that is no night: of rows, since it does not keep books of files.

  Args:
    record: with `rows` by status, `reasons` and `duplicates`.
  """
  reasons = record['reasons']
  unread = sum(reasons.get(reason, 0) for reason in UNREAD)
  clashes = uid_alarms(record['duplicates'], (), 'warn')
  return failure_alarms(reasons) + unread_alarms(unread, sum(record['rows'].values())) + clashes


def tell(alarms: Iterable[Mapping[str, str]]) -> None:
  """Says what is off, a line for each alarm."""
  for alarm in alarms:
    detail = f' ({alarm["detail"]})' if alarm.get('detail') else ''
    emit('alarm', f'{alarm["level"]}: {alarm["code"]}{detail}', alarm=alarm['code'], severity=alarm['level'])


def end_of_run(record: Mapping[str, Any]) -> Exit:
  """Tells the alarms of a run that is no night; how it ends."""
  alarms = alarms_of_run(record)
  tell(alarms)
  return Exit.ALARM if has_failed(alarms) else Exit.DONE


def _alarm(code: str, detail: str, level: str) -> Alarm:
  return {'code': code, 'detail': detail, 'level': level}


def has_failed(alarms: Iterable[Mapping[str, str]]) -> bool:
  """Whether the night is to end with exit 7."""
  return any(alarm['level'] == 'fail' for alarm in alarms)
