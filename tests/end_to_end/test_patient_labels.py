"""`--labels folder` over exports whose folders are called after patients: nothing is published, nothing is left."""

import json
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.cli import main
from pipelines.exits import Exit
from tests.transforms.pictures import dicom_dataset, dicom_file, gradient, png

_NAME = 'Zwirnfeld'


@pytest.fixture
def command(tmp_path: pathlib.Path) -> list[str]:
  (tmp_path / 'key').write_bytes(bytes(range(32)))
  (tmp_path / 'key').chmod(0o600)
  return [
    *('ingest', '--input', str(tmp_path / 'export'), '--labels', 'folder', '--output', str(tmp_path / 'dataset')),
    *('--pseudonym_key_file', str(tmp_path / 'key'), '--crosswalk', str(tmp_path / 'crosswalk')),
    *('--image_size', '16', '--patient_from', 'member', '--val_fraction', '0.2', '--test_fraction', '0.2'),
  ]


def deliver(tmp_path: pathlib.Path, folder: str, number: int, content: bytes) -> None:
  path = tmp_path / 'export' / folder / f'{number}.img'
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)


def picture(number: int) -> NDArray[np.uint8]:
  return np.roll(gradient(16, 16, 8), number, axis=1).astype(np.uint8)


def radiograph(number: int, name: str) -> bytes:
  return dicom_file(dicom_dataset(picture(number), PatientName=name, SOPInstanceUID=f'1.2.3.{number}'))


def left(tmp_path: pathlib.Path) -> Iterator[str]:
  """What there is beside the export and the key."""
  for path in sorted(tmp_path.rglob('*')):
    name = str(path.relative_to(tmp_path))
    if not name.startswith(('export', 'key')):
      yield name


def test_folders_of_patients_by_the_names_in_their_headers(
  tmp_path: pathlib.Path, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
  for number in range(12):  # of few patients: only their headers tell
    deliver(tmp_path, f'{_NAME}_ANNA{number % 3}', number, radiograph(number, f'{_NAME.upper()}^Anna{number % 3}^^Dr'))
  assert main(command) == Exit.USAGE
  shown = ''.join(capfd.readouterr())
  assert 'radbeam ingest: error: found a label that is the name or an id of its patient' in shown
  assert 'Traceback' not in shown
  assert _NAME.lower() not in shown.lower()
  assert [name for name in left(tmp_path) if name != 'crosswalk'] == []


def test_folders_of_patients_by_their_number_and_of_as_many_classes_where_that_is_said(
  tmp_path: pathlib.Path, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
  for number in range(63):
    deliver(
      tmp_path, f'{_NAME}{number % 21}', number, png(np.roll(gradient(16, 16, 8), number, axis=1).astype(np.uint8))
    )
  (tmp_path / 'dataset').mkdir()
  (tmp_path / 'dataset/dataset.json').write_text('{"run_id": "old"}')
  assert main([*command, '--overwrite']) == Exit.USAGE
  shown = ''.join(capfd.readouterr())
  assert 'found 21 different labels of 63 images, 21 of them of fewer than 10 images; expected at most 20' in shown
  assert _NAME.lower() not in shown.lower()
  assert [name for name in left(tmp_path) if name != 'crosswalk'] == ['dataset', 'dataset/dataset.json']
  assert (tmp_path / 'dataset/dataset.json').read_text() == '{"run_id": "old"}'  # the old one is still there
  assert main([*command, '--overwrite', '--max_labels', '21']) == Exit.DONE
  assert len(json.loads((tmp_path / 'dataset/dataset.json').read_text())['labels']) == 21
