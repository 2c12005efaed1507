"""From an id back to the places that it stands for: through the crosswalks of all runs, the newest first.

A crosswalk has the ids of images and sources in it. Those of studies, series,
patients and files are made of its values under the key of the site, which
costs more: a whole id is looked for among the former first.
"""

import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.schemas import CROSSWALK
from transforms.elements import HeaderFacts
from transforms.identifiers import Pseudonyms
from transforms.inputs import file_name
from transforms.uid_clashes import UID_DIGITS

PREFIX: Final = 'crosswalk-'  # before the run, in the names of its files
WHOLE_ID: Final = 32  # hexadecimal digits
_PLACE: Final = ('archive', 'member', 'frame')
_KEY_PROOF: Final = ('image_id', 'sop_instance_uid', 'frame')
Place = dict[str, Any]
Make = Callable[[Pseudonyms, pa.Table], pa.ChunkedArray]


@dataclass(frozen=True, slots=True)
class Kind:
  """What an id can be of.

  Attributes:
    name: as shown.
    columns: of the crosswalk, which `make` needs.
    make: the ids of all rows; None where the only column has them.
  """

  name: str
  columns: tuple[str, ...]
  make: Make | None = None

  def ids(self, table: pa.Table, pseudonyms: Pseudonyms | None) -> pa.ChunkedArray | None:
    """The ids of all rows; None if they cannot be known without a key."""
    if self.make is None:
      return table[self.columns[0]]
    return self.make(pseudonyms, table) if pseudonyms else None


def _mapped(values: pa.ChunkedArray, make: Callable[[str], str | None]) -> pa.ChunkedArray:
  """An id for each value; each different one is made once."""
  encoded = values.combine_chunks().dictionary_encode()
  made = pa.array([make(value) if value else None for value in encoded.dictionary.to_pylist()], pa.string())
  return pa.chunked_array([made.take(encoded.indices)])


def _loose_files(pseudonyms: Pseudonyms, table: pa.Table) -> pa.ChunkedArray:
  """Of members as if they were files of a folder, which a crosswalk does not tell from archives."""
  names = zip(table['archive'].to_pylist(), table['member'].to_pylist(), strict=True)
  return pa.chunked_array([[pseudonyms.archive(file_name(*name)) for name in names]], pa.string())


# In the order of what they cost.
_STORED: Final = (Kind('image', ('image_id',)), Kind('source', ('source_id',)))
_MADE: Final = (
  Kind('study', ('study_instance_uid',), lambda of, t: _mapped(t[0], lambda value: of.optional('study', value))),
  Kind('series', ('series_instance_uid',), lambda of, t: _mapped(t[0], lambda value: of.optional('series', value))),
  Kind('patient', ('patient_id',), lambda of, t: _mapped(t[0], lambda value: of.optional('patient', value))),
  Kind('file', ('archive',), lambda of, t: _mapped(t[0], of.archive)),
)
_LOOSE: Final = (Kind('file', ('archive', 'member'), _loose_files),)


def crosswalk_files(folder: str) -> list[str]:
  """The crosswalks of all runs, newest first."""
  return sorted(map(str, pathlib.Path(folder).glob(f'{PREFIX}*.parquet')), reverse=True)


def count_rows(files: Sequence[str]) -> int:
  """Rows of some crosswalks, without reading them."""
  return sum(int(pq.read_metadata(path).num_rows) for path in files)


def search(beginning: str, files: Sequence[str], pseudonyms: Pseudonyms | None) -> list[Place]:
  """Looks for an id.

  Args:
    beginning: of an id, or the whole.
    files: crosswalks, newest first.
    pseudonyms: under the key of the id; without it only images and sources are found.

  Returns:
    The places that it stands for, each once, newest run first.
  """
  is_whole = len(beginning) == WHOLE_ID
  for kinds in (_STORED, _MADE, _LOOSE) if is_whole else ((*_STORED, *_MADE, *_LOOSE),):
    seen: set[tuple[Any, ...]] = set()
    every = (place for path in files for place in _search_file(path, beginning, kinds, pseudonyms))
    places = [place for place in every if _is_new(place, seen)]
    if places:
      return places
  return []


def ids_of(places: Iterable[Place]) -> set[tuple[str, str]]:
  """The different ids among these, with what they are of."""
  return {(place['kind'], place['id']) for place in places}


def _is_new(place: Mapping[str, Any], seen: set[tuple[Any, ...]]) -> bool:
  identity = (place['kind'], place['id'], *(place[name] for name in _PLACE))
  if identity in seen:
    return False
  seen.add(identity)
  return True


def _search_file(path: str, beginning: str, kinds: Sequence[Kind], pseudonyms: Pseudonyms | None) -> Iterator[Place]:
  """The rows of one crosswalk, a part at a time: an archive of CT has a million of them."""
  run_id = pathlib.Path(path).stem.removeprefix(PREFIX)
  with pq.ParquetFile(path) as file:
    for number, kind in itertools.product(range(file.num_row_groups), kinds):
      ids = kind.ids(file.read_row_group(number, list(kind.columns)), pseudonyms)
      matches = pc.fill_null(pc.starts_with(ids, beginning), False) if ids is not None else None
      if ids is not None and pc.any(matches).as_py():
        rows = file.read_row_group(number, CROSSWALK.names).filter(matches)
        for row, one in zip(rows.to_pylist(), ids.filter(matches).to_pylist(), strict=True):
          yield {'kind': kind.name, 'id': one, 'run_id': run_id, **row}


def of_other_keys(files: Iterable[str], pseudonyms: Pseudonyms) -> list[str]:
  """Those crosswalks whose image ids were made under another key."""
  return [path for path in files if not _is_of_key(path, pseudonyms)]


def _is_of_key(path: str, pseudonyms: Pseudonyms) -> bool:
  """Whether the first image with a UID has the id that this key gives it; without one nothing speaks against it."""
  with pq.ParquetFile(path) as file:
    for batch in file.iter_batches(columns=list(_KEY_PROOF)):
      for row in batch.to_pylist():
        if row['sop_instance_uid'] and row['frame'] is not None:
          facts = HeaderFacts(sop_instance_uid=row['sop_instance_uid'])
          made = pseudonyms.image(facts, row['frame'], None) or ''
          return made[:UID_DIGITS] == (row['image_id'] or '')[:UID_DIGITS]  # where UIDs clash the rest is of the pixels
  return True
