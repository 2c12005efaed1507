import pytest

from transforms import vocabularies
from transforms.vocabularies import OTHER


@pytest.mark.parametrize(
  ('text', 'word'),
  [
    ('GE MEDICAL SYSTEMS', 'ge'),
    ('GE Healthcare', 'ge'),
    ('"GE Healthcare"', 'ge'),
    ('General Electric', 'ge'),
    ('GEMS', 'ge'),
    ('SIEMENS', 'siemens'),
    ('Siemens Healthineers', 'siemens'),
    ('Philips Medical Systems', 'philips'),
    ('PHILIPS_MEDICAL', 'philips'),
    ('Agfa-Gevaert', 'agfa'),
    ('FUJI PHOTO FILM Co., ltd.', 'fujifilm'),
    ('FUJIFILM Corporation', 'fujifilm'),
    ('Canon Inc.', 'canon'),
    ('Carestream Health', 'carestream'),
    ('KODAK', 'kodak'),
    ('KONICA MINOLTA', 'konica-minolta'),
    ('SAMSUNG ELECTRONICS', 'samsung'),
    ('Shimadzu Corp.', 'shimadzu'),
    ('TOSHIBA_MEC', 'toshiba'),
    ('LORAD, A Hologic Company', 'hologic'),
    ('DR Tech', 'drtech'),
    ('DRTECH', 'drtech'),
    ('George Gerber', OTHER),  # `ge` begins a name
    ('Doe^Jane', OTHER),
    (None, None),
  ],
)
def test_manufacturer(text: str | None, word: str | None) -> None:
  assert vocabularies.manufacturer(text) == word


@pytest.mark.parametrize(
  ('function', 'text', 'term'),
  [
    ('modality', 'CR', 'CR'),
    ('modality', 'dx', 'DX'),
    ('modality', 'Doe', OTHER),
    ('modality', None, None),
    ('view_position', 'PA', 'PA'),
    ('view_position', 'lateral', 'LATERAL'),
    ('view_position', 'LAT', 'LATERAL'),
    ('view_position', 'Doe^Jane', OTHER),
    ('body_part', 'CHEST', 'CHEST'),
    ('body_part', 'c-spine', 'CSPINE'),
    ('body_part', 'Cervical Spine', 'CSPINE'),
    ('body_part', 'CHEST_TO_ABDOMEN', OTHER),
    ('photometric', 'MONOCHROME1', 'MONOCHROME1'),
    ('photometric', 'palette color', 'PALETTE COLOR'),
    ('photometric', 'Doe', OTHER),
    ('sex', 'f', 'F'),
    ('sex', 'female', None),
    ('sex', None, None),
  ],
)
def test_terms_are_closed(function: str, text: str | None, term: str | None) -> None:
  assert getattr(vocabularies, function)(text) == term


@pytest.mark.parametrize(
  ('age', 'birth', 'study', 'years'),
  [
    ('034Y', None, None, 34),
    ('089Y', None, None, 89),
    ('090Y', None, None, 90),
    ('113Y', None, None, 90),
    ('030M', None, None, 2),
    ('104W', None, None, 1),
    ('105W', None, None, 2),
    ('400D', None, None, 1),
    ('034Y', '19000101', '20200101', 34),  # what was recorded at the study wins
    (None, '20000302', '20200301', 19),
    (None, '20000301', '20200301', 20),
    ('', '19000101', '20200101', 90),
    ('34', '20000301', '20200301', 20),
    (None, '20200302', '20200301', None),  # born after the study
    (None, '20001301', '20200301', None),
    (None, '20000301', None, None),
    (None, None, None, None),
  ],
)
def test_age(age: str | None, birth: str | None, study: str | None, years: int | None) -> None:
  assert vocabularies.age_years(age, birth, study) == years


@pytest.mark.parametrize('text', ['2020-03-01', '20200230', '2020030', '２０２００３０１', '', None])
def test_what_is_no_date(text: str | None) -> None:
  assert vocabularies.parse_date(text) is None
