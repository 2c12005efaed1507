import pathlib

import pytest

from transforms.elements import HeaderFacts, Source
from transforms.labels import NO_LABEL, LabelError, LabelRow, LabelTable, folder_label, read_label_csv

FACTS = HeaderFacts(sop_instance_uid='1.2.3', study_instance_uid='1.2', accession_number='A7', patient_id='P1')
SOURCE = Source('a.zip', 'x/1.dcm')


def read(tmp_path: pathlib.Path, text: str | bytes) -> LabelTable:
  path = tmp_path / 'labels.csv'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return read_label_csv(str(path))


@pytest.mark.parametrize(
  ('member', 'label'),
  [
    ('export/NORMAL/1.png', 'NORMAL'),
    ('1.png', None),
    ('', None),
    ('inner.zip!/1.png', 'inner.zip'),
    ('inner.zip!/SICK/1.png', 'SICK'),
  ],
)
def test_the_innermost_folder_is_the_label(member: str, label: str | None) -> None:
  assert folder_label(Source('a', member)) == label


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('patient_id,label\nP1,sick\n', LabelRow('sick')),
    ('accession_number,label\nA7,sick\n', LabelRow('sick')),
    ('study_instance_uid,label\n1.2,sick\n', LabelRow('sick')),
    ('member,label\nx/1.dcm,sick\n', LabelRow('sick')),
    ('sop_instance_uid,label\n1.2.3,sick\n', LabelRow('sick')),
    ('label,patient,patient_id\nsick,Q,P1\n', LabelRow('sick', 'Q')),
    ('\ufeffpatient_id,label\r\nP1,sick\r\n', LabelRow('sick')),
    ('patient_id,label\n P1 , sick \n', LabelRow('sick')),
    ('patient_id,label\nP1,\n', LabelRow(None)),
    ('patient_id,label\nP1\n', LabelRow(None)),
    ('patient_id,label\nP2,sick\n', NO_LABEL),
    ('patient_id,label\nP1,sick\nP1,sick\n', LabelRow('sick')),
  ],
)
def test_an_image_finds_its_line(tmp_path: pathlib.Path, text: str, expected: LabelRow) -> None:
  assert read(tmp_path, text).find(SOURCE, FACTS) == expected


def test_the_most_specific_key_wins_whatever_the_order_of_the_columns(tmp_path: pathlib.Path) -> None:
  table = read(tmp_path, 'patient_id,member,label\nP1,,by patient\nP2,x/1.dcm,by member\n')
  assert table.find(SOURCE, FACTS).label == 'by member'
  assert table.find(Source('a.zip', 'x/2.dcm'), FACTS).label == 'by patient'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'names 0 columns'),
    ('patient_id,finding\nSecret,x\n', 'must name `label`'),
    ('label\nSecret\n', 'at least one of sop_instance_uid, member'),
    ('patient_id,label\nSecret,a\n\nSecret,b\n', 'line 4 of the label CSV contradicts .* same patient_id'),
    ('patient_id,label,patient\nSecret,a,Q\nSecret,a,Secret2\n', 'line 3 of the label CSV contradicts'),
    ('patient_id,label\n,Secret\n', 'line 2 of the label CSV fills none of the columns patient_id'),
    (b'patient_id,label\nSecret\xff,a\n', 'no CSV in UTF-8'),
    (b'patient_id,label\n' + b'S' * 200_000 + b'ecret,a\n', 'no CSV in UTF-8'),
  ],
)
def test_unusable_files_are_named_by_line_and_never_by_value(
  tmp_path: pathlib.Path, text: str | bytes, message: str
) -> None:
  with pytest.raises(LabelError, match=message) as refused:
    read(tmp_path, text)
  assert 'ecret' not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
  with pytest.raises(LabelError, match=r'No such file.*none\.csv'):
    read_label_csv(str(tmp_path / 'none.csv'))
