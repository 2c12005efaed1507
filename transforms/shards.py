"""Shards: the unit of work, of writing and of resuming.

A shard is a fixed list of batches of references, packed before anything is
decoded, so its content never depends on timing. Zip, tar and folders are cut
into ranges; a stream is read from end to end and is a shard of its own.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final, Literal

from transforms.archives.members import Member

BATCH_MEMBERS: Final = 32
MAX_SHARD_MEMBERS: Final = 2000
SHARDS_PER_CORE: Final = 4


def version_number(fingerprint: str) -> int:
  """A file's fingerprint as references to loose files carry it, 32 bits; 0 where there is none."""
  return zlib.crc32(fingerprint.encode())


ArchiveKind = Literal['folder', 'zip', 'tar', 'stream', 'broken']


@dataclass(frozen=True, slots=True, order=True)
class Archive:
  """One file of the inputs that holds members, or the folder that holds loose files.

  Attributes:
    name: below the inputs; what ids are made of.
    path: what the file system knows it by.
    size_bytes, fingerprint: change when the file does; '' for a folder.
    problem: for `broken`: the reason code and detail of the archive's one row.
  """

  name: str
  path: str
  kind: ArchiveKind
  size_bytes: int = 0
  fingerprint: str = ''
  problem: tuple[str, str] = ('', '')


@dataclass(frozen=True, slots=True)
class Batch:
  """Consecutive members of one archive; none for a stream, which is read as it comes."""

  archive: Archive
  members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Shard:
  """Batches that one worker reads, decodes and writes."""

  number: int
  batches: tuple[Batch, ...]

  @property
  def fingerprint(self) -> str:
    """Changes with every input byte that the listing can tell apart, and with the packing."""
    digest = hashlib.sha256(str(self.number).encode())
    for batch in self.batches:
      digest.update(repr((astuple(batch.archive), [astuple(member) for member in batch.members])).encode())
    return digest.hexdigest()


def cut_batches(archive: Archive, members: Sequence[Member], size: int = BATCH_MEMBERS) -> Iterator[Batch]:
  """Cuts a listing into batches, in reading order; a stream or a broken archive is one batch."""
  if archive.kind in ('stream', 'broken'):
    yield Batch(archive)
  ordered = sorted(members, key=lambda member: (member.offset, member.name, member.occurrence))
  for start in range(0, len(ordered), size):
    yield Batch(archive, tuple(ordered[start : start + size]))


def pack_shards(batches: Iterable[Batch], cores: int) -> list[Shard]:
  """Packs batches into a few shards per core, of at most about `MAX_SHARD_MEMBERS` members.

  The packing depends on the batches and the number of cores only, not on the
  order in which they were listed.
  """
  streams: list[Batch] = []
  ranged: list[Batch] = []
  for batch in sorted(batches, key=lambda batch: (batch.archive, batch.members)):
    (streams if batch.archive.kind == 'stream' else ranged).append(batch)
  members = sum(len(batch.members) or 1 for batch in ranged)
  target = min(MAX_SHARD_MEMBERS, -(-members // (SHARDS_PER_CORE * cores)))
  groups = [[batch] for batch in streams] + list(_groups(ranged, max(1, target)))
  return [Shard(number, tuple(group)) for number, group in enumerate(groups)]


def _groups(batches: Iterable[Batch], target: int) -> Iterator[list[Batch]]:
  group: list[Batch] = []
  members = 0
  for batch in batches:
    group.append(batch)
    members += len(batch.members) or 1
    if members >= target:
      yield group
      group, members = [], 0
  if group:
    yield group
