import itertools
import random
from collections import defaultdict

import numpy as np
import pytest

from transforms import near_duplicates
from transforms.near_duplicates import HashedImage, NearDuplicates, find_near_duplicates, join, pack_hashes, places

Shards = dict[int, list[HashedImage]]


def find(shards: Shards, distance: int, seed: int = 0) -> NearDuplicates:
  """What the graph does, in an order of chance."""
  packed = [item for shard, images in shards.items() for item in pack_hashes(shard, images, distance)]
  random.Random(seed).shuffle(packed)
  buckets: dict[tuple[int, int], list[bytes]] = defaultdict(list)
  for key, records in packed:
    buckets[key].append(records)
  found = [find_near_duplicates(band, records, distance) for (band, _), records in buckets.items()]
  return join([join(found[::2]), join(found[1::2])])


def brute_force(shards: Shards, distance: int) -> list[tuple[int, ...]]:
  images = [(shard, image.position, image) for shard in sorted(shards) for image in shards[shard]]
  pairs = []
  for (shard, position, first), (other_shard, other_position, other) in itertools.combinations(images, 2):
    apart = (int(first.perceptual_hash, 16) ^ int(other.perceptual_hash, 16)).bit_count()
    if apart <= distance and (shard, first.source_id) != (other_shard, other.source_id):
      pairs.append((apart, shard, position, other_shard, other_position))
  return sorted(pairs)


def alike(shards: int, images: int, centres: int, seed: int = 0) -> Shards:
  """Hashes scattered by a few bits about some centres, in shards."""
  chance = random.Random(seed)
  around = [chance.getrandbits(64) for _ in range(centres)]

  def near() -> str:
    bits = chance.choice(around)
    for _ in range(chance.randrange(6)):
      bits ^= 1 << chance.randrange(64)
    return f'{bits:016x}'

  return {shard: [HashedImage(2 * n, f'{shard}/{n // 2}', near()) for n in range(images)] for shard in range(shards)}


@pytest.mark.parametrize('distance', range(8))
def test_pairs_are_those_of_a_comparison_of_all_with_all(distance: int) -> None:
  shards = alike(3, 60, 12)
  expected = brute_force(shards, distance)
  found = find(shards, distance)
  assert found.pairs.tolist() == expected
  assert len(expected) > 10 * distance
  assert (
    found == find(shards, distance, seed=1) or found.pairs.tolist() == find(shards, distance, seed=1).pairs.tolist()
  )
  assert (found.pairs_dropped, found.buckets_cut) == (0, 0)


def test_a_shard_that_was_tried_twice_is_compared_once() -> None:
  shards = alike(1, 40, 4)
  packed = list(pack_hashes(0, shards[0], 4))
  twice = join(find_near_duplicates(band, [records, records], 4) for (band, _), records in packed)
  assert twice.pairs.tolist() == brute_force(shards, 4)


def test_a_bucket_that_is_too_large_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(near_duplicates, 'MAX_RUN', 10)
  shards = {0: [HashedImage(n, str(n), f'{7:016x}') for n in range(25)]}
  found = find(shards, 1)
  runs = (10, 10, 5)
  assert len(found.pairs) == sum(run * (run - 1) // 2 for run in runs)
  assert (found.buckets_cut, found.images_in_cut_buckets) == (2, 50)  # two bands, each with all of them


def test_pairs_beyond_the_limit_are_counted_and_the_nearest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(near_duplicates, 'MAX_PAIRS', 30)
  shards = alike(2, 60, 5)
  expected = brute_force(shards, 4)
  for seed in range(3):
    found = find(shards, 4, seed)
    assert found.pairs.tolist() == expected[:30]
    assert found.pairs_dropped == len(expected) - 30


def test_nothing_is_found_in_nothing() -> None:
  assert list(pack_hashes(0, [], 4)) == []
  assert join([]) == NearDuplicates()
  assert NearDuplicates().pairs.tolist() == []


def test_places_are_those_of_the_pairs() -> None:
  pairs = np.array([(0, 2, 7, 3, 1), (4, 2, 7, 2, 9)], near_duplicates.PAIR)
  assert places(pairs) == {2: [7, 9], 3: [1]}
