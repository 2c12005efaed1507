import hashlib
import random
from collections import defaultdict

import pytest

from transforms.uid_clashes import IdKeys, clash_id, find_clashes, pack_ids, positions_of

I1, I2 = (hashlib.md5(name.encode()).hexdigest() for name in ('i1', 'i2'))


def digest(name: str) -> str:
  return hashlib.sha256(name.encode()).hexdigest()


Shards = dict[int, list[tuple[int, str, str]]]  # position, id, pixels


def clashes(shards: Shards, seed: int = 0) -> tuple[set[tuple[int, int]], int]:
  """What the graph does, in an order of chance, each record twice: pack, group, find, regroup."""
  packed = [
    item for shard, rows in shards.items() for item in pack_ids(shard, [IdKeys(n, i, digest(p)) for n, i, p in rows])
  ] * 2
  random.Random(seed).shuffle(packed)
  buckets: dict[int, list[bytes]] = defaultdict(list)
  for bucket, records in packed:
    buckets[bucket].append(records)
  by_shard: dict[int, list[bytes]] = defaultdict(list)
  images = 0
  for of_bucket in buckets.values():
    found, count = find_clashes(of_bucket)
    images += count
    for shard, positions in found.items():
      by_shard[shard].append(positions)
  return {(shard, position) for shard in by_shard for position in positions_of(by_shard[shard])}, images


@pytest.mark.parametrize(
  ('shards', 'rows', 'images'),
  [
    ({0: [(0, I1, 'a'), (1, I2, 'b')]}, set(), 0),
    ({0: [(0, I1, 'a'), (1, I1, 'a')]}, set(), 0),  # sent again, as it was or with another header
    ({0: [(0, I1, 'a'), (1, I2, 'a')]}, set(), 0),
    ({0: [(0, I1, 'a'), (1, I1, 'b')]}, {(0, 0), (0, 1)}, 2),
    ({0: [(3, I1, 'a')], 1: [(0, I1, 'b'), (7, I2, 'b')]}, {(0, 3), (1, 0)}, 2),
    ({0: [(0, I1, 'a'), (1, I1, 'a'), (2, I1, 'b')]}, {(0, 0), (0, 1), (0, 2)}, 2),
    ({0: [(0, I1, 'a')], 1: [(0, I1, 'b')], 2: [(0, I1, 'c')]}, {(0, 0), (1, 0), (2, 0)}, 3),
    ({0: [(0, I1, 'a'), (1, I1, 'b'), (2, I2, 'a'), (3, I2, 'c')]}, {(0, n) for n in range(4)}, 4),
    ({0: []}, set(), 0),
  ],
)
def test_all_rows_of_an_id_with_several_pixels_clash(shards: Shards, rows: set[tuple[int, int]], images: int) -> None:
  for seed in range(3):
    assert clashes(shards, seed) == (rows, images)


def test_many_are_found_as_by_a_plain_loop() -> None:
  chance = random.Random(1)
  ids = [hashlib.md5(str(n).encode()).hexdigest() for n in range(150)]
  shards = {n: [(p, chance.choice(ids), f'p{chance.randrange(3)}') for p in range(40)] for n in range(9)}
  pixels: dict[str, set[str]] = defaultdict(set)
  for rows in shards.values():
    for _, image, of_image in rows:
      pixels[image].add(of_image)
  several = {image for image, found in pixels.items() if len(found) > 1}
  expected = {(shard, n) for shard, rows in shards.items() for n, image, _ in rows if image in several}
  assert clashes(shards) == (expected, sum(len(pixels[image]) for image in several))
  assert 50 < len(expected) < 360


def test_an_id_of_a_clash_is_of_uid_and_pixels() -> None:
  ids = {clash_id(image, digest(pixels)) for image in (I1, I2) for pixels in 'ab'}
  assert len(ids) == 4
  assert {image[:16] for image in ids} == {I1[:16], I2[:16]}
  assert {len(image) for image in ids} == {32}
  assert all(set(image) <= set('0123456789abcdef') for image in ids)
  again = clash_id(I1, digest('a'))
  assert clash_id(again, digest('a')) == again, 'made again it is the same'
  assert clash_id(again, digest('b')) == clash_id(I1, digest('b')), 'whichever id of the UID it is made of'
