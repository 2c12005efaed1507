"""Results of shards, staged by hand: what the steps after the shards are tested with."""

import pathlib
from collections.abc import Mapping

from pipelines.crosswalk import stage_crosswalk
from pipelines.staging import ShardResult, StagedWriter
from transforms import storage
from transforms.rows import CrosswalkRow

Counts = tuple[tuple[tuple[str, str, str, str], int], ...]
ONE_OK: Counts = ((('ok', '', 'train', 'a'), 1),)


def stage(
  folder: str | pathlib.Path, number: int, contents: Mapping[str, bytes], *, sources: int = 1, counts: Counts = ONE_OK
) -> ShardResult:
  """Writes a file for each role; not yet marked as finished."""
  writer = StagedWriter(str(folder), number)
  for role, content in contents.items():
    with storage.open_write(writer.path(role)) as file:
      file.write(content)
  files = tuple(writer.describe(role) for role in contents)
  return ShardResult(number, f'fingerprint {number}', files, sources, sources, counts)


def with_crosswalk(folder: pathlib.Path, number: int) -> ShardResult:
  """A result whose only file is its part of the crosswalk, with one line."""
  line = CrosswalkRow(f'image{number}', f'source{number}', 'a.zip', f'Doe/{number}', 1, '1.2.3', '1.2', '1', 'P1')
  staged = stage_crosswalk(str(folder), number, [line])
  return ShardResult(number, f'fingerprint {number}', (staged,), 1, 1, ONE_OK)
