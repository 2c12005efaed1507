"""One hostile file of each kind in a folder: the jobs end, every one has its row, and its neighbours their pixels."""

import gzip
import os
import pathlib
import zipfile
from collections import defaultdict

import pyarrow.dataset as ds
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from pipelines.cli import main
from tests.end_to_end.conftest import Chain
from tests.transforms.archive_files import tar_bytes, tar_info, tar_of, zip_bytes
from tests.transforms.pictures import compressed, dicom_dataset, dicom_file, gradient, pillow_jpeg, png

LIMITS = {
  'max_pixels': 100_000,
  'max_member_bytes': 4 << 20,
  'max_inflated_bytes': 20 << 20,
  'max_members': 20,
  'max_nesting': 2,
  'max_header_depth': 8,
  'max_header_elements': 1000,
}
GREY = gradient(bits=8)


def deep() -> bytes:
  """Sequences of undefined length inside each other."""
  inner = Dataset()
  for _ in range(20):
    outer = Dataset()
    hold(outer, inner)
    inner = outer
  dataset = dicom_dataset(GREY)
  hold(dataset, inner)
  return dicom_file(dataset)


def hold(outer: Dataset, inner: Dataset) -> None:
  outer.ReferencedStudySequence = Sequence([inner])
  outer['ReferencedStudySequence'].is_undefined_length = True
  inner.is_undefined_length_sequence_item = True


def wide() -> bytes:
  dataset = dicom_dataset(GREY)
  for group in range(9, 19, 2):
    block = dataset.private_block(group, 'X', create=True)
    for number in range(250):
      block.add_new(number, 'LO', '')
  return dicom_file(dataset)


def cut_codestream(uid: UID) -> bytes:
  data = dicom_file(compressed(dicom_dataset(GREY), uid, [GREY]))
  return data[: len(data) - len(data) // 3]


def nested(levels: int) -> bytes:
  data = png(GREY)
  for level in range(levels):
    data = zip_bytes([(f'{level}', data)])
  return data


# name, content, and what becomes of it: `ok`, or reason codes
HOSTILE: dict[str, tuple[bytes, set[str]]] = {
  'good.dcm': (dicom_file(dicom_dataset(GREY)), {'ok'}),
  'good.jpg': (pillow_jpeg(GREY), {'ok'}),
  'zeros.zip': (zip_bytes([('zeros', bytes(64 << 20))], zipfile.ZIP_DEFLATED), {'bomb'}),
  'zeros.gz': (gzip.compress(bytes(64 << 20)), {'too-large'}),
  'many.zip': (zip_bytes([(str(n), b'') for n in range(40)]), {'bomb'}),
  'many.tar': (tar_bytes([(str(n), b'') for n in range(40)]), {'bomb'}),
  'deep.zip': (nested(4), {'archive-nesting'}),
  'links.tar': (tar_of(tar_info('a', b'2'), tar_info('b', b'3')), {'link'}),
  'names.zip': (zip_bytes([('../../etc/passwd', png(GREY)), ('/etc/shadow', png(GREY)), ('C:\\x', png(GREY))]), {'ok'}),
  'large.png': (png(gradient(400, 400, 8)), {'too-large'}),
  'lying.dcm': (dicom_file(dicom_dataset(GREY, Rows=65535, Columns=65535)), {'too-large'}),
  'frames.dcm': (dicom_file(dicom_dataset(GREY, NumberOfFrames=2_000_000_000)), {'ok', 'decode-failed'}),
  'deep.dcm': (deep(), {'header-corrupt'}),
  'wide.dcm': (wide(), {'too-large'}),
  'j2k.dcm': (cut_codestream(JPEG2000Lossless), {'decode-failed'}),
  'jls.dcm': (cut_codestream(JPEGLSLossless), {'decode-failed'}),
  'jpeg.dcm': (cut_codestream(JPEGLosslessSV1), {'decode-failed'}),
  'empty': (b'', {'empty-file'}),
}


@pytest.fixture(scope='module')
def inbox(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('hostile') / 'inbox'
  folder.mkdir()
  for name, (data, _) in HOSTILE.items():
    (folder / name).write_bytes(data)
  os.mkfifo(folder / 'fifo')
  (folder / 'nowhere').symlink_to('gone')
  return folder


@pytest.mark.parametrize('job', ['ingest', 'score'])
def test_every_hostile_file_is_accounted_for(
  job: str, inbox: pathlib.Path, chain: Chain, tmp_path: pathlib.Path
) -> None:
  limits = [word for name, value in LIMITS.items() for word in (f'--{name}', str(value))]
  given = ['--input', str(inbox), '--output', str(tmp_path / 'out'), '--pseudonym_key_file', chain.key]
  more = {
    'ingest': ['--labels', 'none', '--patient_from', 'member'],
    'score': ['--bundle', str(chain.root / 'bundle')],
  }[job]
  crosswalk = ['--crosswalk', str(tmp_path / 'crosswalk'), '--max_reject_ratio', '1']
  assert main([job, *given, *more, *limits, *crosswalk]) == 0
  found = outcomes(tmp_path, {'ingest': 'index', 'score': 'predictions'}[job])
  expected = {name: codes for name, (_, codes) in HOSTILE.items()} | {'fifo': {'link'}, 'nowhere': {'link'}}
  assert found == expected


def outcomes(root: pathlib.Path, table: str) -> dict[str, set[str]]:
  """What became of each file of the inbox, by the table and the crosswalk."""
  rows = ds.dataset(root / 'out' / table, format='parquet', partitioning=None).to_table().to_pylist()
  lines = ds.dataset(root / 'crosswalk', format='parquet').to_table().to_pylist()
  files = {line['source_id']: file_of(line['archive'], line['member']) for line in lines}
  assert set(files) == {row['source_id'] for row in rows}
  found: dict[str, set[str]] = defaultdict(set)
  for row in rows:
    found[files[row['source_id']]].add(row['reason'] or 'ok')
  return found


def file_of(archive: str, member: str) -> str:
  return archive.removeprefix('inbox').removeprefix('/') or member
