"""The slices of a night: each a run of scoring that publishes its rows and enters its files into the ledger."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pipelines.events import emit
from pipelines.inbox import as_inputs
from pipelines.ledger import Ledger
from pipelines.lock import Lock
from pipelines.night import Night
from pipelines.night_leftovers import Leftover, noted_attempt, staging_of_nights, take_over
from pipelines.night_work import Slice, Work, entry_of
from pipelines.run_record import now
from pipelines.score_record import predictions_folder
from pipelines.score_run import Scoring, execute, scoring_of
from pipelines.staging import digest_of, start_run
from transforms import storage

_MOST_ATTEMPTS: Final = 1  # the second one decodes with care, and so should come to its end; a third may wait


def score_slices(
  night: Night, work: Work, leftovers: Sequence[Leftover], ledger: Ledger, lock: Lock
) -> tuple[list[str], int]:
  """Scores what is wanted, slice by slice, until the deadline.

  Returns:
    The runs that were published, and the number of files that are left.
  """
  scoring = scoring_of(night.options, [night.bundle])
  published: list[str] = []
  left = len(work.wanted)
  ends_at = deadline_of(night.options.deadline, night.started)
  for number, (staging, new, cut) in enumerate(_begun_and_new(night, scoring, work, leftovers, ledger)):
    if ends_at and now() >= ends_at:
      emit('deadline-reached', None, left=left)
      break
    lock.check()
    emit('slice-started', None, slice=number, files=len(cut.files), to_go=left)
    with night.timings.span('slice', slice=number, files=len(cut.files)):
      record = _score_slice(night, scoring, number, staging, new, cut)
    published.append(record['run_id'])
    left -= len(cut.files)
    _say_published(number, len(cut.files), left, record)
  return published, left


def _say_published(number: int, files: int, left: int, record: Mapping[str, Any]) -> None:
  emit(
    'slice-published',
    f'slice {number} is published: {files} files, rows {record["rows"]}; {left} files to go',
    slice=number,
    slice_run_id=record['run_id'],
    files=files,
    rows=record['rows'],
    reasons=record['reasons'],
    to_go=left,
  )


def deadline_of(time_of_day: str | None, started: datetime.datetime) -> datetime.datetime | None:
  """The next such time of day on this machine's clock after the start."""
  if not time_of_day:
    return None
  hour, minute = map(int, time_of_day.split(':'))
  begin = started.astimezone()
  ends_at = begin.replace(hour=hour, minute=minute, second=0, microsecond=0)
  return ends_at if ends_at > begin else ends_at + datetime.timedelta(days=1)


def _begun_and_new(
  night: Night, scoring: Scoring, work: Work, leftovers: Sequence[Leftover], ledger: Ledger
) -> Iterator[tuple[str, Mapping[str, Any], Slice]]:
  """The slices with their staging folders: what a killed run began, what is new, and what has killed several runs."""
  begun = take_over(leftovers, work.wanted, scoring.config_digest)
  for leftover, cut in begun:
    if leftover.attempts <= _MOST_ATTEMPTS:
      yield leftover.staging, leftover.start, cut
  taken = {file for _, cut in begun for file in cut.files}
  for number, cut in enumerate(night.cut([one for one in work.wanted if one[1] not in taken])):
    run_id = f'{night.run_id}-s{number:04d}'
    entries = [entry_of(file) for file in cut.files]
    new = {
      'run_id': run_id,
      'started': now().isoformat(),
      'run_date': cut.run_date,
      'config_digest': scoring.config_digest,
      'predictions': predictions_folder(cut.run_date, night.model, run_id),
      'supersedes_run_id': ledger.latest_run((file.path_id for file in cut.files), night.model),
      'files': entries,
    }
    yield storage.join(staging_of_nights(night.options.output), run_id), new, cut
  for leftover, cut in begun:
    if leftover.attempts > _MOST_ATTEMPTS:
      yield leftover.staging, leftover.start, cut


def _score_slice(
  night: Night, scoring: Scoring, number: int, staging: str, new: Mapping[str, Any], cut: Slice
) -> dict[str, Any]:
  start = start_run(staging, new)
  columns = scoring.columns(
    start['run_id'], datetime.datetime.fromisoformat(start['started']), start['supersedes_run_id']
  )
  further = {'night_id': night.run_id, 'slice': number, 'skip_digest': night.skip_digest, 'entries': start['files']}
  inputs = as_inputs(cut.files, night.inbox)
  names = [scoring.pseudonyms.archive(given.name) for given in inputs]
  score_run = scoring.run(columns, cut.run_date, digest_of({'run_id': start['run_id']}), names, further)
  with noted_attempt(staging):
    return execute(score_run, scoring.spec(columns, staging), inputs, night.beam_args, night.options.quiet)
