"""Every transfer syntax that can be written here, with every depth, sign and colour that it takes."""

import subprocess

import jpeg_ls
import numpy as np
import pytest
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless, JPEGLSLossless

from benchmarks import dcmtk
from tests.integration import radiographs
from tests.integration.pictures_compared import assert_same, ours
from tests.transforms.pictures import dicom_dataset, dicom_file

UNCOMPRESSED = {'implicit': '+ti', 'explicit': '+te', 'big-endian': '+tb', 'deflated': '+td'}
ENCODERS: dict[str, tuple[str, ...]] = {
  **{name: ('dcmconv', flag) for name, flag in UNCOMPRESSED.items()},
  'rle': ('dcmcrle',),
  'lossless-sv1': ('dcmcjpeg', '+e1'),
  **{f'lossless-{value}': ('dcmcjpeg', '+el', '+sv', str(value)) for value in range(1, 8)},
  'baseline': ('dcmcjpeg', '+eb'),
  'extended-8': ('dcmcjpeg', '+ee', '+be'),
  'progressive-8': ('dcmcjpeg', '+ep', '+be'),
  'spectral-8': ('dcmcjpeg', '+es', '+be'),
  'jpeg-ls': ('dcmcjpls', '+el'),
}
OF_12_BITS = {'extended-12': ('dcmcjpeg', '+ee', '+bt'), 'progressive-12': ('dcmcjpeg', '+ep', '+bt')}
COOKED = ('dcmcjpls', '+el', '+pc')  # aborts with signed values of an odd depth
NEAR = ('dcmcjpls', '+en', '+md', '2')
DEPTHS = [(8, False), (8, True), (10, False), (12, False), (12, True), (14, False), (15, True), (16, False), (16, True)]


@pytest.mark.parametrize(('bits', 'signed'), DEPTHS)
@pytest.mark.parametrize('encoder', ENCODERS)
def test_grey(encoder: str, bits: int, signed: bool) -> None:
  data = dcmtk.transcode(dicom_file(radiographs.grey_object(bits, signed=signed)), *ENCODERS[encoder])
  assert_same(ours(data), dcmtk.picture(data, '+Wi', '1'))


@pytest.mark.parametrize('bits', [10, 12])
@pytest.mark.parametrize('encoder', OF_12_BITS)
def test_grey_of_twelve_bits(encoder: str, bits: int) -> None:
  data = dcmtk.transcode(dicom_file(radiographs.grey_object(bits)), *OF_12_BITS[encoder])
  assert_same(ours(data), dcmtk.picture(data, '+Wi', '1'))


@pytest.mark.parametrize('bits', [8, 10, 12, 16])
@pytest.mark.parametrize('encoder', [NEAR, COOKED])
def test_grey_in_other_ways_of_jpeg_ls(encoder: tuple[str, ...], bits: int) -> None:
  data = dcmtk.transcode(dicom_file(radiographs.grey_object(bits)), *encoder)
  assert_same(ours(data), dcmtk.picture(data, '+Wi', '1'))


@pytest.mark.parametrize('signed', [False, True])
@pytest.mark.parametrize('bits', [20, 32])
@pytest.mark.parametrize('encoder', ['implicit', 'explicit', 'deflated', 'rle'])
def test_grey_of_many_bits(encoder: str, bits: int, signed: bool) -> None:
  data = dcmtk.transcode(dicom_file(radiographs.grey_object(bits, signed=signed)), *ENCODERS[encoder])
  assert_same(ours(data), dcmtk.picture(data, '+Wi', '1'))


def _j2k(dataset: Dataset, uid: UID, values: np.ndarray) -> bytes:
  colour = values.ndim == 3
  options = {} if uid == JPEG2000Lossless else {'compression_ratios': [8.0]}
  codestream = encode_array(
    values, bits_stored=dataset.BitsStored, photometric_interpretation=1 if colour else 2, use_mct=colour, **options
  )
  dataset.file_meta.TransferSyntaxUID = uid
  dataset.PixelData = encapsulate([bytes(codestream)])
  dataset['PixelData'].is_undefined_length = True
  dataset['PixelData'].VR = 'OB'
  if colour:
    dataset.PhotometricInterpretation = 'YBR_RCT' if uid == JPEG2000Lossless else 'YBR_ICT'
  return dicom_file(dataset)


@pytest.mark.parametrize(('bits', 'signed'), DEPTHS)
@pytest.mark.parametrize('uid', [JPEG2000Lossless, JPEG2000])
def test_grey_jpeg_2000(uid: UID, bits: int, signed: bool) -> None:
  """dcmtk has no JPEG 2000: its picture is of the uncompressed values."""
  dataset = radiographs.grey_object(bits, signed=signed)
  expected = dcmtk.picture(dicom_file(dataset), '+Wi', '1')
  assert_same(ours(_j2k(dataset, uid, radiographs.values(bits, signed=signed))), expected)


