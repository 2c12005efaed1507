"""Near duplicates: images whose perceptual hashes differ in few bits.

Hashes that differ in at most d bits agree in one of d + 1 bands whole, so only
those that share a band are compared. Radiographs look alike, and their bands
collide: a bucket is compared in runs of bounded size, and what that leaves out
is counted. A record is 20 bytes for each band.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transforms.perceptual import BITS

Records = NDArray[np.void]
MAX_RUN: Final = 1024
MAX_PAIRS: Final = 20_000
_BUCKET_BITS: Final = 5  # of a band's value are part of the key: 32 keys a band

_HASH: Final = np.dtype([('hash', '<u8'), ('shard', '<u4'), ('position', '<u4'), ('source', '<u4')])
PAIR: Final = np.dtype(
  [('distance', 'u1'), ('shard', '<u4'), ('position', '<u4'), ('other_shard', '<u4'), ('other_position', '<u4')]
)


@dataclass(frozen=True, slots=True)
class HashedImage:
  """An image by its place and its hash, of 16 hexadecimal digits."""

  position: int
  source_id: str
  perceptual_hash: str


@dataclass(frozen=True, slots=True)
class NearDuplicates:
  """Pairs, and what is not among them.

  Attributes:
    packed: records of `PAIR`; the image first in its order of shard and position.
    pairs_dropped: found, but beyond `MAX_PAIRS`; those that are kept are the nearest.
    buckets_cut, images_in_cut_buckets: too large to compare all with all.
  """

  packed: bytes = b''
  pairs_dropped: int = 0
  buckets_cut: int = 0
  images_in_cut_buckets: int = 0

  @property
  def pairs(self) -> Records:
    """As an array of `PAIR`, the nearest first, then by place."""
    pairs = np.frombuffer(self.packed, PAIR)
    return pairs[np.lexsort([pairs[name] for name in reversed(PAIR.names or ())])]


def join(found: Iterable[NearDuplicates]) -> NearDuplicates:
  """All of them: the same, in whatever order they come and however they were joined before."""
  several = list(found)
  whole = NearDuplicates(
    b''.join(near.packed for near in several),
    sum(near.pairs_dropped for near in several),
    sum(near.buckets_cut for near in several),
    sum(near.images_in_cut_buckets for near in several),
  )
  dropped = len(whole.packed) // PAIR.itemsize - MAX_PAIRS
  if dropped <= 0:
    return whole
  return replace(whole, packed=whole.pairs[:MAX_PAIRS].tobytes(), pairs_dropped=whole.pairs_dropped + dropped)


def pack_hashes(shard: int, images: Sequence[HashedImage], distance: int) -> Iterator[tuple[tuple[int, int], bytes]]:
  """The records of a shard, packed by band and by a part of the band's value."""
  sources: dict[str, int] = {}
  rows = [
    (int(i.perceptual_hash, 16), shard, i.position, sources.setdefault(i.source_id, len(sources))) for i in images
  ]
  records = np.array(rows, _HASH)
  for band in range(distance + 1):
    buckets = _band(records['hash'], band, distance) % (1 << _BUCKET_BITS)
    for bucket in np.unique(buckets):
      yield (band, int(bucket)), records[buckets == bucket].tobytes()


def _band(hashes: NDArray[np.uint64], band: int, distance: int) -> NDArray[np.uint64]:
  """The bits of one of distance + 1 bands, of nearly equal width."""
  start, end = (BITS * number // (distance + 1) for number in (band, band + 1))
  return (hashes >> np.uint64(start)) & np.uint64((1 << (end - start)) - 1)


def find_near_duplicates(band: int, packed: Iterable[bytes], distance: int) -> NearDuplicates:
  """Compares the images of one key.

  Args:
    band: of the key.
    packed: of `pack_hashes`, from all shards, in any order.
    distance: bits in which a pair may differ.

  Returns:
    Pairs of different sources that have no earlier band in common: each pair
    is found once.
  """
  records = np.frombuffer(b''.join(packed), _HASH)
  values = _band(records['hash'], band, distance)
  order = np.lexsort((records['position'], records['shard'], records['hash'], values))
  records, values = records[order], values[order]
  is_new = np.r_[True, records[1:] != records[:-1]]  # an engine may have tried a shard twice
  records, values = records[is_new], values[is_new]
  buckets = np.split(records, np.flatnonzero(values[1:] != values[:-1]) + 1)
  return join(_compare(bucket, band, distance) for bucket in buckets if len(bucket) > 1)


def _compare(bucket: Records, band: int, distance: int) -> NearDuplicates:
  """Runs are in the order of the hashes: what is nearest lies mostly in the same run."""
  runs = [bucket[start : start + MAX_RUN] for start in range(0, len(bucket), MAX_RUN)]
  packed = b''.join(_pairs(run, band, distance).tobytes() for run in runs)
  is_cut = len(runs) > 1
  return NearDuplicates(packed, 0, int(is_cut), len(bucket) if is_cut else 0)


def _pairs(run: Records, band: int, distance: int) -> Records:
  differing = run['hash'][:, None] ^ run['hash'][None, :]
  is_pair = np.triu(np.bitwise_count(differing) <= distance, 1)
  for earlier in range(band):
    is_pair &= _band(differing, earlier, distance) != 0
  first, second = np.nonzero(is_pair)
  is_other_source = run[['shard', 'source']][first] != run[['shard', 'source']][second]
  first, second = first[is_other_source], second[is_other_source]
  return _ordered(run[first], run[second], np.bitwise_count(differing[first, second]))


def _ordered(first: Records, second: Records, distances: NDArray[Any]) -> Records:
  """Pairs whose image of the lower shard and position comes first."""
  swap = (first['shard'] > second['shard']) | (
    (first['shard'] == second['shard']) & (first['position'] > second['position'])
  )
  pairs = np.empty(len(first), PAIR)
  pairs['distance'] = distances
  for name in ('shard', 'position'):
    pairs[name] = np.where(swap, second[name], first[name])
    pairs[f'other_{name}'] = np.where(swap, first[name], second[name])
  return pairs


def places(pairs: Records) -> dict[int, list[int]]:
  """The positions that occur in pairs, by shard, in order."""
  found: dict[int, set[int]] = defaultdict(set)
  for prefix in ('', 'other_'):
    for shard, position in zip(pairs[f'{prefix}shard'].tolist(), pairs[f'{prefix}position'].tolist(), strict=True):
      found[shard].add(position)
  return {shard: sorted(positions) for shard, positions in sorted(found.items())}
