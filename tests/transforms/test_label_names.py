import pytest

from transforms.elements import HeaderFacts
from transforms.label_names import names_patient


@pytest.mark.parametrize(
  'label',
  [
    'DOE^JOHN',
    'doe_john',
    'Doe, John',
    'JOHN DOE',
    'DOEJOHN',
    'JohnDoe',
    'DOE^JOHN^^DR',
    'DOE_JOHN_12345',
    '0042 - Doe John.zip',
    'Dœ john'.replace('œ', 'oe'),
  ],
)
def test_a_name_is_one_however_it_is_spelled(label: str) -> None:
  assert names_patient(label, HeaderFacts(patient_name='DOE^JOHN^PETER^^MD'), None)


@pytest.mark.parametrize(
  ('name', 'label'),
  [
    ('Müller^Jürgen', 'MUELLER_JUERGEN'),
    ('MUELLER^JUERGEN', 'Müller Jürgen'),
    ('Müller^Jürgen', 'MULLER JURGEN'),
    ('Yamada^Tarou=山田^太郎=やまだ^たろう', '山田太郎'),
    ('Yamada^Tarou=山田^太郎', 'Yamada Tarou'),
    ('王^明', '王明'),
    ('MUSTERMANN', 'Mustermann'),
    ('MUSTERMANN ERIKA', 'erika mustermann 1961'),
  ],
)
def test_names_of_other_scripts_and_spellings(name: str, label: str) -> None:
  assert names_patient(label, HeaderFacts(patient_name=name), None)


@pytest.mark.parametrize(
  ('field', 'value', 'label'),
  [
    ('patient_id', 'PAT-000123', 'pat000123'),
    ('patient_id', '123456', '123456 NORMAL'),
    ('accession_number', 'ACC 77123', 'ACC_77123'),
    ('study_instance_uid', '1.2.840.7', '1.2.840.7'),
    ('series_instance_uid', '1.2.840.8', '1.2.840.8'),
    ('sop_instance_uid', '1.2.840.9', '1.2.840.9'),
    ('study_date', '20240229', '2024-02-29'),
  ],
)
def test_ids_of_patient_study_and_series_name_too(field: str, value: str, label: str) -> None:
  assert names_patient(label, HeaderFacts(**{field: value}), None)  # type: ignore[arg-type]


def test_a_patient_that_is_known_otherwise_counts() -> None:
  assert names_patient('person12', HeaderFacts(), 'person12')
  assert not names_patient('PNEUMONIA', HeaderFacts(), 'a.zip!/PNEUMONIA/person12.png#0')


@pytest.mark.parametrize(
  ('facts', 'label'),
  [
    (HeaderFacts(), 'NORMAL'),
    (HeaderFacts(patient_name='DOE^JOHN', patient_id='12345'), 'NORMAL'),
    (HeaderFacts(patient_name='YOUNG^NEIL'), 'young adults'),  # half of a name may be a word
    (HeaderFacts(patient_name='YOUNG'), 'young adults'),
    (HeaderFacts(patient_id='1', accession_number='12', patient_name='A'), '1'),
    (HeaderFacts(patient_id='A1'), 'a1'),
    (HeaderFacts(patient_name='^'), ''),
    (HeaderFacts(patient_name='DOE^JOHN'), 'DOE JANE'),
  ],
)
def test_a_class_is_no_name(facts: HeaderFacts, label: str) -> None:
  assert not names_patient(label, facts, None)


def test_the_name_is_not_shown_with_the_other_facts() -> None:
  assert 'DOE' not in repr(HeaderFacts(patient_name='DOE^JOHN'))
