"""High-Throughput JPEG 2000 as OpenJPH writes it; dcmtk's picture is of the values before."""

import pathlib
import subprocess
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, UID, HTJ2KLossless, HTJ2KLosslessRPCL

from benchmarks import dcmtk
from tests.integration import radiographs
from tests.integration.pictures_compared import assert_same, ours
from tests.transforms.pictures import dicom_dataset, dicom_file

REVERSIBLE = ('-reversible', 'true')
FLAGS: dict[UID, tuple[str, ...]] = {
  HTJ2KLossless: (*REVERSIBLE, '-prog_order', 'LRCP'),
  HTJ2KLosslessRPCL: (*REVERSIBLE, '-prog_order', 'RPCL'),
  HTJ2K: ('-qstep', '0.001'),
}


def encoded(values: Any, bits: int, flags: tuple[str, ...]) -> bytes:
  """A codestream of (rows, columns) values, or of 8-bit RGB."""
  with TemporaryDirectory() as folder:
    target = pathlib.Path(folder, 'frame.j2c')
    if values.ndim == 3:
      source = pathlib.Path(folder, 'frame.ppm')
      source.write_bytes(b'P6 %d %d 255\n' % (values.shape[1], values.shape[0]) + values.tobytes())
      described: tuple[str, ...] = ()
    else:
      source = pathlib.Path(folder, 'frame.yuv')
      source.write_bytes(values.tobytes())
      dims = f'{{{values.shape[1]},{values.shape[0]}}}'
      described = ('-dims', dims, '-num_comps', '1', '-signed', 'false', '-bit_depth', str(bits), '-downsamp', '{1,1}')
    command = ['ojph_compress', '-i', str(source), '-o', str(target), *described, *flags]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return target.read_bytes()


def wrapped(dataset: Dataset, uid: UID, codestream: bytes) -> bytes:
  dataset.file_meta.TransferSyntaxUID = uid
  dataset.PixelData = encapsulate([codestream])
  dataset['PixelData'].is_undefined_length = True
  dataset['PixelData'].VR = 'OB'
  return dicom_file(dataset)


@pytest.mark.parametrize('bits', [8, 10, 12, 16])  # unsigned: OpenJPH 0.9 reads no signed values
@pytest.mark.parametrize('uid', FLAGS)
def test_grey(uid: UID, bits: int) -> None:
  dataset = radiographs.grey_object(bits)
  expected = dcmtk.picture(dicom_file(dataset), '+Wi', '1')
  codestream = encoded(radiographs.values(bits), bits, FLAGS[uid])
  assert_same(ours(wrapped(dataset, uid, codestream)), expected)


@pytest.mark.parametrize('uid', FLAGS)
def test_colour(uid: UID) -> None:
  dataset = dicom_dataset(radiographs.colours())
  expected = dcmtk.picture(dicom_file(dataset))
  dataset.PhotometricInterpretation = 'YBR_ICT' if uid == HTJ2K else 'YBR_RCT'
  codestream = encoded(radiographs.colours(), 8, FLAGS[uid])
  assert_same(ours(wrapped(dataset, uid, codestream)), expected)
