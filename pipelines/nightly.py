"""`radbeam nightly`: what is new in the inbox is scored, in slices that are published one by one.

TensorFlow and Beam are loaded once it is known that there is work: a night
without any ends within seconds.
"""

import contextlib
import dataclasses
import logging
import secrets
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from model.bundle import load_bundle
from pipelines.alarms import VOLUME_NIGHTS, tell, uid_alarms
from pipelines.bundle_pointer import current_bundle
from pipelines.events import emit, name_run
from pipelines.exits import Exit, NothingToDo
from pipelines.hushed import hushed
from pipelines.inbox import list_inbox
from pipelines.keys import key_path, key_path_if_any, read_site_key
from pipelines.launch import decode_options, existing_inputs
from pipelines.ledger import load_ledger, save_ledger
from pipelines.lock import Lock, held_lock
from pipelines.metrics_file import check_metrics_file, write_metrics
from pipelines.night import Found, Night
from pipelines.night_figures import figures_of, summary_fields
from pipelines.night_leftovers import find_leftovers, remove_leftovers, remove_staging, staging_of_nights
from pipelines.night_options import NightlyOptions
from pipelines.night_record import add_up, last_nights, night_record, state_of, unfinished_slices, watched
from pipelines.night_work import plan_work
from pipelines.output_key import check_key
from pipelines.run_record import (
  after_all_others,
  commit_record,
  new_run_id,
  now,
  read_record,
  recorded_runs,
  set_aside_empty,
)
from pipelines.studies import publish_studies
from pipelines.telemetry import timed_run
from transforms.identifiers import KEY_BYTES, Pseudonyms

_LOG = logging.getLogger('radbeam.nightly')
_TERMINATED: Final = 128 + signal.SIGTERM  # as shells report it


def run(options: NightlyOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError, KeyFileError, NothingToDo, Locked, BundleError: as their docstrings say.
  """
  check_metrics_file(options.metrics_file)
  started = now()
  bundle = load_bundle(current_bundle(options.bundle))
  bundle.verify()
  decode = decode_options(options, bundle.spec)
  inbox = existing_inputs(options.inbox, '--inbox', any_of_them=True)
  check_key(options.output, options.pseudonym_key_file)
  if options.dry_run:
    return _dry_run(Night(options, beam_args, '', started, inbox, bundle, decode, _any_pseudonyms(options)))
  pseudonyms = Pseudonyms(read_site_key(key_path(options.pseudonym_key_file)))
  token = secrets.token_hex()
  with (
    timed_run('night', options.otel) as timings,
    _ended_by_sigterm(),
    held_lock(options.output, new_run_id(started, token)) as lock,
  ):
    started = after_all_others(options.output, started)
    run_id = new_run_id(started, token)
    return _run_locked(Night(options, beam_args, run_id, started, inbox, bundle, decode, pseudonyms, timings), lock)


def _any_pseudonyms(options: NightlyOptions) -> Pseudonyms:
  """A dry run makes no key: without one, nothing can have been done before."""
  path = key_path_if_any(options.pseudonym_key_file)
  return Pseudonyms(read_site_key(path) if path else secrets.token_bytes(KEY_BYTES))


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
  """A scheduler that ends the run has the lock given back; what is staged is gone on with by the next run."""

  def end(*_: object) -> NoReturn:
    raise SystemExit(_TERMINATED)

  before = signal.signal(signal.SIGTERM, end)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)


def _dry_run(night: Night) -> Exit:
  listing = list_inbox(night.inbox, dataclasses.replace(night.patience, max_wait_s=0))
  ledger = load_ledger(night.options.output)
  work = plan_work(listing.files(night.pseudonyms), ledger, night.skip_digest, night.options)
  _LOG.info(
    'would score %d files, %d bytes, in %d slices by %s; %d are done, %d are still being written; nothing was written',
    len(work.wanted),
    sum(file.file.size_bytes for _, file in work.wanted),
    sum(1 for _ in night.cut(work.wanted)),
    night.model,
    work.done,
    listing.waiting,
  )
  return Exit.DONE


def _run_locked(night: Night, lock: Lock) -> Exit:
  output, timings = night.options.output, night.timings
  _say_started(night)
  with timings.stage('ledger'):
    set_aside_empty(output)
    ledger = load_ledger(output)
    published = unfinished_slices(output)
  with timings.stage('listing'):
    listing = list_inbox(night.inbox, night.patience)
    files = listing.files(night.pseudonyms)
  with timings.stage('fingerprinting'):
    work = plan_work(files, ledger, night.skip_digest, night.options)
  emit(
    'inbox-listed',
    None,
    files=len(files),
    new=len(work.wanted),
    done=work.done,
    waiting=listing.waiting,
    gone=work.gone,
  )
  with timings.stage('scoring'):
    begun = find_leftovers(output)
    left = 0
    if work.wanted:
      with hushed():
        from pipelines.night_slices import score_slices  # not before there is work
      unpublished = [leftover for leftover in begun if leftover.run_id not in ledger.runs]
      scored, left = score_slices(night, work, unpublished, ledger, lock)
      published += scored
    remove_leftovers(output, begun, recorded_runs(output), lock.recovered)
  return _finish(night, Found(listing, files, work, left), published, lock)


def _say_started(night: Night) -> None:
  name_run(night.run_id)
  emit('night-started', None, model=night.model, run_date=night.options.run_date, backfill=night.options.backfill)


def _finish(night: Night, found: Found, published: Sequence[str], lock: Lock) -> Exit:
  output, options = night.options.output, night.options
  slices = [read_record(output, run_id) for run_id in published]
  with night.timings.stage('studies'):
    studies = _publish_studies(night) if slices else []
  totals = add_up(slices)
  figures = watched(night, found, slices, last_nights(output, 2 * VOLUME_NIGHTS))
  figures['alarms'] += uid_alarms(totals['duplicates'], studies, options.uid_alarm)
  state = state_of(totals, found, bool(slices), options.max_reject_ratio, figures['alarms'])
  record = night_record(night, found, slices, state, lock.recovered) | figures
  record |= {'studies': studies, 'study_rule': options.study_rule, 'seconds': night.timings.seconds}
  lock.check()
  commit_record(output, record)
  save_ledger(output)
  _report(night, record)
  if state.exit == Exit.NOTHING_TO_DO:
    emit('nothing-new', None, done=found.work.done, waiting=found.listing.waiting)
    raise NothingToDo(f'nothing new: {found.work.done} files are done, {found.listing.waiting} are still being written')
  return state.exit


def _publish_studies(night: Night) -> list[dict[str, Any]]:
  output, options = night.options.output, night.options
  staging = staging_of_nights(output)
  studies = publish_studies(output, night.run_id, options.run_date, options.study_rule, staging)
  remove_staging(output)
  return studies


def _report(night: Night, record: Mapping[str, Any]) -> None:
  """Tells whoever watches."""
  if night.options.metrics_file:
    write_metrics(night.options.metrics_file, record)
  figures = figures_of(record)
  tell(record['alarms'])
  fields = summary_fields(figures)
  night.timings.describe_run({'run_id': night.run_id, **fields})
  left = record['inbox']['left'] + record['inbox']['waiting']
  text = (
    f'night {record["run_id"]}: {record["sources"].get("written", 0)} sources in {len(record["slices"])} slices, '
    f'rows {record["rows"]}, state {record["state"]}; {left} files are left to the next run'
  )
  emit('night-finished', None if record['state'] == 'nothing-to-do' else text, **fields)
