import dataclasses
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from tests.transforms.pictures import dicom_dataset, parsed
from transforms.conditions import FACTS, UNKNOWN_OF_DICOM, Candidate, dicom_candidate, hold, read_conditions
from transforms.dicom import header_facts
from transforms.elements import HeaderFacts
from transforms.yaml_entries import RulesError, read_yaml

FACTS_OF_ONE = HeaderFacts(
  sop_class_uid='1.2.840.10008.5.1.4.1.1.1',
  study_date='20240229',
  modality='CR',
  view_position='PA',
  body_part='CHEST',
  manufacturer='agfa',
  age_years=40,
  rows=2000,
  columns=1500,
  number_of_frames=1,
  transfer_syntax='1.2.840.10008.1.2.4.70',
  photometric='MONOCHROME1',
  lossy=False,
)
ONE = Candidate(
  'dicom',
  FACTS_OF_ONE,
  image_type=('DERIVED', 'PRIMARY', 'POST_PROCESSED'),
  model='DX-D 600',
  protocol_name='Thorax PA',
  series_description='W033 Chest p.a.',
  study_description='Chest 2 views',
)
EMPTY = Candidate('dicom', HeaderFacts())


def holds(text: str, candidate: Candidate) -> bool | None:
  return hold(read_conditions(read_yaml(text).mapping('keys')), candidate)


@pytest.mark.parametrize(
  ('text', 'expected', 'where_absent'),
  [
    ('format: dicom', True, True),
    ('format: [jpeg, png]', False, False),
    ('modality: CR', True, False),
    ('modality: [ct, cr]', True, False),
    ('modality: [CT, MR]', False, False),
    ('modality: other', False, False),
    ('modality: null', False, True),
    ('modality: [CT, null]', False, True),
    ('view_position: pa', True, False),
    ('view_position: LATERAL', False, False),
    ('body_part: chest', True, False),
    ('manufacturer: AGFA', True, False),
    ('photometric: MONOCHROME1', True, False),
    ('image_type: primary', True, False),
    ('image_type: [LOCALIZER, POST_PROCESSED]', True, False),
    ('image_type: ORIGINAL', False, False),
    ('derived: true', True, False),
    ('derived: false', False, False),
    ('derived: null', False, True),
    ('lossy: false', True, False),
    ('sop_class_uid: ComputedRadiographyImageStorage', True, False),
    ('sop_class_uid: 1.2.840.10008.5.1.4.1.1.2', False, False),
    ('sop_class_uid: [CTImageStorage, 1.2.840.10008.5.1.4.1.1.1]', True, False),
    ('transfer_syntax: JPEGLosslessSV1', True, False),
    ('study_date: {from: 2024-02-29}', True, False),
    ('study_date: {from: 2024-03-01}', False, False),
    ('study_date: {to: 2024-02-28}', False, False),
    ('study_date: {from: 2024-02-29, to: 2024-02-29}', True, False),
    ('study_date: 2024-02-29', True, False),
    ('rows: {from: 2000}', True, False),
    ('rows: {from: 2001}', False, False),
    ('columns: {to: 1500}', True, False),
    ('columns: {to: 1499}', False, False),
    ('rows: 2000', True, False),
    ('rows: 1999', False, False),
    ('number_of_frames: {to: 1}', True, False),
    ('age_years: {from: 18, to: 64}', True, False),
    ('model: ^dx-d', True, False),
    ('model: ^600', False, False),
    ('protocol_name: thorax', True, False),
    ('series_description: [knee, p\\.a\\.]', True, False),
    ('series_description: [knee, null]', False, True),
    ('study_description: "2 views$"', True, False),
    ('{modality: CR, body_part: CHEST}', True, False),
    ('{modality: CR, body_part: HAND}', False, False),
  ],
)
def test_conditions(text: str, expected: bool, where_absent: bool) -> None:
  assert holds(text, ONE) is expected
  assert holds(text, EMPTY) is where_absent


