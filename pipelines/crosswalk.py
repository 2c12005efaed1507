"""The crosswalk's share of a shard: staged beside the crosswalk itself, never in the outputs."""

import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipelines.schemas import CROSSWALK, read_columns, write_table
from pipelines.staging import FOLDER, StagedFile, StagedWriter
from transforms import storage
from transforms.rows import CrosswalkRow

ROLE = 'crosswalk'


def stage_crosswalk(staging: str, number: int, rows: Sequence[CrosswalkRow]) -> StagedFile:
  """Writes the lines of one shard to a file that only its owner may read; `staging` is of `staging_folder`."""
  return _stage(staging, number, map(asdict, rows))


def restage_crosswalk(old: StagedFile, number: int, ids: Mapping[int, str]) -> StagedFile:
  """Writes the lines of one shard again, with other image ids at some positions, under a new name."""
  lines = read_columns(old.path).to_pylist()
  for position, image in ids.items():
    lines[position]['image_id'] = image
  return _stage(str(pathlib.Path(old.path).parents[1]), number, lines)


def _stage(staging: str, number: int, lines: Iterable[Mapping[str, Any]]) -> StagedFile:
  writer = StagedWriter(staging, number)
  path = pathlib.Path(writer.path(ROLE))
  for made in reversed(path.parents[:4]):  # the crosswalk's own folder first: `parents` are made for all to read
    made.mkdir(parents=True, exist_ok=True, mode=0o700)
  with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as file:
    write_table(file, lines, CROSSWALK)
  return writer.describe(ROLE)


def staging_folder(folder: str, work: str) -> str:
  """Where the parts of a crosswalk wait for the end of the run.

  Args:
    folder: of the crosswalk, which other runs may write to as well.
    work: folder of the run's other unfinished work, which tells it from others.
  """
  return str(pathlib.Path(folder, FOLDER, hashlib.sha256(work.encode()).hexdigest()[:16]))


def remove_staged(folder: str, work: str) -> None:
  """Removes the parts of a run that has ended."""
  staging = staging_folder(folder, work)
  storage.delete_tree(staging)
  storage.delete_if_empty(str(pathlib.Path(staging).parent))
