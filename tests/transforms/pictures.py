"""Small DICOM, JPEG and PNG files, built in memory; each names a patient where a file can."""

from dataclasses import replace
from io import BytesIO
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import gdcm
import jpeg_ls
import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filewriter import dcmwrite
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
  UID,
  ExplicitVRLittleEndian,
  JPEG2000Lossless,
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLossless,
  JPEGLosslessSV1,
  JPEGLSLossless,
  RLELossless,
)

from transforms.dicom import Dicom, read_dicom
from transforms.elements import Limits

NAME = 'Doe^Planted'  # stands in every text field that can hold it
Values = NDArray[Any]


def gradient(rows: int = 48, columns: int = 64, bits: int = 12, *, signed: bool = False) -> Values:
  """A smooth picture that uses the whole range, so that lossy codecs come close and a lost bit shows."""
  y, x = np.mgrid[0:rows, 0:columns]
  share = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4
  share = (share - share.min()) / np.ptp(share)
  kind = f'{"i" if signed else "u"}{1 if bits <= 8 else 2 if bits <= 16 else 4}'
  return np.rint(share * (2**bits - 1) - (2 ** (bits - 1) if signed else 0)).astype(kind)


def colours(rows: int = 48, columns: int = 64) -> Values:
  """uint8 RGB, different in each channel."""
  grey = gradient(rows, columns, 8)
  return np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)


def dicom_dataset(values: Values, **elements: Any) -> Dataset:
  """An uncompressed object: (rows, columns), (frames, rows, columns) with `NumberOfFrames`, or RGB."""
  dataset = Dataset()
  dataset.file_meta = FileMetaDataset()
  dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
  dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID('1.2.840.10008.5.1.4.1.1.7')
  dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID('1.2.3.4')
  dataset.StudyInstanceUID, dataset.SeriesInstanceUID = '1.2.3', '1.2.3.5'
  dataset.PatientName = dataset.PatientID = dataset.StudyDescription = dataset.InstitutionName = NAME
  dataset.Modality = 'CR'
  frames = int('NumberOfFrames' in elements and values.ndim > 2)
  dataset.SamplesPerPixel = 3 if values.ndim - frames == 3 else 1
  dataset.PhotometricInterpretation = 'RGB' if dataset.SamplesPerPixel == 3 else 'MONOCHROME2'
  dataset.Rows, dataset.Columns = values.shape[frames : frames + 2]
  if values.dtype.kind in 'iu':
    bits = 8 * values.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == 'i')
    dataset.PixelData = values.tobytes() + b'\0' * (values.nbytes % 2)
    dataset['PixelData'].VR = 'OB' if bits == 8 else 'OW'
  if dataset.SamplesPerPixel == 3:
    dataset.PlanarConfiguration = 0
  for keyword, value in elements.items():
    setattr(dataset, keyword, value)
  if 'BitsStored' in elements and 'HighBit' not in elements:
    dataset.HighBit = dataset.BitsStored - 1
  return dataset


def lut(entries: list[int], first: int, bits: int) -> Dataset:
  """An item of a lookup table sequence."""
  made = Dataset()
  made.add_new('LUTDescriptor', 'SS' if first < 0 else 'US', [len(entries), first, bits])
  made.add_new('LUTData', 'OW', np.array(entries, '<u2').tobytes())
  return made


def parsed(dataset: Dataset, *, little_endian: bool = True) -> Dicom:
  """A data set, or an item, as it is read from a file; the transfer syntax is as declared."""
  buffer = BytesIO()
  bare = Dataset(dataset)
  dcmwrite(buffer, bare, implicit_vr=False, little_endian=little_endian, force_encoding=True)
  dicom = read_dicom(buffer.getvalue(), Limits())
  declared = getattr(dataset, 'file_meta', {}).get('TransferSyntaxUID')
  return replace(dicom, transfer_syntax=declared) if declared else dicom


def dicom_file(dataset: Dataset) -> bytes:
  """The object as a file of its transfer syntax."""
  buffer = BytesIO()
  dataset.save_as(buffer, enforce_file_format=True)
  return buffer.getvalue()


def compressed(dataset: Dataset, uid: UID, frames: list[Values]) -> Dataset:
  """The object with its frames encoded; photometric interpretation stays as it is."""
  encoded = [_encode(frame, dataset, uid, index) for index, frame in enumerate(frames)]
  dataset.file_meta.TransferSyntaxUID = uid
  dataset.PixelData = encapsulate(encoded)
  dataset['PixelData'].is_undefined_length = True
  dataset['PixelData'].VR = 'OB'
  return dataset


def _encode(values: Values, dataset: Dataset, uid: UID, index: int) -> bytes:
  if uid == RLELossless:
    return get_encoder(RLELossless).encode(dataset, index=index)
  if uid == JPEG2000Lossless:
    interpretation = 1 if values.ndim == 3 else 2
    return bytes(encode_array(values, bits_stored=dataset.BitsStored, photometric_interpretation=interpretation))
  if uid == JPEGLSLossless:
    return bytes(jpeg_ls.encode_array(values.view(values.dtype.str.replace('i', 'u'))))  # it knows no sign
  if uid == JPEGBaseline8Bit:
    return pillow_jpeg(values)
  return _encode_with_gdcm(values, dataset.BitsStored, uid)


_GDCM_SYNTAXES = {
  JPEGExtended12Bit: gdcm.TransferSyntax.JPEGExtendedProcess2_4,
  JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
  JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}


def _encode_with_gdcm(values: Values, bits_stored: int, uid: UID) -> bytes:
  """Through files: gdcm's images, made in Python, are freed twice when handed on."""
  with TemporaryDirectory() as folder:
    source, target = f'{folder}/source.dcm', f'{folder}/target.dcm'
    dicom_dataset(values, BitsStored=bits_stored).save_as(source, enforce_file_format=True)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(source)
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(_GDCM_SYNTAXES[uid]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetFileName(target)
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return get_frame(dcmread(target).PixelData, 0, number_of_frames=1)


def pillow_jpeg(values: Values, **options: Any) -> bytes:
  """A JPEG of (rows, columns) grey or RGB, of the best quality, with a comment that names a patient."""
  buffer = BytesIO()
  Image.fromarray(values).save(buffer, 'JPEG', quality=100, subsampling=0, comment=NAME, **options)
  return buffer.getvalue()


def png(values: Values) -> bytes:
  """A PNG of grey, RGB or RGBA of 8 or 16 bits."""
  bgr = (
    values if values.ndim == 2 else cv2.cvtColor(values, [cv2.COLOR_RGB2BGR, cv2.COLOR_RGBA2BGRA][values.shape[2] - 3])
  )
  return cv2.imencode('.png', bgr)[1].tobytes()