@pytest.mark.parametrize('bits', [8, 12, 16])
@pytest.mark.parametrize('uid', [JPEG2000Lossless, JPEG2000])
def test_colour_jpeg_2000(uid: UID, bits: int) -> None:
  values = radiographs.colours(bits)
  dataset = dicom_dataset(values, BitsStored=bits)
  expected = dcmtk.picture(dicom_file(dataset))
  assert_same(ours(_j2k(dataset, uid, values)), expected)


COLOUR = {
  **ENCODERS,
  'baseline-4:4:4': ('dcmcjpeg', '+eb', '+s4'),
  'baseline-4:2:2-full': ('dcmcjpeg', '+eb', '+n2'),
  'baseline-4:1:1-full': ('dcmcjpeg', '+eb', '+n1'),
  'baseline-4:1:1': ('dcmcjpeg', '+eb', '+np'),
  'baseline-rgb': ('dcmcjpeg', '+eb', '+cr'),
  'jpeg-ls-by-sample': ('dcmcjpls', '+el', '+is'),
  'jpeg-ls-by-plane': ('dcmcjpls', '+el', '+in'),
  'jpeg-ls-near': NEAR,
}


@pytest.mark.parametrize('planar', [0, 1])
@pytest.mark.parametrize('encoder', COLOUR)
def test_colour_of_8_bits(encoder: str, planar: int) -> None:
  values = radiographs.colours()
  dataset = dicom_dataset(values, PlanarConfiguration=planar)
  if planar:
    dataset.PixelData = values.transpose(2, 0, 1).tobytes()
  data = dcmtk.transcode(dicom_file(dataset), *COLOUR[encoder])
  assert_same(ours(data), dcmtk.picture(data))


WIDE = [*UNCOMPRESSED, 'rle', 'lossless-sv1', 'lossless-6', 'jpeg-ls', 'jpeg-ls-by-sample']


@pytest.mark.parametrize('bits', [12, 16])
@pytest.mark.parametrize('encoder', WIDE)
def test_colour_of_more_bits(encoder: str, bits: int) -> None:
  dataset = dicom_dataset(radiographs.colours(bits), BitsStored=bits)
  data = dcmtk.transcode(dicom_file(dataset), *COLOUR[encoder])
  assert_same(ours(data), dcmtk.picture(data))


FRAMES = [radiographs.values(12), radiographs.values(12)[::-1].copy(), radiographs.values(12)[:, ::-1].copy()]


@pytest.mark.parametrize('frame', [1, 2, 3])
@pytest.mark.parametrize('tables', ['table', 'no-table', 'fragments', 'fragments-without-table'])
@pytest.mark.parametrize('encoder', ['lossless-sv1', 'extended-12', 'jpeg-ls'])
def test_frames_in_fragments(encoder: str, tables: str, frame: int) -> None:
  dataset = dicom_dataset(np.stack(FRAMES), NumberOfFrames=3, BitsStored=12, **radiographs.window(12))
  tool, *flags = (ENCODERS | OF_12_BITS)[encoder]
  flags += ['+fs', '4'] if tables.startswith('fragments') else []
  flags += ['-ot'] if tables.endswith('no-table') or tables.endswith('without-table') else []
  data = dcmtk.transcode(dicom_file(dataset), tool, *flags)
  expected = dicom_file(dicom_dataset(FRAMES[frame - 1], BitsStored=12, **radiographs.window(12)))
  assert_same(ours(data, frame), dcmtk.picture(expected, '+Wi', '1'))


@pytest.mark.parametrize('frame', [1, 2, 3])
@pytest.mark.parametrize('encoder', [*UNCOMPRESSED, 'rle'])
def test_frames(encoder: str, frame: int) -> None:
  dataset = dicom_dataset(np.stack(FRAMES), NumberOfFrames=3, BitsStored=12, **radiographs.window(12))
  data = dcmtk.transcode(dicom_file(dataset), *ENCODERS[encoder])
  assert_same(ours(data, frame), dcmtk.picture(data, '+Wi', '1', frame=frame))


def test_what_dcmtk_writes_by_our_encoder_s_twin() -> None:
  """CharLS reads its own: dcmtk's picture of what pyjpegls wrote."""
  dataset = radiographs.grey_object(12)
  dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
  dataset.PixelData = encapsulate([bytes(jpeg_ls.encode_array(radiographs.values(12)))])
  dataset['PixelData'].is_undefined_length = True
  dataset['PixelData'].VR = 'OB'
  data = dicom_file(dataset)
  assert_same(ours(data), dcmtk.picture(data, '+Wi', '1'))


def test_dcmtk_refuses_what_it_cannot_read() -> None:
  """So that no picture is taken for one that is not there."""
  dataset = radiographs.grey_object(12)
  with pytest.raises(subprocess.CalledProcessError):
    dcmtk.picture(_j2k(dataset, JPEG2000Lossless, radiographs.values(12)))
