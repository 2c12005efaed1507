import json
import pathlib
import shutil
from typing import Any

import pytest

from model.dataset import Dataset, DatasetError, open_dataset, read_rows


def _copy(dataset: Dataset, tmp_path: pathlib.Path, **changes: Any) -> pathlib.Path:
  facts = json.loads((dataset.path / 'dataset.json').read_text())
  facts.update(changes)
  (tmp_path / 'dataset.json').write_text(json.dumps({name: value for name, value in facts.items() if value != 'drop'}))
  return tmp_path


def test_what_ingest_wrote_is_read(dataset: Dataset) -> None:
  assert dataset.labels == ('NORMAL', 'PNEUMONIA')
  assert dataset.class_counts('val') == {'NORMAL': 16, 'PNEUMONIA': 16}
  assert dataset.spec.shape == (32, 32, 1)
  assert dataset.synthetic
  assert len(dataset.example_files('train')) == 2


def test_the_rows_of_a_split_are_read(dataset: Dataset) -> None:
  assert list(read_rows(dataset, ['modality', 'view_position'])) == [{'modality': 'DX'}] * 96
  assert len(list(read_rows(dataset, ['modality'], 'val'))) == 32


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'format_version': 7}, 'format version 7, expected 1'),
    ({'labels': 'drop'}, 'lacks labels'),
    ({'preprocess_digest': '0' * 64}, 'dataset.json says 000000000000; the file was edited'),
    ({'preprocess': {'image_size': 32}}, 'preprocessing spec has the keys'),
  ],
)
def test_a_dataset_that_contradicts_itself_is_refused(
  dataset: Dataset, tmp_path: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
  with pytest.raises(DatasetError, match=message):
    open_dataset(_copy(dataset, tmp_path, **changes))


def test_an_unfinished_dataset_is_refused(tmp_path: pathlib.Path) -> None:
  with pytest.raises(DatasetError, match='which ingest writes last'):
    open_dataset(tmp_path)


def test_a_split_without_files_is_named(dataset: Dataset, tmp_path: pathlib.Path) -> None:
  shutil.copy(dataset.path / 'dataset.json', tmp_path)
  with pytest.raises(DatasetError, match='the test split holds no TFRecord files'):
    open_dataset(tmp_path).example_files('test')
