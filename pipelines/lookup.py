"""`radbeam lookup`: from an id back to the study that it stands for. What it prints identifies patients."""

import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.exits import Exit, NothingToDo, UsageError
from pipelines.keys import key_path_if_any
from pipelines.night_options import LookupOptions
from pipelines.schemas import CROSSWALK, read_columns
from transforms.identifiers import Pseudonyms, read_key
from transforms.inputs import file_name

_HEX_DIGITS: Final = 32
_PREFIX: Final = 'crosswalk-'
_PLACE: Final = ('archive', 'member', 'frame')
Place = dict[str, Any]


def run(options: LookupOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError: if there is no crosswalk, or the beginning of an id fits several.
    NothingToDo: if the id is not found.
  """
  key = key_path_if_any(options.pseudonym_key_file)
  pseudonyms = Pseudonyms(read_key(key)) if key else None
  places = list(find(options.id, crosswalk_files(options.crosswalk), pseudonyms))
  ids = sorted({place['id'] for place in places})
  if len(ids) > 1:
    raise UsageError(f'{options.id} begins {len(ids)} ids; give more of it')
  if not places:
    raise NothingToDo(
      f'{options.id} is in no crosswalk of this folder; it may be of another key, or of a run without --crosswalk'
      + ('' if key else '; ids of studies, series, patients and files need --pseudonym_key_file')
    )
  if options.json:
    print(json.dumps(places, indent=2))
  else:
    print('\n\n'.join(map(_as_text, places)))
  return Exit.DONE


def crosswalk_files(folder: str) -> list[str]:
  """The crosswalks of all runs, newest first.

  Raises:
    UsageError: if there are none.
  """
  files = sorted(pathlib.Path(folder).glob(f'{_PREFIX}*.parquet'), reverse=True)
  if not files:
    raise UsageError(f'--crosswalk {folder} holds no {_PREFIX}*.parquet; name what a run was given as --crosswalk')
  return [str(path) for path in files]


def find(beginning: str, files: Sequence[str], pseudonyms: Pseudonyms | None) -> Iterator[Place]:
  """The places that an id stands for, each once, newest run first.

  Args:
    beginning: of an id, or the whole.
    files: crosswalks, newest first.
    pseudonyms: under the key of the runs; without it only images and sources are found.
  """
  seen: set[tuple[Any, ...]] = set()
  for path in files:
    table = read_columns(path, CROSSWALK.names)
    run_id = pathlib.Path(path).stem.removeprefix(_PREFIX)
    for kind, ids in _ids(table, pseudonyms):
      is_wanted = pc.fill_null(pc.starts_with(ids, beginning), False)
      for row, found in zip(table.filter(is_wanted).to_pylist(), ids.filter(is_wanted).to_pylist(), strict=True):
        place = (kind, *(row[name] for name in _PLACE))
        if place not in seen:
          seen.add(place)
          yield {'kind': kind, 'id': found, 'run_id': run_id, **row}


def _ids(table: pa.Table, pseudonyms: Pseudonyms | None) -> Iterator[tuple[str, pa.ChunkedArray]]:
  """The ids of every row, by what they are of."""
  yield 'image', table['image_id']
  yield 'source', table['source_id']
  if pseudonyms is None:
    return
  of = pseudonyms.optional
  yield 'study', _mapped(table['study_instance_uid'], lambda value: of('study', value))
  yield 'series', _mapped(table['series_instance_uid'], lambda value: of('series', value))
  yield 'patient', _mapped(table['patient_id'], lambda value: of('patient', value))
  yield 'file', _mapped(table['archive'], pseudonyms.archive)
  names = zip(table['archive'].to_pylist(), table['member'].to_pylist(), strict=True)
  loose = pa.chunked_array([[file_name(archive, member) for archive, member in names]], pa.string())
  yield 'file', _mapped(loose, pseudonyms.archive)


def _mapped(values: pa.ChunkedArray, make: Callable[[str], str | None]) -> pa.ChunkedArray:
  """An id for each value; each different one is made once."""
  encoded = values.combine_chunks().dictionary_encode()
  made = pa.array([make(value) if value else None for value in encoded.dictionary.to_pylist()], pa.string())
  return pa.chunked_array([made.take(encoded.indices)])


def _as_text(place: Place) -> str:
  width = max(map(len, place))
  return '\n'.join(f'{name:{width}}  {"" if value is None else value}' for name, value in place.items())
