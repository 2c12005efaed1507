"""The crosswalk's share of a shard: staged beside the crosswalk itself, never in the outputs."""

import os
import pathlib
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.schemas import CROSSWALK, write_table
from pipelines.staging import FOLDER, StagedFile, StagedWriter
from transforms.rows import CrosswalkRow

ROLE = 'crosswalk'


def stage_crosswalk(folder: str, number: int, rows: Sequence[CrosswalkRow]) -> StagedFile:
  """Writes the lines of one shard to a file that only its owner may read."""
  writer = StagedWriter(staging_folder(folder), number)
  path = pathlib.Path(writer.path(ROLE))
  for made in (pathlib.Path(folder), path.parent):  # `parents` are made for all to read
    made.mkdir(parents=True, exist_ok=True, mode=0o700)
  with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as file:
    write_table(file, (asdict(row) for row in rows), CROSSWALK)
  return writer.describe(ROLE)


def staging_folder(folder: str) -> str:
  """Where the parts of a crosswalk wait for the end of the run."""
  return str(pathlib.Path(folder, FOLDER))
