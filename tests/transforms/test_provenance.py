from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import UID

from tests.transforms.pictures import dicom_dataset, parsed
from transforms.dicom import header_facts
from transforms.elements import HeaderFacts
from transforms.provenance import with_provenance

PLAIN, BASELINE, NEAR, JPEG2000, SV1 = (
  '1.2.840.10008.1.2.1',
  *(f'1.2.840.10008.1.2.4.{number}' for number in (50, 81, 91, 70)),
)


def facts_of(syntax: str = PLAIN, **elements: Any) -> HeaderFacts:
  dataset = dicom_dataset(np.zeros((20, 30), np.uint16), **elements)
  dataset.file_meta.TransferSyntaxUID = UID(syntax)
  dicom = parsed(dataset)
  return with_provenance(header_facts(dicom), dicom)


@pytest.mark.parametrize(
  ('syntax', 'elements', 'lossy', 'ratio'),
  [
    (PLAIN, {}, None, None),
    (PLAIN, {'LossyImageCompression': '00'}, False, None),
    (PLAIN, {'LossyImageCompression': '00', 'LossyImageCompressionRatio': '9'}, False, None),
    (PLAIN, {'LossyImageCompression': '01'}, True, None),
    (PLAIN, {'LossyImageCompression': '01', 'LossyImageCompressionRatio': '12.345'}, True, 12.35),
    (PLAIN, {'LossyImageCompression': '01', 'LossyImageCompressionRatio': ['10', '25']}, True, 25.0),
    (PLAIN, {'LossyImageCompression': '01', 'LossyImageCompressionRatio': '0.5'}, True, None),
    (PLAIN, {'LossyImageCompression': '01', 'LossyImageCompressionRatio': '1e30'}, True, None),
    (PLAIN, {'LossyImageCompression': 'YES'}, None, None),
    (BASELINE, {'PixelData': bytes(100)}, True, 12.0),  # 20 x 30 x 2 bytes
    (BASELINE, {'PixelData': bytes(100), 'LossyImageCompressionRatio': '8'}, True, 8.0),
    (BASELINE, {'PixelData': bytes(100), 'LossyImageCompression': '00'}, True, 12.0),
    (BASELINE, {'PixelData': bytes(100), 'NumberOfFrames': 3}, True, 36.0),
    (BASELINE, {'PixelData': b''}, True, None),
    (NEAR, {'PixelData': bytes(100)}, True, 12.0),
    (JPEG2000, {'PixelData': bytes(100)}, True, 12.0),
    (JPEG2000, {'PixelData': bytes(100), 'LossyImageCompression': '00'}, False, None),
    (SV1, {'PixelData': bytes(100)}, None, None),
    (SV1, {'PixelData': bytes(100), 'LossyImageCompression': '01'}, True, None),
  ],
)
def test_lossy_compression(syntax: str, elements: dict[str, Any], lossy: bool | None, ratio: float | None) -> None:
  facts = facts_of(syntax, **elements)
  assert (facts.lossy, facts.lossy_ratio) == (lossy, ratio)


def test_a_ratio_that_is_no_number_is_none() -> None:
  dataset = dicom_dataset(np.zeros((20, 30), np.uint16), LossyImageCompression='01')
  tag = Tag('LossyImageCompressionRatio')
  dataset._dict[tag] = RawDataElement(tag, 'DS', 4, b'ten ', 0, False, True)
  dicom = parsed(dataset)
  facts = with_provenance(header_facts(dicom), dicom)
  assert (facts.lossy, facts.lossy_ratio) == (True, None)


@pytest.mark.parametrize(
  ('elements', 'expected'),
  [
    ({}, None),
    ({'BurnedInAnnotation': 'YES'}, True),
    ({'BurnedInAnnotation': 'yes '}, True),
    ({'BurnedInAnnotation': 'NO'}, False),
    ({'BurnedInAnnotation': 'Doe'}, None),
  ],
)
def test_burned_in_text_as_declared(elements: dict[str, str], expected: bool | None) -> None:
  assert facts_of(**elements).burned_in is expected
