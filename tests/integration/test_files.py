"""Files that are put together unusually, as dcmtk writes them."""

import pytest

from benchmarks import dcmtk
from tests.integration import radiographs
from tests.integration.pictures_compared import assert_same, ours
from tests.transforms.pictures import dicom_file, lut

TABLE = lut([entry**2 >> 12 for entry in range(4096)], 0, 12)


@pytest.mark.parametrize(
  'flags',
  [
    ('-F',),  # the data set alone, without meta information
    ('-F', '+ti'),
    ('-F', '+tb'),
    ('+g',),  # group lengths
    ('-g',),
    ('-e',),  # sequences of undefined length
    ('+e',),
    ('+p', '512', '128'),  # padding behind the data set and in items
    ('-u',),  # VR UN for what is newer
    ('-e', '+ti'),
    ('+g', '+tb'),
  ],
)
@pytest.mark.parametrize('photometric', ['MONOCHROME1', 'MONOCHROME2'])
def test_ways_to_write_a_file(photometric: str, flags: tuple[str, ...]) -> None:
  dataset = radiographs.grey_object(12, elements={'PhotometricInterpretation': photometric, 'VOILUTSequence': [TABLE]})
  plain = dicom_file(dataset)
  data = dcmtk.transcode(plain, 'dcmconv', *flags)
  assert_same(ours(data), dcmtk.picture(plain, '+Wl', '1'))
