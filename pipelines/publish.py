"""From staged files to results: one rename on a disk, copies on an object store.

Safe to run twice, and twice at once: whoever comes second finds the folder
there. What commits is always the record that the caller writes afterwards.
"""

import os
import pathlib
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence

import pyarrow.parquet as pq

from pipelines.schemas import CROSSWALK
from pipelines.staging import ShardResult, StagedFile
from transforms import storage


def part_name(number: int, parts: int, suffix: str) -> str:
  """`part-00000-of-00008.parquet`."""
  return f'part-{number:05d}-of-{parts:05d}.{suffix}'


def with_role(results: Sequence[ShardResult], role: str) -> Iterator[tuple[int, StagedFile]]:
  """The files of a role with the number of their shard, in order."""
  for result in results:
    yield from ((result.number, file) for file in result.files if file.role == role)


def publish_folder(files: Iterable[tuple[str, str]], final: str) -> None:
  """Puts staged files into a new folder, all or, until the record is written, none.

  Args:
    files: path of each staged file, and its name in the folder.
    final: the folder; if it is there already, an earlier attempt made it.
  """
  if not storage.is_local(final):
    _copy_all(files, final)
    return
  target = pathlib.Path(final)
  attempt = target.with_name(f'{_attempt_prefix(target)}{uuid.uuid4().hex}')
  attempt.mkdir(parents=True)
  for path, name in files:
    (attempt / name).parent.mkdir(parents=True, exist_ok=True)
    _link(path, attempt / name)
  try:
    os.rename(attempt, target)
  except OSError:
    if not target.is_dir():
      raise
    shutil.rmtree(attempt)


def _attempt_prefix(target: pathlib.Path) -> str:
  return f'.{target.name}-'


def remove_attempts(final: str) -> None:
  """Removes what killed attempts at a folder left beside it; nobody else may be at work on it."""
  target = pathlib.Path(final)
  if storage.is_local(final) and target.parent.is_dir():
    for path in target.parent.iterdir():
      if path.name.startswith(_attempt_prefix(target)):
        shutil.rmtree(path)


def _link(path: str, target: pathlib.Path) -> None:
  try:
    os.link(path, target)
  except OSError:  # another file system, or one without links
    shutil.copyfile(path, target)


def _copy_all(files: Iterable[tuple[str, str]], final: str) -> None:
  pairs = [(path, storage.join(final, name)) for path, name in files]
  for is_local in (True, False):
    some = [pair for pair in pairs if storage.is_local(pair[0]) == is_local]
    storage.copy_files(some)


def publish_crosswalk(results: Sequence[ShardResult], folder: str, run_id: str) -> None:
  """Joins the staged crosswalk files into one that only its owner may read; the parts stay for another attempt."""
  parts = [file.path for _, file in with_role(results, 'crosswalk')]
  target = pathlib.Path(folder, f'crosswalk-{run_id}.parquet')
  temporary = target.with_name(f'.{target.name}-{uuid.uuid4().hex}')
  target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
  descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
  with os.fdopen(descriptor, 'wb') as file, pq.ParquetWriter(file, CROSSWALK, compression='zstd') as writer:
    for part in parts:
      writer.write_table(pq.read_table(part, schema=CROSSWALK))
  os.replace(temporary, target)
