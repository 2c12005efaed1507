"""One file as the pipeline sees it: the rows are those of reading, and nothing that is printed names anybody."""

import json
import os
import pathlib
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.cli import main
from tests.transforms.archive_files import tar_bytes, zip_bytes
from tests.transforms.pictures import NAME, colours, dicom_dataset, dicom_file, gradient, pillow_jpeg, png
from transforms.decode import DecodeOptions
from transforms.elements import Source
from transforms.identifiers import Pseudonyms
from transforms.inputs import Input, list_input
from transforms.listed_files import open_listed
from transforms.read import read_tasks
from transforms.rows import image_row

KEY = bytes(range(32))
MEMBER = f'{NAME}/IM1'
THREE_FRAMES = dicom_file(dicom_dataset(np.stack([gradient(40, 60, 8)] * 3), NumberOfFrames=3))
MEMBERS = [
  (MEMBER, dicom_file(dicom_dataset(gradient(), WindowCenter=2048, WindowWidth=4096))),
  (f'{NAME}.jpg', pillow_jpeg(colours(80, 100))),
  ('three', THREE_FRAMES),
  ('broken.png', png(gradient(bits=8))[:200]),
  ('empty', b''),
  ('inner.tar', tar_bytes([(f'{NAME}-a', png(gradient(bits=8))), ('b', b'MZ' + bytes(600))])),
]


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'config'))


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> str:
  (tmp_path / 'export.zip').write_bytes(zip_bytes(MEMBERS))
  return str(tmp_path / 'export.zip')


@pytest.fixture
def key(tmp_path: pathlib.Path) -> tuple[str, str]:
  (tmp_path / 'key').write_bytes(KEY)
  (tmp_path / 'key').chmod(0o600)
  return '--pseudonym_key_file', str(tmp_path / 'key')


@pytest.fixture
def file(tmp_path: pathlib.Path) -> str:
  (tmp_path / 'image').write_bytes(MEMBERS[0][1])
  return str(tmp_path / 'image')


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
  assert main(['inspect', *arguments]) == 0
  captured = capsys.readouterr()
  assert captured.err == ''
  return captured.out


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
  return json.loads(out(capsys, *arguments, '--json'))


def test_a_file_is_shown_with_facts_and_steps(file: str, capsys: pytest.CaptureFixture[str]) -> None:
  lines = out(capsys, file).splitlines()
  assert lines[0].startswith('dicom, ')
  assert lines[1] == 'ok'
  facts = dict(line.split(maxsplit=1) for line in lines[3 : lines.index('', 3)])
  assert (facts['modality'], facts['rows'], facts['columns'], facts['quality']) == ('CR', '48', '64', 'tiny')
  assert '  3. rescale: slope 1, intercept 0' in lines
  assert lines[-1] == '  5. pad: 64 x 48 to 224 x 224'


