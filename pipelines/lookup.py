"""`radbeam lookup`: from an id back to the study that it stands for. What it prints identifies patients."""

import json
import logging
import pathlib
import stat
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.crosswalk_search import PREFIX, Place, count_rows, crosswalk_files, ids_of, of_other_keys, search
from pipelines.current import model_of, read_rows
from pipelines.events import emit
from pipelines.exits import Exit, NothingToDo, UsageError
from pipelines.keys import key_path_if_any
from pipelines.night_options import LookupOptions
from pipelines.run_record import by_model, readable_record, recorded_runs
from transforms import storage
from transforms.identifiers import Pseudonyms, read_key

_LOG = logging.getLogger('radbeam.lookup')
_OUTCOME: Final = ('status', 'reason', 'predicted_label', 'probability')
_ROW: Final = ('source_id', 'frame')


def run(options: LookupOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError: if there is no crosswalk, others may read it, it is of another
      key, or the beginning of an id fits several.
    NothingToDo: if the id is not found.
  """
  files = _files_of(options.crosswalk)
  key = key_path_if_any(options.pseudonym_key_file)
  pseudonyms = Pseudonyms(read_key(key)) if key else None
  if options.output and not storage.exists(options.output):
    raise UsageError(f'--output {options.output} does not exist; name what the runs were given')
  if options.dry_run:
    _LOG.info('would search %d crosswalks with %d rows; nothing was shown', len(files), count_rows(files))
    return Exit.DONE
  places = search(options.id, files, pseudonyms)
  emit('id-looked-up', None, id=options.id, places=len(places), ids=len(ids_of(places)))
  if not places:
    raise _not_found(options.id, files, pseudonyms)
  if len(ids_of(places)) > 1:
    raise UsageError(f'{options.id} begins {len(ids_of(places))} ids; give more of it')
  shown = with_outcomes(options.output, places) if options.output else places
  print(json.dumps(shown, indent=2) if options.json else '\n\n'.join(map(as_text, shown)))
  return Exit.DONE


def _files_of(folder: str) -> list[str]:
  files = crosswalk_files(folder)
  if not files:
    raise UsageError(f'--crosswalk {folder} holds no {PREFIX}*.parquet; name what a run was given as --crosswalk')
  if any(pathlib.Path(path).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) for path in files):
    raise UsageError(
      f'others may read what is in --crosswalk {folder}, and it identifies patients; run: chmod -R go= {folder}'
    )
  return files


def _not_found(beginning: str, files: Sequence[str], pseudonyms: Pseudonyms | None) -> Exception:
  if pseudonyms is None:
    return NothingToDo(
      f'no image and no source of {len(files)} crosswalks is {beginning}; '
      'ids of studies, series, patients and files need --pseudonym_key_file'
    )
  foreign = of_other_keys(files, pseudonyms)
  if foreign:
    return UsageError(
      f'{beginning} is in none of {len(files)} crosswalks under this key, and {len(foreign)} of them are of another; '
      'give the --pseudonym_key_file that the id was made with'
    )
  return NothingToDo(f'{beginning} is in none of {len(files)} crosswalks; its run may have had none')


def with_outcomes(output: str, places: Sequence[Place]) -> list[Place]:
  """The places with what became of them, where the rows of their run are still there; a place for each model."""
  known = set(recorded_runs(output))
  outcomes = {run: _outcomes(output, run, places) for run in {place['run_id'] for place in places} & known}
  nothing = dict.fromkeys(_OUTCOME)
  return [
    place | of_model.get((place['source_id'], place['frame']), nothing)
    for place in places
    for of_model in outcomes.get(place['run_id'], [{}])
  ]


Outcomes = dict[tuple[str, int | None], dict[str, Any]]  # by source and frame


def _outcomes(output: str, run_id: str, places: Sequence[Place]) -> list[Outcomes]:
  """What each model of a run made of them."""
  record = readable_record(output, run_id)
  if record is None or 'pruned' in record:
    return [{}]
  return [_of_model(output, part, places, 'models' in record) for part in by_model(record)]


def _of_model(output: str, record: dict[str, Any], places: Sequence[Place], is_named: bool) -> Outcomes:
  if not record.get('files'):
    return {}
  rows = read_rows(output, record, (*_ROW, *_OUTCOME))
  sources = pa.array(sorted({place['source_id'] for place in places}))
  wanted = rows.filter(pc.is_in(rows['source_id'], sources)).to_pylist()
  name = {'model': model_of(record)} if is_named else {}
  return {(row['source_id'], row['frame']): name | {name: row[name] for name in _OUTCOME} for row in wanted}


def as_text(place: Place) -> str:
  """A place, a line for each value; what would command a terminal is taken out."""
  width = max(map(len, place))
  return '\n'.join(
    f'{name:{width}}  {"" if value is None else _printable(value)}'.rstrip() for name, value in place.items()
  )


def _printable(value: Any) -> str:
  return ''.join(char if char.isprintable() else '?' for char in str(value))
