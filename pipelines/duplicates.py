"""Exact duplicates over all shards of a run: found by a grouping of digests, written into the staged rows.

The rows of a shard are on disk before anyone knows what the others hold. So
the digests are read back from the staged files, and where a shard holds
duplicates its table is written again, under another name: what is staged and
marked as finished is never touched, and a run that was killed comes to the
same rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa

from pipelines.schemas import read_columns, write_arrow
from pipelines.staging import ShardResult, StagedFile, StagedWriter
from transforms import storage
from transforms.duplicates import DuplicateCounts, ImageKeys, find_duplicates, flags_of, pack_images

_COLUMNS: Final = ('source_id', 'pixel_sha256', 'content_sha256')
_ANNOTATIONS: Final = ('split', 'label')  # of a dataset; predictions have neither
_COUNTS: Final = 'counts'


class Outputs(NamedTuple):
  """Results whose tables carry the flags, and one `DuplicateCounts`."""

  results: beam.PCollection[ShardResult]
  counts: beam.PCollection[DuplicateCounts]


@dataclass(eq=False)
class FlagDuplicates(beam.PTransform):
  """PCollection[ShardResult] → PCollection[ShardResult], PCollection[DuplicateCounts].

  Attributes:
    staging: where the files of shards lie.
    role: of the file that holds the rows.
  """

  staging: str
  role: str

  def expand(self, results: beam.PCollection[ShardResult]) -> Outputs:
    found = (
      results
      | 'ReadDigests' >> beam.FlatMap(read_digests, self.role)
      | 'GroupDigests' >> beam.GroupByKey()
      | 'FindDuplicates' >> beam.FlatMap(_find).with_outputs(_COUNTS, main='marks')
    )
    by_shard = results | 'KeyByShard' >> beam.Map(_by_shard)
    flagged = (
      {'results': by_shard, 'marks': found['marks']}
      | 'JoinMarks' >> beam.CoGroupByKey()
      | 'WriteFlags' >> beam.FlatMap(_write_joined, self.staging, self.role)
    )
    counts = found[_COUNTS] | 'AddCounts' >> beam.CombineGlobally(_sum)
    return Outputs(flagged, counts)


def table_of(result: ShardResult, role: str) -> StagedFile:
  """The file of a shard that holds its rows."""
  return next(file for file in result.files if file.role == role)


def read_digests(result: ShardResult, role: str) -> Iterator[tuple[int, bytes]]:
  """What is needed of the images of a shard, packed."""
  table = read_columns(table_of(result, role).path, (*_COLUMNS, *_ANNOTATIONS))
  columns = {name: table[name].to_pylist() for name in table.column_names}
  rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
  return pack_images(result.number, [ImageKeys(n, **row) for n, row in enumerate(rows) if row['pixel_sha256']])


def _find(bucket: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
  marks, counts = find_duplicates(bucket[1])
  yield beam.pvalue.TaggedOutput(_COUNTS, counts)
  yield from marks.items()


def _by_shard(result: ShardResult) -> tuple[int, ShardResult]:
  return result.number, result


def _sum(counts: Iterable[DuplicateCounts]) -> DuplicateCounts:
  return reduce(add, counts, DuplicateCounts())


def _write_joined(joined: tuple[int, Mapping[str, Iterable[Any]]], staging: str, role: str) -> Iterator[ShardResult]:
  flags = flags_of(joined[1]['marks'])
  for result in joined[1]['results']:
    yield write_flags(result, flags, staging, role) if flags else result


def write_flags(result: ShardResult, flags: Mapping[int, str], staging: str, role: str) -> ShardResult:
  """Writes the rows of a shard again, with flags at some positions, under a new name."""
  staged = StagedWriter(staging, result.number)
  old = table_of(result, role)
  with storage.open_write(staged.path(role)) as file:
    write_arrow(file, _flagged(read_columns(old.path), flags))
  new = staged.describe(role)
  return replace(result, files=tuple(new if file == old else file for file in result.files))


def _flagged(table: pa.Table, flags: Mapping[int, str]) -> pa.Table:
  quality = table['quality'].to_pylist()
  for position, flag in flags.items():
    quality[position] = sorted([*quality[position], flag])
  index = table.schema.get_field_index('quality')
  return table.set_column(index, table.schema.field(index), pa.array(quality, table.schema.field(index).type))
