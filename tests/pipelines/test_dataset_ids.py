import io
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.dataset_ids import rename_images
from pipelines.dataset_shards import encode_example
from pipelines.schemas import INDEX, write_table
from pipelines.staging import ShardResult, StagedFile
from tests.pipelines.shard_results import stage
from transforms import storage
from transforms.tfrecord import read_records, write_record

# By position: id, split, grey; None where there are no pixels.
IMAGES = [('u', 'train', 1), ('u', None, None), ('u', 'test', 2), ('v', 'train', 3), ('u', 'train', 4), ('w', 'val', 5)]
IDS = {0: 'u1', 2: 'u2', 4: 'u4'}


@pytest.fixture(params=['disk', 'store'])
def folder(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
  return str(tmp_path) if request.param == 'disk' else str(request.getfixturevalue('bucket'))


def examples(split: str) -> bytes:
  file = io.BytesIO()
  for image, of, grey in IMAGES:
    if of == split:
      write_record(file, encode_example(image, np.full((2, 2, 1), grey, np.uint8), 'label', 7))
  return file.getvalue()


def index() -> bytes:
  file = io.BytesIO()
  rows = [{'image_id': image, 'split': split, 'pixel_sha256': grey and f'{grey:064x}'} for image, split, grey in IMAGES]
  write_table(file, rows, INDEX)
  return file.getvalue()


def staged(folder: str, **more: bytes) -> ShardResult:
  contents = {f'examples/{split}': examples(split) for split in ('train', 'val', 'test')}
  samples = {'samples/u.png': b'of the first', 'samples/v.png': b'of v'}
  return stage(folder, 4, contents | {'index': index()} | samples | more)


def by_role(result: ShardResult) -> dict[str, StagedFile]:
  return {file.role: file for file in result.files}


def ids_and_greys(file: StagedFile) -> list[tuple[str, int]]:
  found = []
  for record in read_records(io.BytesIO(storage.read_bytes(file.path))):
    values: Any = tf.train.Example.FromString(record).features.feature
    assert (values['label'].bytes_list.value[0], values['patient_bucket'].int64_list.value[0]) == (b'label', 7)
    found.append((values['image_id'].bytes_list.value[0].decode(), values['image'].bytes_list.value[0][0]))
  return found


def test_examples_and_samples_have_the_new_ids(folder: str) -> None:
  result = staged(folder)
  old, new = by_role(result), by_role(rename_images(result, IDS, folder))
  assert ids_and_greys(new['examples/train']) == [('u1', 1), ('v', 3), ('u4', 4)]
  assert ids_and_greys(new['examples/test']) == [('u2', 2)]
  assert ids_and_greys(old['examples/train']) == [('u', 1), ('v', 3), ('u', 4)], 'what was staged is as it was'
  for role in ('examples/val', 'index', 'samples/v.png'):
    assert new[role] == old[role]
  assert storage.read_bytes(new['samples/u1.png'].path) == b'of the first'
  assert sorted(new) == sorted({*old, 'samples/u1.png'} - {'samples/u.png'})


def test_two_attempts_agree(folder: str) -> None:
  result = staged(folder)
  first, second = (rename_images(result, IDS, folder) for _ in range(2))
  assert first.content == second.content
  assert by_role(first)['examples/train'].path != by_role(second)['examples/train'].path


def test_examples_that_are_not_those_of_the_index_are_a_bug(folder: str) -> None:
  result = staged(folder, **{'examples/train': examples('val')})
  with pytest.raises(ValueError, match='zip'):
    rename_images(result, IDS, folder)
