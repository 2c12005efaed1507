"""The files that pydicom's wheel brings for its own tests, from many devices and encoders, as dcmtk shows them."""

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from benchmarks import dcmtk
from tests.integration.pictures_compared import assert_alike, assert_same, ours

WINDOW = ('+Wi', '1')
GREATEST = ('+Wm',)
STRETCHED = [
  'CT_small.dcm',
  'ExplVR_BigEnd.dcm',
  'JPEG-lossy.dcm',
  'JPGExtended.dcm',
  'badVR.dcm',
  'rtdose.dcm',
  'rtdose_rle.dcm',
]
WINDOWED = [
  'MR_small.dcm',
  'MR_small_RLE.dcm',
  'MR_small_bigendian.dcm',
  'MR_small_expb.dcm',
  'MR_small_implicit.dcm',
  'MR_small_jpeg_ls_lossless.dcm',
  'MR_small_padded.dcm',
  'examples_overlay.dcm',
]
PLAIN = [
  'JPEGLSNearLossless_08.dcm',
  'JPEGLSNearLossless_16.dcm',
  'SC_jpeg_no_color_transform.dcm',
  'SC_jpeg_no_color_transform_2.dcm',
  'SC_rgb_dcmtk_+eb+cr.dcm',
  'SC_rgb_dcmtk_+eb+cy+n1.dcm',
  'SC_rgb_dcmtk_+eb+cy+n2.dcm',
  'SC_rgb_dcmtk_+eb+cy+np.dcm',
  'SC_rgb_dcmtk_+eb+cy+s2.dcm',
  'SC_rgb_dcmtk_+eb+cy+s4.dcm',
  'SC_rgb_jls_lossy_line.dcm',
  'SC_rgb_jls_lossy_sample.dcm',
  'SC_rgb_jpeg_app14_dcmd.dcm',
  'SC_rgb_jpeg_dcmd.dcm',
  'SC_rgb_jpeg_dcmtk.dcm',
  'SC_rgb_jpeg_gdcm.dcm',
  'SC_rgb_jpeg_lossy_gdcm.dcm',
  'SC_rgb_rle.dcm',
  'SC_rgb_rle_16bit.dcm',
  'SC_rgb_rle_32bit.dcm',
  'SC_rgb_small_odd.dcm',
  'SC_rgb_small_odd_big_endian.dcm',
  'SC_rgb_small_odd_jpeg.dcm',
  'SC_ybr_full_422_uncompressed.dcm',
  'examples_palette.dcm',
  'examples_rgb_color.dcm',
  'image_dfl.dcm',
]


def content(name: str) -> bytes:
  path = get_testdata_file(name, download=False)
  assert isinstance(path, str)
  with open(path, 'rb') as file:
    return file.read()


@pytest.mark.parametrize('name', STRETCHED)
def test_without_a_window(name: str) -> None:
  assert_alike(ours(content(name)), dcmtk.picture(content(name), *GREATEST))


@pytest.mark.parametrize('name', WINDOWED)
def test_with_a_window(name: str) -> None:
  assert_same(ours(content(name)), dcmtk.picture(content(name), *WINDOW))


@pytest.mark.parametrize('name', PLAIN)
def test_colour_and_8_bits(name: str) -> None:
  assert_same(ours(content(name)), dcmtk.picture(content(name)))


def test_words_of_32_bits_in_big_endian() -> None:
  """dcmtk swaps the octets of each 16 bits (VR OW); writers, and pydicom, those of each 32."""
  assert np.array_equal(ours(content('rtdose_expb.dcm'), 3), ours(content('rtdose.dcm'), 3))
