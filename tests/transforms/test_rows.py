import hashlib

import numpy as np
import pytest

from transforms.elements import Frame, HeaderFacts, Source
from transforms.errors import InputError
from transforms.identifiers import Pseudonyms
from transforms.rows import crosswalk_row, image_row, pixel_sha256

PSEUDONYMS = Pseudonyms(bytes(range(32)))
SOURCE = Source('Doe.zip', 'Doe^Jane/1.dcm', 1)
FACTS = HeaderFacts(
  sop_instance_uid='1.2.3.4',
  series_instance_uid='1.2.3',
  study_instance_uid='1.2',
  patient_id='Doe-17',
  accession_number='Doe-A7',
  study_date='20240229',
  scanner=('doe devices', 'dr', 'sn4711', ''),
  modality='DX',
  age_years=90,
  rows=480,
)
PIXELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_a_decoded_frame_is_a_row_with_ids_facts_and_digests() -> None:
  row = image_row(SOURCE, 'c' * 64, Frame(2, FACTS, PIXELS, quality=('dark',)), PSEUDONYMS)
  assert (row.status, row.reason, row.detail, row.frame, row.quality) == ('ok', None, None, 2, ('dark',))
  assert (row.modality, row.age_years, row.rows, row.columns) == ('DX', 90, 480, None)
  assert row.source_id == PSEUDONYMS.source(SOURCE)
  assert row.image_id == PSEUDONYMS.image(FACTS, 2, None)
  assert row.study_id == PSEUDONYMS.optional('study', '1.2')
  assert row.series_id == PSEUDONYMS.optional('series', '1.2.3')
  assert row.scanner_id == PSEUDONYMS.scanner(FACTS)
  assert row.patient_id == PSEUDONYMS.optional('patient', 'Doe-17')
  assert row.content_sha256 == 'c' * 64
  assert row.pixel_sha256 == hashlib.sha256(bytes(range(256))).hexdigest()


@pytest.mark.parametrize('field', ['1.2.3.4', '1.2.3', 'Doe', '20240229', 'devices', 'sn4711', 'zip', 'dcm'])
def test_nothing_that_identifies_is_in_a_row(field: str) -> None:
  row = image_row(SOURCE, None, Frame(1, FACTS, PIXELS), PSEUDONYMS)
  assert field not in repr(row)
  assert field in repr((SOURCE, FACTS))


@pytest.mark.parametrize(
  ('error', 'expected'),
  [
    (InputError('blank'), ('rejected', 'blank', None)),
    (InputError('no-pixel-data', 'a report'), ('skipped', 'no-pixel-data', 'a report')),
  ],
)
def test_a_failure_is_a_row_with_its_reason(error: InputError, expected: tuple[str, str, str | None]) -> None:
  row = image_row(SOURCE, None, Frame(None, FACTS, error=error), PSEUDONYMS)
  assert (row.status, row.reason, row.detail) == expected
  assert (row.image_id, row.pixel_sha256, row.frame) == (None, None, None)
  assert row.patient_id is not None


def test_the_crosswalk_leads_back() -> None:
  frame = Frame(2, FACTS, PIXELS)
  row = image_row(SOURCE, None, frame, PSEUDONYMS)
  line = crosswalk_row(SOURCE, frame, row)
  assert (line.image_id, line.source_id, line.frame) == (row.image_id, row.source_id, 2)
  assert (line.archive, line.member) == ('Doe.zip', 'Doe^Jane/1.dcm')
  assert (line.sop_instance_uid, line.series_instance_uid, line.study_instance_uid) == ('1.2.3.4', '1.2.3', '1.2')
  assert line.patient_id == 'Doe-17'


def test_pixels_have_the_digest_of_their_rows_one_after_the_other() -> None:
  assert pixel_sha256(PIXELS) != pixel_sha256(np.ascontiguousarray(PIXELS.T))
