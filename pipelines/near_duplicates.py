"""Near duplicates of a dataset, as a report: which images look alike, and whether that spoils a split or a label."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa

from pipelines.duplicates import table_of
from pipelines.schemas import read_columns
from pipelines.staging import ShardResult
from transforms.duplicates import FLAGS
from transforms.near_duplicates import (
  HashedImage,
  NearDuplicates,
  Records,
  find_near_duplicates,
  join,
  pack_hashes,
  places,
)

_REPORTED: Final = ('image_id', 'split', 'label')
Place = tuple[int, int]


@dataclass(eq=False)
class FindNearDuplicates(beam.PTransform):
  """PCollection[ShardResult] → PCollection[NearDuplicates], of one element.

  Exact duplicates, which are flagged by now, are left out: they are known.

  Attributes:
    distance: bits in which the hashes of a pair may differ.
  """

  distance: int

  def expand(self, results: beam.PCollection[ShardResult]) -> beam.PCollection[NearDuplicates]:
    return (
      results
      | 'ReadHashes' >> beam.FlatMap(read_hashes, self.distance)
      | 'GroupHashes' >> beam.GroupByKey()
      | 'Compare' >> beam.Map(_compare, self.distance)
      | 'JoinPairs' >> beam.CombineGlobally(join)
    )


def read_hashes(result: ShardResult, distance: int) -> Iterator[tuple[tuple[int, int], bytes]]:
  """The perceptual hashes of a shard's images, packed by band."""
  names = ('source_id', 'perceptual_hash', 'quality')
  rows = read_columns(table_of(result, 'index').path, names).to_pylist()
  images = [
    HashedImage(position, row['source_id'], row['perceptual_hash'])
    for position, row in enumerate(rows)
    if row['perceptual_hash'] and not set(FLAGS).intersection(row['quality'])
  ]
  return pack_hashes(result.number, images, distance)


def _compare(item: tuple[tuple[int, int], Iterable[bytes]], distance: int) -> NearDuplicates:
  (band, _), packed = item
  return find_near_duplicates(band, packed, distance)


def near_duplicate_rows(near: NearDuplicates, results: Sequence[ShardResult]) -> list[dict[str, Any]]:
  """A line for each pair, by the ids of its images; the nearest first."""
  pairs = near.pairs
  rows = dict(_read_rows(pairs, results))
  lines = []
  for distance, shard, position, other_shard, other_position in pairs.tolist():
    other = rows[other_shard, other_position]
    lines.append(
      {**rows[shard, position], **{f'other_{name}': other[name] for name in _REPORTED}, 'distance': distance}
    )
  return lines


def _read_rows(pairs: Records, results: Sequence[ShardResult]) -> Iterator[tuple[Place, dict[str, Any]]]:
  paths = {result.number: table_of(result, 'index').path for result in results}
  for shard, positions in places(pairs).items():
    rows = read_columns(paths[shard], _REPORTED).take(pa.array(positions)).to_pylist()
    yield from (((shard, position), row) for position, row in zip(positions, rows, strict=True))


def summary(near: NearDuplicates, lines: Sequence[Mapping[str, Any]], distance: int) -> dict[str, int]:
  """What the record says of the report."""
  return {
    'max_distance': distance,
    'pairs': len(lines),
    'pairs_across_splits': sum(line['split'] != line['other_split'] for line in lines),
    'pairs_of_different_labels': sum(line['label'] != line['other_label'] for line in lines),
    'pairs_dropped': near.pairs_dropped,
    'buckets_cut': near.buckets_cut,
    'images_in_cut_buckets': near.images_in_cut_buckets,
  }
