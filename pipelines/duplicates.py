"""Exact duplicates, and different images of one id, over all shards of a run: found by digests, written into the rows.

The rows of a shard are on disk before anyone knows what the others hold. So
the digests are read back from the staged files, and where a shard holds
duplicates, or ids that clash, its files are written again, under other names:
what is staged and marked as finished is never touched, and a run that was
killed comes to the same rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa

from pipelines.crosswalk import ROLE as CROSSWALK
from pipelines.crosswalk import restage_crosswalk
from pipelines.schemas import read_columns, write_arrow
from pipelines.staging import ShardResult, StagedFile, StagedWriter
from transforms import storage
from transforms.duplicates import DuplicateCounts, ImageKeys, find_duplicates, flags_of, pack_images
from transforms.uid_clashes import FLAG, IdKeys, clash_id, find_clashes, pack_ids, positions_of

_COLUMNS: Final = ('source_id', 'pixel_sha256', 'content_sha256')
_ANNOTATIONS: Final = ('split', 'label')  # of a dataset; predictions have neither
_ID_COLUMNS: Final = ('image_id', 'pixel_sha256')
_COUNTS: Final = 'counts'

Ids = Mapping[int, str]  # new ones, by the position of their row
Rename = Callable[[ShardResult, Ids, str], ShardResult]


class Outputs(NamedTuple):
  """Results whose tables carry flags and ids, and one `DuplicateCounts`."""

  results: beam.PCollection[ShardResult]
  counts: beam.PCollection[DuplicateCounts]


@dataclass(eq=False)
class FlagDuplicates(beam.PTransform):
  """PCollection[ShardResult] → PCollection[ShardResult], PCollection[DuplicateCounts].

  Attributes:
    staging: where the files of shards lie.
    role: of the file that holds the rows.
    rename: gives the images of a shard new ids, from a folder for its files, in what holds ids beside rows and
      crosswalk; None where nothing does.
  """

  staging: str
  role: str
  rename: Rename | None = None

  def expand(self, results: beam.PCollection[ShardResult]) -> Outputs:
    found = (
      results
      | 'ReadDigests' >> beam.FlatMap(read_digests, self.role)
      | 'GroupDigests' >> beam.GroupByKey()
      | 'FindDuplicates' >> beam.FlatMap(_find).with_outputs(_COUNTS, main='marks')
    )
    clashes = (
      results
      | 'ReadIds' >> beam.FlatMap(read_ids, self.role)
      | 'GroupIds' >> beam.GroupByKey()
      | 'FindClashes' >> beam.FlatMap(_find_clashes).with_outputs(_COUNTS, main='marks')
    )
    by_shard = results | 'KeyByShard' >> beam.Map(_by_shard)
    flagged = (
      {'results': by_shard, 'marks': found['marks'], 'clashes': clashes['marks']}
      | 'JoinMarks' >> beam.CoGroupByKey()
      | 'WriteFlags' >> beam.FlatMap(_write_joined, self.staging, self.role, self.rename)
    )
    every = (found[_COUNTS], clashes[_COUNTS]) | 'JoinCounts' >> beam.Flatten()
    return Outputs(flagged, every | 'AddCounts' >> beam.CombineGlobally(_sum))


def table_of(result: ShardResult, role: str) -> StagedFile:
  """The file of a shard that holds its rows."""
  return next(file for file in result.files if file.role == role)


def read_digests(result: ShardResult, role: str) -> Iterator[tuple[int, bytes]]:
  """What is needed of the images of a shard, packed."""
  table = read_columns(table_of(result, role).path, (*_COLUMNS, *_ANNOTATIONS))
  columns = {name: table[name].to_pylist() for name in table.column_names}
  rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
  return pack_images(result.number, [ImageKeys(n, **row) for n, row in enumerate(rows) if row['pixel_sha256']])


def read_ids(result: ShardResult, role: str) -> Iterator[tuple[int, bytes]]:
  """The ids of the images of a shard with their pixels, packed."""
  return pack_ids(result.number, (IdKeys(n, image, pixels) for n, image, pixels in _with_pixels(result, role)))


def _with_pixels(result: ShardResult, role: str) -> Iterator[tuple[int, str, str]]:
  """Position, id and digest of the rows that have pixels."""
  table = read_columns(table_of(result, role).path, _ID_COLUMNS)
  rows = zip(*(table[name].to_pylist() for name in _ID_COLUMNS), strict=True)
  return ((position, image, pixels) for position, (image, pixels) in enumerate(rows) if image and pixels)


def _find(bucket: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
  marks, counts = find_duplicates(bucket[1])
  yield beam.pvalue.TaggedOutput(_COUNTS, counts)
  yield from marks.items()


def _find_clashes(bucket: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
  marks, images = find_clashes(bucket[1])
  yield beam.pvalue.TaggedOutput(_COUNTS, DuplicateCounts(uid_clashes=images))
  yield from marks.items()


def _by_shard(result: ShardResult) -> tuple[int, ShardResult]:
  return result.number, result


def _sum(counts: Iterable[DuplicateCounts]) -> DuplicateCounts:
  return reduce(add, counts, DuplicateCounts())


def _write_joined(
  joined: tuple[int, Mapping[str, Iterable[Any]]], staging: str, role: str, rename: Rename | None
) -> Iterator[ShardResult]:
  flags, clashes = flags_of(joined[1]['marks']), positions_of(joined[1]['clashes'])
  for result in joined[1]['results']:
    ids = new_ids(result, clashes, role) if clashes else {}
    renamed = _renamed(result, ids, staging, rename) if ids else result
    yield write_flags(renamed, flags, staging, role, ids) if flags or ids else renamed


def new_ids(result: ShardResult, clashes: Iterable[int], role: str) -> dict[int, str]:
  """Ids of UID and pixels for some rows of a shard, by their positions."""
  wanted = set(clashes)
  return {n: clash_id(image, pixels) for n, image, pixels in _with_pixels(result, role) if n in wanted}


def _renamed(result: ShardResult, ids: Ids, staging: str, rename: Rename | None) -> ShardResult:
  """A result whose files have new ids, but for its table."""
  other = rename(result, ids, staging) if rename else result
  files = (restage_crosswalk(file, result.number, ids) if file.role == CROSSWALK else file for file in other.files)
  return replace(other, files=tuple(files))


def write_flags(
  result: ShardResult, flags: Mapping[int, str], staging: str, role: str, ids: Ids | None = None
) -> ShardResult:
  """Writes the rows of a shard again, with flags at some positions and new ids at others, under a new name."""
  staged = StagedWriter(staging, result.number)
  old = table_of(result, role)
  with storage.open_write(staged.path(role)) as file:
    write_arrow(file, _with_ids(_flagged(read_columns(old.path), flags), ids or {}))
  new = staged.describe(role)
  return replace(result, files=tuple(new if file == old else file for file in result.files))


def _with_ids(table: pa.Table, ids: Ids) -> pa.Table:
  images = table['image_id'].to_pylist()
  for position, image in ids.items():
    images[position] = image
  return _set(_flagged(table, dict.fromkeys(ids, FLAG)), 'image_id', images)


def _flagged(table: pa.Table, flags: Mapping[int, str]) -> pa.Table:
  quality = table['quality'].to_pylist()
  for position, flag in flags.items():
    quality[position] = sorted([*quality[position], flag])
  return _set(table, 'quality', quality)


def _set(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
  index = table.schema.get_field_index(name)
  return table.set_column(index, table.schema.field(index), pa.array(values, table.schema.field(index).type))
