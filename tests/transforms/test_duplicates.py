import hashlib
import random
from collections import Counter, defaultdict

import pytest

from transforms.duplicates import CONTENT, PIXELS, DuplicateCounts, ImageKeys, find_duplicates, flags_of, pack_images


def digest(name: str) -> str:
  return hashlib.sha256(name.encode()).hexdigest()


def image(position: int, pixels: str, content: str | None = None, source: str | None = None, **more: str) -> ImageKeys:
  return ImageKeys(position, source or f's{position}', digest(pixels), digest(content or pixels), **more)


Shards = dict[int, list[ImageKeys]]


def flags(shards: Shards, seed: int = 0) -> tuple[dict[tuple[int, int], str], DuplicateCounts]:
  """What the graph does, in an order of chance: pack, group, find, regroup."""
  packed = [item for shard, images in shards.items() for item in pack_images(shard, images)]
  random.Random(seed).shuffle(packed)
  buckets: dict[int, list[bytes]] = defaultdict(list)
  for bucket, records in packed:
    buckets[bucket].append(records)
  marks: dict[int, list[bytes]] = defaultdict(list)
  counts = DuplicateCounts()
  for packed_bucket in buckets.values():
    of_bucket, counted = find_duplicates(packed_bucket)
    counts += counted
    for shard, found in of_bucket.items():
      marks[shard].append(found)
  flagged = {(shard, position): flag for shard in marks for position, flag in flags_of(marks[shard]).items()}
  return flagged, counts


@pytest.mark.parametrize(
  ('shards', 'expected'),
  [
    ({0: [image(0, 'a'), image(1, 'b')]}, {}),
    ({0: [image(0, 'a'), image(1, 'a')]}, {(0, 1): CONTENT}),
    ({0: [image(3, 'a')], 1: [image(0, 'a'), image(7, 'a')]}, {(1, 0): CONTENT, (1, 7): CONTENT}),
    ({0: [image(0, 'a', 'png'), image(1, 'a', 'jpeg')]}, {(0, 1): PIXELS}),
    (
      {0: [image(0, 'a', 'png'), image(1, 'a', 'jpeg')], 1: [image(0, 'a', 'jpeg'), image(1, 'a', 'png')]},
      {(0, 1): PIXELS, (1, 0): CONTENT, (1, 1): CONTENT},
    ),
    # Frames of one source have its content: they are duplicates by their pixels only.
    ({0: [image(0, 'a', 'f', 's'), image(1, 'a', 'f', 's'), image(2, 'b', 'f', 's')]}, {(0, 1): PIXELS}),
    (
      {0: [image(0, 'a', 'f', 's'), image(1, 'b', 'f', 's'), image(2, 'a', 'f', 't'), image(3, 'b', 'f', 't')]},
      {(0, 2): CONTENT, (0, 3): CONTENT},
    ),
    ({0: []}, {}),
  ],
)
def test_all_but_the_first_are_flagged(shards: Shards, expected: dict[tuple[int, int], str]) -> None:
  for seed in range(3):
    assert flags(shards, seed)[0] == expected


def test_many_are_found_as_by_a_plain_loop() -> None:
  chance = random.Random(1)
  shards = {
    n: [image(p, f'pixels{chance.randrange(300)}', f'c{chance.randrange(400)}') for p in range(40)] for n in range(9)
  }
  seen: dict[str, set[str]] = {}
  expected = {}
  for shard, images in shards.items():
    for one in images:
      if one.pixel_sha256 in seen:
        expected[shard, one.position] = CONTENT if one.content_sha256 in seen[one.pixel_sha256] else PIXELS
      seen.setdefault(one.pixel_sha256, set()).add(one.content_sha256 or '')
  found, counts = flags(shards)
  assert found == expected
  assert counts.content + counts.pixels == len(expected) > 50
  times = Counter(one.pixel_sha256 for images in shards.values() for one in images)
  assert counts.groups == sum(number > 1 for number in times.values())


def test_a_shard_that_was_tried_twice_has_no_duplicates_of_itself() -> None:
  packed = [records for _, records in pack_images(4, [image(0, 'a')])]
  assert find_duplicates(packed * 2) == ({}, DuplicateCounts())


@pytest.mark.parametrize(
  ('images', 'expected'),
  [
    ([image(0, 'a', split='train', label='x'), image(1, 'a', split='train', label='x')], (1, 0, 1, 0, 0)),
    ([image(0, 'a', split='train', label='x'), image(1, 'a', split='test', label='x')], (1, 0, 1, 1, 0)),
    ([image(0, 'a', split='train', label='x'), image(1, 'a', split='train', label='y')], (1, 0, 1, 0, 1)),
    ([image(0, 'a', split='val', label='x'), image(1, 'a', 'jpeg', split='test', label='y')], (0, 1, 1, 1, 1)),
    ([image(0, 'a'), image(1, 'a')], (1, 0, 1, 0, 0)),
    ([image(0, 'a', split='train'), image(1, 'b', split='test')], (0, 0, 0, 0, 0)),
  ],
)
def test_what_duplicates_spoil_is_counted(images: list[ImageKeys], expected: tuple[int, ...]) -> None:
  assert flags({0: images})[1] == DuplicateCounts(*expected)


def test_counts_add_up() -> None:
  assert DuplicateCounts(1, 2, 3, 4, 5) + DuplicateCounts(10, 20, 30, 40, 50) == DuplicateCounts(11, 22, 33, 44, 55)


def test_an_image_crosses_the_shuffle_as_few_bytes() -> None:
  items = list(pack_images(0, [image(position, str(position)) for position in range(2000)]))
  assert len(items) <= 64
  assert sum(len(records) for _, records in items) == 2000 * 53
