"""The same image twice, in several archives: flagged in both tables, and counted where it spoils a dataset."""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest

from pipelines import ingest
from pipelines.cli import main
from tests.end_to_end.conftest import IMAGE_SIZE_PX, Chain
from tests.transforms.archive_files import tar_bytes, zip_bytes
from tests.transforms.pictures import dicom_dataset, dicom_file, gradient, png
from transforms.elements import Source
from transforms.identifiers import Pseudonyms, read_key
from transforms.splits import SplitSpec, split_of


def picture(number: int) -> np.ndarray:
  noise = np.random.default_rng(number).integers(0, 256, (8, 8)).astype(np.uint8)
  return np.kron(noise, np.ones((IMAGE_SIZE_PX // 8,) * 2, np.uint8))


def split(member: str) -> str:
  return split_of(f'in/{member.split("/")[0]}!/{"/".join(member.split("/")[1:])}#0', SplitSpec(0.25, 0.25))


def in_split(wanted: str, start: str) -> str:
  """A member name that is of this split, where each member is a patient."""
  return next(name for n in range(1000) if split(name := f'{start}{n}.png') == wanted)


TRAIN, TEST = in_split('train', 'a.zip/SICK/t'), in_split('test', 'b.zip/SICK/x')
OTHER_LABEL, DICOM = in_split('train', 'b.zip/WELL/t'), in_split('test', 'c.tgz/SICK/d')
MULTIFRAME = 'a.zip/SICK/multi'

SAME, LABELS = png(picture(1)), png(picture(2))
IMAGES = {
  TRAIN: SAME,
  TEST: SAME,
  in_split('train', 'a.zip/SICK/l'): LABELS,
  OTHER_LABEL: LABELS,
  DICOM: dicom_file(dicom_dataset(picture(1), WindowCenter=128, WindowWidth=256)),  # the pixels of SAME
  MULTIFRAME: dicom_file(
    dicom_dataset(np.stack([gradient(64, 64, 8), gradient(64, 64, 8)]), NumberOfFrames=2, SOPInstanceUID='1.2.9')
  ),
  **{f'a.zip/WELL/{n}.png': png(picture(100 + n)) for n in range(40)},
  **{f'b.zip/WELL/more{n}.png': png(picture(200 + n)) for n in range(40)},
}
EXPECTED = {  # streams come first, then archives by name: the original is in c.tgz
  (TRAIN, 1): 'duplicate-pixels',
  (TEST, 1): 'duplicate-content',
  (OTHER_LABEL, 1): 'duplicate-content',
  (MULTIFRAME, 2): 'duplicate-pixels',
}


@pytest.fixture
def inputs(tmp_path: pathlib.Path) -> str:
  folder = tmp_path / 'in'
  folder.mkdir()
  for archive in ('a.zip', 'b.zip', 'c.tgz'):
    members = [(name.split('/', 1)[1], data) for name, data in IMAGES.items() if name.startswith(archive)]
    (folder / archive).write_bytes(zip_bytes(members) if archive != 'c.tgz' else tar_bytes(members, 'w:gz'))
  return str(folder)


def command(chain: Chain, inputs: str, output: pathlib.Path, *more: str) -> list[str]:
  given = ['--input', inputs, '--output', str(output), '--pseudonym_key_file', chain.key]
  return [*given, '--max_reject_ratio', '0', *more]


def run_ingest(chain: Chain, inputs: str, output: pathlib.Path) -> int:
  split_flags = ['--patient_from', 'member', '--val_fraction', '0.25', '--test_fraction', '0.25']
  flags = ['--labels', 'folder', '--image_size', str(IMAGE_SIZE_PX), *split_flags]
  return main(['ingest', *command(chain, inputs, output, *flags)])


def rows(folder: pathlib.Path) -> list[dict[str, Any]]:
  found: list[dict[str, Any]] = ds.dataset(folder, format='parquet', partitioning=None).to_table().to_pylist()
  return found


def flags(chain: Chain, folder: pathlib.Path) -> dict[tuple[str, int], str]:
  pseudonyms = Pseudonyms(read_key(chain.key))
  names = {pseudonyms.source(Source(f'in/{name.split("/")[0]}', name.split('/', 1)[1])): name for name in IMAGES}
  table = rows(folder)
  assert len(table) == len(IMAGES) + 1
  return {
    (names[row['source_id']], row['frame']): flag
    for row in table
    for flag in row['quality']
    if flag.startswith('duplicate')
  }


def test_a_dataset_flags_counts_and_warns(
  chain: Chain, inputs: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  output = tmp_path / 'dataset'
  assert run_ingest(chain, inputs, output) == 0
  assert flags(chain, output / 'index') == EXPECTED
  record = json.loads((output / 'dataset.json').read_text())
  counts = {'content': 2, 'pixels': 2, 'groups': 3, 'groups_across_splits': 1, 'groups_of_different_labels': 1}
  counts |= {'uid_clashes': 0}
  assert record['duplicates'] == counts
  said = capsys.readouterr().err
  assert '1 image(s) stand in more than one split' in said
  assert '1 image(s) stand in the dataset under different labels' in said


def test_predictions_flag_the_same_images(chain: Chain, inputs: str, tmp_path: pathlib.Path) -> None:
  assert main(['score', *command(chain, inputs, tmp_path / 'scores', '--bundle', str(chain.root / 'bundle'))]) == 0
  assert flags(chain, tmp_path / 'scores/predictions') == EXPECTED
  [record] = (tmp_path / 'scores/runs').glob('*.json')
  assert json.loads(record.read_text())['duplicates'] == {'content': 2, 'pixels': 2, 'uid_clashes': 0}


def test_a_run_that_ended_after_the_flags_were_written_goes_on_to_the_same_bytes(
  chain: Chain, inputs: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def killed(*_: object, **__: object) -> str:
    raise ValueError('killed')

  whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
  with monkeypatch.context() as patched:
    patched.setattr(ingest, 'publish_dataset', killed)
    assert run_ingest(chain, inputs, resumed) == 1
  markers = [json.loads(path.read_text()) for path in (resumed / '.staging/finished').glob('*.json')]
  staged = list((resumed / '.staging/index').iterdir())
  assert len(staged) > len(markers) > 2  # those with flags were written again, and no marker knows
  assert {file['path'] for marker in markers for file in marker['files'] if file['role'] == 'index'} < set(
    map(str, staged)
  )
  assert run_ingest(chain, inputs, resumed) == run_ingest(chain, inputs, whole) == 0
  for folder in ('index', 'near_duplicates', 'examples'):
    assert contents(resumed / folder) == contents(whole / folder)


def contents(folder: pathlib.Path) -> dict[str, str]:
  files = [path for path in folder.rglob('*') if path.is_file()]
  return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_near_duplicates_are_reported(chain: Chain, tmp_path: pathlib.Path) -> None:
  brighter = np.clip(picture(1).astype(int) + 2, 0, 255).astype(np.uint8)
  members = {'SICK/a.png': png(picture(1)), 'WELL/b.png': png(brighter), 'WELL/c.png': png(picture(3))}
  (tmp_path / 'in').mkdir()
  (tmp_path / 'in/x.zip').write_bytes(zip_bytes(list(members.items())))
  assert run_ingest(chain, str(tmp_path / 'in'), tmp_path / 'dataset') == 0
  pseudonyms = Pseudonyms(read_key(chain.key))
  ids = {row['source_id']: row['image_id'] for row in rows(tmp_path / 'dataset/index')}
  first, second = (ids[pseudonyms.source(Source('in/x.zip', name))] for name in ('SICK/a.png', 'WELL/b.png'))
  [pair] = rows(tmp_path / 'dataset/near_duplicates')
  assert (pair['image_id'], pair['other_image_id'], pair['label'], pair['other_label']) == (
    first,
    second,
    'SICK',
    'WELL',
  )
  record = json.loads((tmp_path / 'dataset/dataset.json').read_text())['near_duplicates']
  assert (record['pairs'], record['pairs_of_different_labels'], record['max_distance']) == (1, 1, 4)
