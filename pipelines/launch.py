"""What the jobs that read archives do before they run: find the inputs, or say what they would do."""

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pipelines.exits import NothingToDo, TooManyRejects, UsageError
from pipelines.options import ArchiveJobOptions, ReadingOptions, ResultOptions
from pipelines.run_record import new_run_id, now, record_path, write_record
from pipelines.staging import digest_of
from transforms import storage
from transforms.burned_in import BurnedIn, read_regions
from transforms.concurrency import usable_cores
from transforms.decode import DecodeOptions
from transforms.elements import Limits
from transforms.inputs import Input, list_input, name_inputs
from transforms.preprocess import PreprocessSpec
from transforms.select import read_rules
from transforms.shards import pack_shards
from transforms.yaml_entries import RulesError

T = TypeVar('T')


def found_inputs(paths: Sequence[str], flag: str = '--input') -> list[Input]:
  """The inputs with their names in ids; only existence is looked at here.

  Raises:
    UsageError: if one of them does not exist.
    NothingToDo: if they exist but hold no file.
  """
  inputs = existing_inputs(paths, flag)
  if not any(next(storage.list_files(given.path), None) for given in inputs):
    raise NothingToDo('the inputs hold no file')
  return inputs


def existing_inputs(paths: Sequence[str], flag: str, *, any_of_them: bool = False) -> list[Input]:
  """The inputs with their names in ids, whether they hold a file or none.

  Args:
    paths: where to look.
    flag: that they were given by.
    any_of_them: whether it is enough that one is there: of several mounts one may have gone.

  Raises:
    UsageError: if one of them does not exist.
  """
  distinct = list(dict.fromkeys(path.rstrip('/') or '/' for path in paths))
  missing = [path for path in distinct if not storage.exists(path) and not next(storage.list_files(path), None)]
  if missing and not (any_of_them and len(missing) < len(distinct)):
    raise UsageError(f'{flag} {missing[0]} does not exist; name a file, a folder, or a glob that matches something')
  return name_inputs(distinct)


def inputs_or_record(options: ArchiveJobOptions, job: str) -> list[Input]:
  """`found_inputs`; a run that finds nothing leaves a record all the same."""
  try:
    return found_inputs(options.input)
  except NothingToDo:
    started = now()
    run_id = new_run_id(started, digest_of(options.to_config()))
    record = {'job': job, 'run_id': run_id, 'started': started.isoformat(), 'state': 'nothing-to-do', 'rows': {}}
    if not options.dry_run:
      write_record(record_path(options.output, run_id), record)
    raise


def limits_of(options: ReadingOptions) -> Limits:
  """The limits that the options set."""
  return Limits(
    max_member_bytes=options.max_member_bytes,
    max_spooled_bytes=options.max_spooled_bytes,
    max_inflation_ratio=options.max_inflation_ratio,
    max_inflated_bytes=options.max_inflated_bytes,
    max_members=options.max_members,
    max_nesting=options.max_nesting,
    max_pixels=options.max_pixels,
    max_decode_seconds=options.max_decode_seconds,
    max_decode_bytes=options.max_decode_bytes,
    max_header_elements=options.max_header_elements,
    max_header_depth=options.max_header_depth,
  )


def decode_options(options: ReadingOptions, spec: PreprocessSpec) -> DecodeOptions:
  """The options as the value that decoding works with; reads the files of rules.

  Raises:
    RulesError: if a file of rules cannot be used.
  """
  select = _read_file(options.select, read_rules) if options.select else None
  regions = _read_file(options.burned_in_regions, read_regions) if options.burned_in_regions else ()
  return DecodeOptions(spec, options.frames, limits_of(options), select, BurnedIn(options.burned_in, regions))


def _read_file(path: str, read: Callable[[str], T]) -> T:
  try:
    return read(storage.read_bytes(path).decode('utf-8-sig'))
  except RulesError as error:
    raise RulesError(f'in {path}, {error}') from None
  except UnicodeDecodeError:
    raise RulesError(f'{path} is no text in UTF-8') from None
  except OSError as error:
    raise RulesError(f'{path} cannot be read ({error.strerror})') from error


def config_of(options: ResultOptions, decode: DecodeOptions) -> dict[str, Any]:
  """What decides the result, for digests and records; files of rules by their digest."""
  rules = decode.select.digest if decode.select else None
  return options.to_config() | {'select_digest': rules, 'burned_in_digest': decode.burned_in.digest}


def check_rejects(record: Mapping[str, Any], max_reject_ratio: float) -> None:
  """Fails a run that rejected too much; what is right was published nevertheless.

  Raises:
    TooManyRejects: with the reasons.
  """
  ratio = reject_ratio(record['rows'])
  if ratio > max_reject_ratio:
    raise TooManyRejects(
      f'{ratio:.1%} of the images were rejected, --max_reject_ratio is {max_reject_ratio:.1%}; '
      f'reasons: {record["reasons"]}'
    )


def reject_ratio(rows: Mapping[str, int]) -> float:
  """Rejected rows among those that are images or should have been."""
  considered = sum(rows.values()) - rows.get('skipped', 0)
  return rows.get('rejected', 0) / considered if considered else 0.0


def report_listing(inputs: Iterable[Input], limits: Limits, log: logging.Logger) -> None:
  """Says what a run would read: nothing is decoded, nothing is written."""
  batches = list(itertools.chain.from_iterable(list_input(given, limits) for given in inputs))
  members: Counter[str] = Counter()
  archives: dict[str, set[str]] = {}
  for batch in batches:
    members[batch.archive.kind] += len(batch.members)
    archives.setdefault(batch.archive.kind, set()).add(batch.archive.path)
  for kind, paths in sorted(archives.items()):
    known = '' if kind == 'stream' else f', {members[kind]} members'
    log.info('would read %s: %d%s', kind, len(paths), known)
  log.info('in %d shards; nothing was written', len(pack_shards(batches, usable_cores())))