def test_the_rows_are_those_of_the_pipeline(
  archive: str, key: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
  found = shown(capsys, archive, *key)
  expected = []
  for batch in list_input(Input(archive, 'export.zip'), DecodeOptions().limits):
    for task in read_tasks(batch, open_listed, DecodeOptions()):
      for source in task().sources:
        rows = [image_row(source.source, source.content_sha256, frame, Pseudonyms(KEY)) for frame in source.frames]
        expected.append(json.loads(json.dumps([asdict(row) for row in rows])))
  assert [[without_steps(row) for row in source['rows']] for source in found] == expected
  assert len(expected) == 7
  assert [source['number'] for source in found] == list(range(1, 8))


def without_steps(row: dict[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in row.items() if name != 'steps'}


def test_an_archive_is_a_table(archive: str, capsys: pytest.CaptureFixture[str]) -> None:
  lines = out(capsys, archive).splitlines()
  cells = [line.split() for line in lines[1:-1]]
  assert [(cell[0], cell[1], ' '.join(cell[3:])) for cell in cells] == [
    ('1', 'dicom', 'ok'),
    ('2', 'jpeg', 'ok'),
    ('3', 'dicom', 'ok (3)'),
    ('4', 'png', 'decode-failed'),
    ('5', 'empty', 'empty-file'),
    ('6', 'png', 'ok'),
    ('7', 'auxiliary', 'auxiliary-file'),
  ]
  assert lines[-1] == '6 ok, 2 rejected, 1 skipped'


@pytest.mark.parametrize('more', [(), ('--json',), ('--member', '1'), ('--member', '2', '--json')])
def test_names_are_shown_if_asked_for(more: tuple[str, ...], archive: str, capsys: pytest.CaptureFixture[str]) -> None:
  assert NAME not in out(capsys, archive, *more)
  assert NAME in out(capsys, archive, *more, '--names')


@pytest.mark.parametrize(
  ('member', 'number'),
  [('2', 2), (MEMBER, 1), (f'inner.tar!/{NAME}-a', 6), (Pseudonyms(KEY).source(Source('export.zip', 'three')), 3)],
)
def test_a_member_is_found_by_number_name_and_id(
  member: str, number: int, archive: str, key: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
  assert shown(capsys, archive, '--member', member, *key)['number'] == number


def test_a_file_of_a_folder_is_found_by_the_id_that_a_job_gave_it(
  file: str, key: tuple[str, str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  given = Pseudonyms(KEY).source(Source(tmp_path.name, 'image'))
  [row] = shown(capsys, str(tmp_path), '--member', given, *key)['rows']
  assert row['source_id'] == given


def test_ids_need_a_key_and_none_is_made(file: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  assert 'source_id' not in out(capsys, file)
  assert not (tmp_path / 'config').exists()


def test_a_frame_is_chosen(archive: str, capsys: pytest.CaptureFixture[str]) -> None:
  [row] = shown(capsys, archive, '--member', '3', '--frame', '2')['rows']
  assert row['frame'] == 2
  [row] = shown(capsys, archive, '--member', '3', '--frames', 'middle')['rows']
  assert row['frame'] == 2


def test_a_reject_says_what_its_code_means(archive: str, capsys: pytest.CaptureFixture[str]) -> None:
  lines = out(capsys, archive, '--member', '5').splitlines()
  assert lines[:2] == ['empty, 0 bytes; rows: 1', 'rejected, empty-file: zero bytes']


def test_rules_are_those_of_the_jobs(file: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  (tmp_path / 'rules.yaml').write_text('rules: [{exclude: radiographs, modality: CR}]\ndefault: include\n')
  [row] = shown(capsys, file, '--select', str(tmp_path / 'rules.yaml'))['rows']
  assert (row['reason'], row['detail']) == ('not-selected', 'radiographs')


@pytest.mark.parametrize(('member', 'channels', 'size'), [('1', 1, (224, 64 + 8 + 224)), ('2', 3, (224, 332, 3))])
def test_the_picture_is_what_is_displayed_beside_what_the_model_is_fed(
  member: str,
  channels: int,
  size: tuple[int, ...],
  archive: str,
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
) -> None:
  path = tmp_path / 'new/picture.PNG'
  arguments = (archive, '--member', member, '--channels', str(channels), '--output', str(path))
  assert f'picture: {path}' in out(capsys, *arguments, '--dry_run')
  assert not path.exists()
  out(capsys, *arguments)
  picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
  assert picture is not None
  assert picture.shape == size
  if member == '1':
    assert np.ptp(picture[:48, :64]) == 255
    assert set(np.unique(picture[48:, :72])) == {128}


def test_without_pixels_there_is_no_picture(
  archive: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  assert 'picture: none' in out(capsys, archive, '--member', '4', '--output', str(tmp_path / 'p.png'))
  assert not (tmp_path / 'p.png').exists()


@pytest.mark.parametrize(
  ('arguments', 'text'),
  [
    ((), '--path must be given'),
    (('@nowhere',), 'does not exist; name a file'),
    (('@export.zip', '--output', '@export.zip'), 'expected the name of a .png file'),
    (('@export.zip', '--output', '@there.png', '--member', '1'), 'exists already'),
    (('@export.zip', '--output', '@new.png'), 'name it with --member'),
    (('@export.zip', '--frame', '1'), 'name it with --member'),
    (('@export.zip', '--member', '99'), '--member is none of the sources'),
    (('@export.zip', '--member', 'a' * 32), 'a source_id needs the key'),
    (('@export.zip', '--member', '3', '--frame', '4'), '--frame is 4, but the image has frames 1 to 3'),
    (('@export.zip', '--member', '4', '--frame', '2'), '--frame is 2, but the image has frames 1 to 1'),
    (('@export.zip', '--member', '5', '--frame', '1'), 'a row for the whole of it'),
    (('@export.zip', 'another'), "'another' follows no flag"),
  ],
)
def test_wrong_usage_is_one_line(
  arguments: tuple[str, ...], text: str, archive: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  (tmp_path / 'there.png').touch()
  assert main(['inspect', *(word.replace('@', f'{tmp_path}/') for word in arguments)]) == 2
  error = capsys.readouterr().err
  assert text in error
  assert error.count('\n') == 1


def test_an_empty_folder_is_nothing_to_do(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  (tmp_path / 'empty').mkdir()
  assert main(['inspect', str(tmp_path / 'empty')]) == 3


_MODULES = """
import sys
from pipelines.cli import main
main(sys.argv[1:])
loaded = {'apache_beam', 'tensorflow', 'keras', 'pyarrow'} & set(sys.modules)
print(sorted(loaded), file=sys.stderr)
"""


def test_neither_beam_nor_tensorflow_is_loaded(archive: str) -> None:
  command = [sys.executable, '-c', _MODULES, 'inspect', archive]
  done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
  assert done.stderr.splitlines()[-1] == '[]'
  assert done.stdout.endswith('6 ok, 2 rejected, 1 skipped\n')
