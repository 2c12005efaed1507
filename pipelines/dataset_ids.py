"""New image ids in what a shard of a dataset holds beside its index: examples and samples."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import tensorflow as tf

from pipelines.schemas import read_columns
from pipelines.staging import ShardResult, StagedFile, StagedWriter
from transforms import storage
from transforms.tfrecord import read_records, write_record

_EXAMPLES, _SAMPLES = 'examples/', 'samples/'
_COLUMNS: Final = ('image_id', 'split', 'pixel_sha256')


def rename_images(result: ShardResult, ids: Mapping[int, str], staging: str) -> ShardResult:
  """Gives images of a shard new ids.

  Args:
    result: of the shard, whose index still has the old ids.
    ids: by the position of their row in the index.
    staging: where its files lie; those with such an image are written again, under a new name.
  """
  (index,) = (file for file in result.files if file.role == 'index')
  renaming = _Renaming(read_columns(index.path, _COLUMNS).to_pylist(), ids, StagedWriter(staging, result.number))
  return replace(result, files=tuple(map(renaming.file, result.files)))


@dataclass(frozen=True, slots=True)
class _Renaming:
  """What became of the images of a shard.

  Attributes:
    rows: of the index, with their old ids.
    ids: new ones, by the position of their row.
    writer: of new files.
  """

  rows: Sequence[Mapping[str, Any]]
  ids: Mapping[int, str]
  writer: StagedWriter

  def file(self, file: StagedFile) -> StagedFile:
    """A file of the shard with the new ids."""
    if file.role.startswith(_EXAMPLES):
      return self._examples(file, self._ids_of(file.role.removeprefix(_EXAMPLES)))
    if file.role.startswith(_SAMPLES):
      return replace(file, role=f'{_SAMPLES}{self._sample(file.role.removeprefix(_SAMPLES).removesuffix(".png"))}.png')
    return file

  def _ids_of(self, split: str) -> list[str | None]:
    """Of each example of a split the new id, if it has one: they are in the order of the rows with pixels."""
    images = (position for position, row in enumerate(self.rows) if row['pixel_sha256'] and row['split'] == split)
    return [self.ids.get(position) for position in images]

  def _sample(self, image: str) -> str:
    """The id of a sample: the first row of an id made it."""
    of_id = (n for n, row in enumerate(self.rows) if row['pixel_sha256'] and row['image_id'] == image)
    return self.ids.get(next(of_id, -1), image)

  def _examples(self, file: StagedFile, ids: Sequence[str | None]) -> StagedFile:
    if not any(ids):
      return file
    with storage.open_read(file.path) as source, storage.open_write(self.writer.path(file.role)) as target:
      for record in _with_ids(read_records(source), ids):
        write_record(target, record)
    return self.writer.describe(file.role)


def _with_ids(records: Iterable[bytes], ids: Iterable[str | None]) -> Iterator[bytes]:
  for record, image_id in zip(records, ids, strict=True):
    yield _with_id(record, image_id) if image_id else record


def _with_id(record: bytes, image_id: str) -> bytes:
  example: Any = tf.train.Example.FromString(record)
  example.features.feature['image_id'].bytes_list.value[:] = [image_id.encode()]
  return bytes(example.SerializeToString(deterministic=True))
