"""A model of chest radiographs scores what else the archive holds, and says of it that it is of another kind."""

import json
import pathlib
import shutil
from typing import Any, Final

import numpy as np
import pyarrow.dataset as ds
import pytest

from pipelines.cli import main
from pipelines.synthetic_dicom import Encoding, Header, encode_dicom
from pipelines.synthetic_pictures import draw_chest
from tests.end_to_end.conftest import Chain
from tests.transforms.archive_files import zip_bytes
from tests.transforms.pictures import colours, dicom_dataset, dicom_file, gradient, pillow_jpeg
from transforms.elements import Source
from transforms.identifiers import Pseudonyms, read_key

_PLANTED: Final = 'ZZPLANTED'
_SHAPE: Final = (128, 105)  # as the export draws them


def chest(number: int, shape: tuple[int, int] = _SHAPE, **facts: Any) -> bytes:
  """A radiograph as those of the synthetic export."""
  uid = f'2.25.{number}'
  header = Header(f'P{number}', f'{_PLANTED}^P', 'A', uid, uid, uid, **facts)
  return encode_dicom([draw_chest(np.random.default_rng(number), False, *shape)], header, Encoding())


def other(number: int, **elements: Any) -> bytes:
  """An object of another modality, 12 bits deep."""
  named = {'PatientID': _PLANTED, 'SeriesDescription': _PLANTED, 'SOPInstanceUID': f'2.25.{number}'}
  facts = {'PatientSex': 'F', 'PatientAge': '050Y', 'BodyPartExamined': 'CHEST', 'ViewPosition': 'PA'}
  picture = np.roll(gradient(*_SHAPE), number, axis=1)
  return dicom_file(dicom_dataset(picture, **named | facts | elements))


# member, content, why it is outside
MEMBERS: Final = [
  ('pa.dcm', chest(1), ()),
  ('ap.dcm', chest(2, view_position='AP', modality='CR', sex='M', age_years=80), ()),
  ('child.dcm', chest(3, age_years=2), ('age',)),
  ('huge.dcm', chest(4, (640, 525)), ('size',)),
  ('flat.dcm', chest(5, (90, 170)), ('size',)),
  ('ct.dcm', other(6, Modality='CT'), ('modality',)),
  ('us.dcm', other(7, Modality='US', BodyPartExamined='LIVER', ViewPosition=None), ('body-part', 'modality', 'view')),
  ('lateral.dcm', other(8, Modality='DX', ViewPosition='LATERAL'), ('view',)),
  ('free-text.dcm', other(9, Modality=_PLANTED, BodyPartExamined=_PLANTED), ('body-part', 'modality')),
  ('photo.jpg', pillow_jpeg(colours(*_SHAPE)), ('colour',)),
  ('scan.jpg', pillow_jpeg(gradient(*_SHAPE, 8)), ()),
]
NAMES: Final = [name for name, _, _ in MEMBERS]


def flags_of(reasons: tuple[str, ...]) -> list[str]:
  return sorted(['outside-intended-use', *(f'outside-{reason}' for reason in reasons)]) if reasons else []


def score(chain: Chain, root: pathlib.Path, bundle: pathlib.Path) -> tuple[dict[str, list[str]], dict[str, Any]]:
  """The flags about the intended use by member, and the record of the run."""
  (root / 'mixed.zip').write_bytes(zip_bytes([(name, data) for name, data, _ in MEMBERS]))
  given = ['score', '--input', str(root / 'mixed.zip'), '--output', str(root / 'out'), '--bundle', str(bundle)]
  assert main([*given, '--pseudonym_key_file', chain.key]) == 0
  rows = ds.dataset(root / 'out/predictions', format='parquet', partitioning=None).to_table().to_pylist()
  assert {row['status'] for row in rows} == {'scored'}
  pseudonyms = Pseudonyms(read_key(chain.key))
  names = {pseudonyms.source(Source('mixed.zip', name)): name for name in NAMES}
  flags = {names[row['source_id']]: [flag for flag in row['quality'] if flag.startswith('outside-')] for row in rows}
  [record] = (root / 'out/runs').glob('*.json')
  return flags, json.loads(record.read_text())


def test_what_is_of_another_kind_is_scored_and_flagged(chain: Chain, tmp_path: pathlib.Path) -> None:
  flags, record = score(chain, tmp_path, chain.root / 'bundle')
  expected = {name: flags_of(reasons) for name, _, reasons in MEMBERS}
  assert flags == expected
  counted = {flag: rows for flag, rows in record['quality'].items() if flag.startswith('outside-')}
  every = [flag for of_member in expected.values() for flag in of_member]
  assert counted == {flag: every.count(flag) for flag in set(every)}


def test_the_export_that_the_model_was_trained_on_is_of_its_kind(chain: Chain) -> None:
  rows = [row for row in chain.rows('scores/predictions') if row['status'] == 'scored']
  assert len({row['transfer_syntax'] for row in rows}) >= 8
  assert [row['quality'] for row in rows if any(flag.startswith('outside-') for flag in row['quality'])] == []


def test_a_bundle_from_before_says_what_it_knows(chain: Chain, tmp_path: pathlib.Path) -> None:
  old = pathlib.Path(shutil.copytree(chain.root / 'bundle', tmp_path / 'old'))
  facts = json.loads((old / 'bundle.json').read_text())
  facts['intended_use'] = {'modality': {'CR': 30, 'DX': 12, 'unknown': 9}, 'view_position': {'PA': 20, 'unknown': 31}}
  (old / 'bundle.json').write_text(json.dumps(facts))
  flags, _ = score(chain, tmp_path, old)
  outside = {'ct.dcm', 'us.dcm', 'free-text.dcm'}
  assert flags == {name: flags_of(('modality',) if name in outside else ()) for name in NAMES}


@pytest.mark.parametrize('name', ['bundle.json', 'model_card.md'])
def test_what_is_kept_of_the_training_images_are_terms_and_figures(chain: Chain, name: str) -> None:
  text = (chain.root / 'bundle' / name).read_text()
  assert 'outside is below' in text or '"ranges"' in text
  assert _PLANTED not in text
