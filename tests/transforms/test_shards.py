import dataclasses
import random

import pytest

from transforms.archives.members import Member
from transforms.shards import BATCH_MEMBERS, MAX_SHARD_MEMBERS, Archive, ArchiveKind, Batch, cut_batches, pack_shards

ZIP = Archive('a.zip', '/in/a.zip', 'zip', 100, '7')


def members(count: int) -> list[Member]:
  return [Member(f'{number}', 0, number, 1, 1) for number in range(count)]


def batches(*archives: tuple[str, ArchiveKind, int]) -> list[Batch]:
  return [
    batch
    for name, kind, count in archives
    for batch in cut_batches(Archive(name, f'/in/{name}', kind, 1, '7'), members(count))
  ]


MIXED = batches(
  ('a.zip', 'zip', 1000),
  ('b.tar', 'tar', 3),
  ('c.tgz', 'stream', 0),
  ('d', 'broken', 0),
  ('e.tgz', 'stream', 0),
  ('f', 'folder', 77),
)


@pytest.mark.parametrize(
  ('count', 'lengths'),
  [(0, []), (1, [1]), (BATCH_MEMBERS, [BATCH_MEMBERS]), (BATCH_MEMBERS + 1, [BATCH_MEMBERS, 1])],
)
def test_a_listing_is_cut_into_batches(count: int, lengths: list[int]) -> None:
  cut = list(cut_batches(ZIP, members(count)))
  assert [len(batch.members) for batch in cut] == lengths
  assert [member for batch in cut for member in batch.members] == members(count)


def test_batches_are_in_reading_order() -> None:
  [batch] = cut_batches(ZIP, members(9)[::-1])
  assert list(batch.members) == members(9)


@pytest.mark.parametrize('kind', ['stream', 'broken'])
def test_what_has_no_listing_is_one_batch(kind: ArchiveKind) -> None:
  archive = dataclasses.replace(ZIP, kind=kind)
  assert list(cut_batches(archive, ())) == [Batch(archive)]


@pytest.mark.parametrize('cores', [1, 2, 64, 10_000])
def test_every_batch_is_in_exactly_one_shard(cores: int) -> None:
  shards = pack_shards(MIXED, cores)
  packed = [batch for shard in shards for batch in shard.batches]
  assert len(packed) == len(MIXED)
  assert set(packed) == set(MIXED)
  assert [shard.number for shard in shards] == list(range(len(shards)))


def test_packing_does_not_depend_on_the_order_of_listing() -> None:
  shuffled = random.Random(0).sample(MIXED, len(MIXED))
  assert pack_shards(shuffled, 3) == pack_shards(MIXED, 3)


@pytest.mark.parametrize(
  ('count', 'cores', 'shards'), [(4000, 2, 8), (4000, 4, 16), (60_000, 1, 30), (10, 1, 1), (100, 64, 4)]
)
def test_there_are_a_few_shards_per_core_and_none_is_large(count: int, cores: int, shards: int) -> None:
  packed = pack_shards(batches(('a.zip', 'zip', count)), cores)
  sizes = [sum(len(batch.members) for batch in shard.batches) for shard in packed]
  assert sum(sizes) == count
  assert max(sizes) < MAX_SHARD_MEMBERS + BATCH_MEMBERS
  assert shards * 0.8 <= len(packed) <= shards


def test_a_stream_is_a_shard_of_its_own() -> None:
  for shard in pack_shards(MIXED, 1):
    kinds = [batch.archive.kind for batch in shard.batches]
    assert 'stream' not in kinds or kinds == ['stream']


def test_nothing_is_packed_into_no_shard() -> None:
  assert pack_shards([], 4) == []


@pytest.mark.parametrize(
  'changed',
  [
    Batch(dataclasses.replace(ZIP, size_bytes=101), tuple(members(3))),
    Batch(dataclasses.replace(ZIP, fingerprint='8'), tuple(members(3))),
    Batch(dataclasses.replace(ZIP, name='b.zip'), tuple(members(3))),
    Batch(ZIP, tuple(members(2))),
    Batch(ZIP, (*members(2), Member('2', 0, 2, 1, 1, crc32=5))),
  ],
)
def test_the_fingerprint_changes_with_the_inputs(changed: Batch) -> None:
  [before] = pack_shards([Batch(ZIP, tuple(members(3)))], 1)
  [again] = pack_shards([Batch(ZIP, tuple(members(3)))], 1)
  [after] = pack_shards([changed], 1)
  assert again.fingerprint == before.fingerprint != after.fingerprint


def test_equal_work_at_another_place_has_another_fingerprint() -> None:
  [shard] = pack_shards([Batch(ZIP, tuple(members(3)))], 1)
  assert dataclasses.replace(shard, number=1).fingerprint != shard.fingerprint
