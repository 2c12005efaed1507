"""An archive with CT and reports scores its chest radiographs only."""

import json
import pathlib
from collections import Counter
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
from pydicom.uid import UID

from pipelines.cli import main
from tests.end_to_end.conftest import Chain
from tests.transforms.archive_files import zip_bytes
from tests.transforms.pictures import dicom_dataset, dicom_file, gradient, pillow_jpeg
from transforms.elements import Source
from transforms.identifiers import Pseudonyms, read_key

RULES = """
rules:
  - exclude: derived
    derived: true
  - include: chest
    modality: [CR, DX]
    series_description: \\bchest\\b
default: exclude
"""
REGIONS = """
devices:
  - name: scanner
    model: Planted-Scanner
    mask_px: [[0, 0, 80, 20]]
"""


def dicom(number: int, **elements: Any) -> bytes:
  picture = np.roll(gradient(60, 80, 8), number, axis=1)
  dataset = dicom_dataset(picture, SOPInstanceUID=f'1.2.3.{number}', WindowCenter=128, WindowWidth=256, **elements)
  return dicom_file(dataset)


def document(sop_class: str, modality: str) -> bytes:
  dataset = dicom_dataset(gradient(8, 8), Modality=modality, SOPClassUID=UID(sop_class))
  for keyword in ('PixelData', 'Rows', 'Columns'):
    delattr(dataset, keyword)
  return dicom_file(dataset)


# member, content, outcome
MEMBERS = [
  ('cr.dcm', dicom(1, SeriesDescription='Planted-Name Chest PA'), 'scored'),
  ('dx.dcm', dicom(2, Modality='DX', SeriesDescription='CHEST', BurnedInAnnotation='YES'), 'scored'),
  ('derived.dcm', dicom(3, SeriesDescription='Chest', ImageType=['DERIVED', 'SECONDARY']), 'not-selected: derived'),
  ('hand.dcm', dicom(4, SeriesDescription='Hand'), 'not-selected: default'),
  ('ct.dcm', dicom(5, Modality='CT', SeriesDescription='Chest'), 'not-selected: default'),
  ('broken-ct.dcm', dicom(6, Modality='CT', SeriesDescription='Chest')[:-100], 'not-selected: default'),
  ('sr.dcm', document('1.2.840.10008.5.1.4.1.1.88.11', 'SR'), 'no-pixel-data: SR'),
  ('pdf.dcm', document('1.2.840.10008.5.1.4.1.1.104.1', 'DOC'), 'no-pixel-data: PDF'),
  ('photo.jpg', pillow_jpeg(gradient(60, 80, 8)), 'not-selected: default'),
]


def run(chain: Chain, tmp_path: pathlib.Path, members: list[tuple[str, bytes]], *flags: str) -> dict[str, Any]:
  """Scores a zip; the rows by member."""
  (tmp_path / 'mixed.zip').write_bytes(zip_bytes(members))
  given = [*('--input', str(tmp_path / 'mixed.zip')), *('--output', str(tmp_path / 'out'))]
  given += [*('--bundle', str(chain.root / 'bundle')), *('--pseudonym_key_file', chain.key)]
  assert main(['score', *given, *flags]) == 0
  rows = ds.dataset(tmp_path / 'out/predictions', format='parquet', partitioning=None).to_table().to_pylist()
  pseudonyms = Pseudonyms(read_key(chain.key))
  names = {pseudonyms.source(Source('mixed.zip', name)): name for name, _ in members}
  assert len(rows) == len(members)
  return {names[row['source_id']]: row for row in rows}


def test_only_chest_radiographs_are_scored(chain: Chain, tmp_path: pathlib.Path) -> None:
  (tmp_path / 'rules.yaml').write_text(RULES)
  flags = ('--select', str(tmp_path / 'rules.yaml'), '--max_reject_ratio', '0')
  rows = run(chain, tmp_path, [(name, data) for name, data, _ in MEMBERS], *flags)
  found = {
    name: row['status'] if row['status'] == 'scored' else f'{row["reason"]}: {row["detail"]}'
    for name, row in rows.items()
  }
  assert found == {name: outcome for name, _, outcome in MEMBERS}
  assert {row['status'] for row in rows.values()} == {'scored', 'skipped'}
  of_the_image = [flag for flag in rows['dx.dcm']['quality'] if not flag.startswith('outside-')]
  assert of_the_image == ['burned-in', 'tiny']
  [record] = (tmp_path / 'out/runs').glob('*.json')
  text = record.read_text()
  assert json.loads(text)['reasons'] == {'no-pixel-data': 2, 'not-selected': 5}
  left = b''.join(path.read_bytes() for path in (tmp_path / 'out').rglob('*') if path.is_file())
  assert b'Planted-Name' not in left
  assert 'Planted-Name' not in repr(rows)


def test_a_dry_run_reads_the_rules_and_changes_nothing(
  chain: Chain, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  (tmp_path / 'mixed.zip').write_bytes(zip_bytes([('a', b'')]))
  given = ['score', '--input', str(tmp_path / 'mixed.zip'), '--output', str(tmp_path / 'out'), '--dry_run']
  given += ['--bundle', str(chain.root / 'bundle'), '--select', str(tmp_path / 'rules.yaml')]
  (tmp_path / 'rules.yaml').write_text(RULES)
  assert main(given) == 0
  (tmp_path / 'rules.yaml').write_text(RULES.replace('modality', 'modalty'))
  assert main(given) == 2
  assert "rules.yaml, line 6: 'modalty' is no key of a rule" in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('flags', 'outcomes'),
  [
    ((), {'named': 'scored', 'declared': 'scored', 'plain': 'scored'}),
    (('reject',), {'named': 'scored', 'declared': 'burned-in', 'plain': 'scored'}),
    (('mask',), {'named': 'scored', 'declared': 'burned-in', 'plain': 'scored'}),
  ],
)
def test_burned_in_text_is_flagged_refused_or_covered(
  chain: Chain, tmp_path: pathlib.Path, flags: tuple[str, ...], outcomes: dict[str, str]
) -> None:
  (tmp_path / 'regions.yaml').write_text(REGIONS)
  members = [
    ('named', dicom(1, ManufacturerModelName='Planted-Scanner 5')),
    ('declared', dicom(2, BurnedInAnnotation='YES')),
    ('plain', dicom(1, SOPClassUID='1.2.840.10008.5.1.4.1.1.1')),  # the picture of `named`
  ]
  given = [word for flag in flags for word in ('--burned_in', flag)]
  given += ['--burned_in_regions', str(tmp_path / 'regions.yaml')] if 'mask' in flags else []
  rows = run(chain, tmp_path, members, *given, '--max_reject_ratio', '0.5')
  assert {name: row['reason'] or row['status'] for name, row in rows.items()} == outcomes
  flagged = Counter(flag for row in rows.values() for flag in row['quality'] if flag.startswith('burned-in'))
  assert flagged == ({'burned-in-masked': 1} if 'mask' in flags else {} if flags else {'burned-in': 1})
  same = rows['named']['pixel_sha256'] == rows['plain']['pixel_sha256']
  assert same is ('mask' not in flags)