def test_every_fact_can_be_absent_or_is_the_format() -> None:
  assert [name for name, fact in FACTS.items() if fact.values(EMPTY)] == ['format']
  assert [name for name, fact in FACTS.items() if not fact.values(ONE)] == []


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('format: dicom', True),
    ('format: png', False),
    ('modality: CR', None),
    ('modality: null', None),
    ('{format: dicom, rows: {from: 1}}', None),
    ('{format: png, rows: {from: 1}}', False),
  ],
)
def test_of_a_header_that_cannot_be_read_only_the_format_is_known(text: str, expected: bool | None) -> None:
  assert holds(text, dataclasses.replace(EMPTY, unknown=UNKNOWN_OF_DICOM)) is expected


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('modality: XR', 'line 1: expected a modality that radbeam knows (whatever else a header holds is `other`)'),
    ('a: 1\nmodality: 7', 'line 2: expected a modality'),
    ('modality: []', 'line 1: expected a value or a list of them, found a list of 0'),
    ('modality: {a: 1}', 'line 1: expected a modality that radbeam knows'),
    ('body_part: CHEST 2 VIEWS', "found 'CHEST 2 VIEWS'"),
    ('format: tiff', "line 1: expected dicom, jpeg or png, found 'tiff'"),
    ('image_type: 1', 'line 1: expected a text, found 1'),
    ('derived: "yes"', "line 1: expected true, false or null, found 'yes'"),
    ('sop_class_uid: CTImage', "expected the UID or keyword of a SOP Class, found 'CTImage'"),
    ('transfer_syntax: CTImageStorage', 'expected the UID or keyword of a Transfer Syntax'),
    ('study_date: 2024', 'line 1: expected a date such as 2024-01-31, found 2024'),
    ('study_date: {from: 2024-01-02, to: 2024-01-01}', 'study_date holds for nothing'),
    ('study_date: {since: 2024-01-02}', "'since' is no key of study_date"),
    ('study_date: {}', 'study_date holds for nothing'),
    ('rows: -1', 'line 1: expected a whole number, found -1'),
    ('rows: 1.5', 'expected a whole number, found 1.5'),
    ('rows: true', 'expected a whole number, found True'),
    ('rows: {from: 3, to: 2}', 'rows holds for nothing'),
    ('series_description:\n  - a\n  - "("', "line 3: '(' is no regular expression of Python"),
    ('series_description: 7', 'expected a regular expression, found 7; quote it'),
  ],
)
def test_what_is_no_condition_is_refused_with_its_line(text: str, message: str) -> None:
  entries = read_yaml(text).mapping('keys')
  entries.pop('a', None)
  with pytest.raises(RulesError) as raised:
    read_conditions(entries)
  assert message in str(raised.value)


def candidate(**elements: Any) -> Candidate:
  dataset = dicom_dataset(np.zeros((4, 4), np.uint8), **elements)
  dicom = parsed(dataset)
  return dicom_candidate(dicom, header_facts(dicom))


def test_a_candidate_is_made_of_a_header() -> None:
  made = candidate(
    ImageType=['Derived', 'SECONDARY'], ManufacturerModelName='EPIQ 7G ', SeriesDescription='Chest', ProtocolName=''
  )
  assert (made.format, made.image_type, made.model) == ('dicom', ('DERIVED', 'SECONDARY'), 'EPIQ 7G')
  assert (made.series_description, made.protocol_name) == ('Chest', None)
  assert made.facts.modality == 'CR'


@pytest.mark.parametrize('value', ['LOCALIZER', ['LOCALIZER'], MultiValue(str, ['LOCALIZER', '', 'X'])])
def test_image_type_of_one_or_many_values(value: Any) -> None:
  assert candidate(ImageType=value).image_type[0] == 'LOCALIZER'


def test_an_image_type_that_cannot_be_read_is_absent() -> None:
  dataset = dicom_dataset(np.zeros((4, 4), np.uint8))
  dataset.add_new('ImageType', 'SQ', [Dataset()])
  assert dicom_candidate(parsed(dataset), HeaderFacts()).image_type == ()


def test_a_pattern_sees_the_beginning_of_an_endless_text_only() -> None:
  endless = dataclasses.replace(ONE, series_description='a' * 100_000 + 'chest')
  assert holds('series_description: chest', endless) is False
  assert holds('series_description: ^a+$', endless) is True
