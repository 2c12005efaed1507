"""Small DICOM, JPEG and PNG files, built in memory; each names a patient where a file can."""

from io import BytesIO
from typing import Any

import cv2
import gdcm
import jpeg_ls
import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
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
  dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = '1.2.840.10008.5.1.4.1.1.7'
  dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = '1.2.3.4'
  dataset.StudyInstanceUID, dataset.SeriesInstanceUID = '1.2.3', '1.2.3.5'
  dataset.PatientName = dataset.PatientID = dataset.StudyDescription = dataset.InstitutionName = NAME
  dataset.Modality = 'CR'
  frames = 'NumberOfFrames' in elements
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


def dicom_file(dataset: Dataset) -> bytes:
  """The object as a file of its transfer syntax."""
  buffer = BytesIO()
  dataset.save_as(buffer, enforce_file_format=True)
  return buffer.getvalue()


def compressed(dataset: Dataset, uid: UID, frames: list[Values]) -> Dataset:
  """The object with its frames encoded; photometric interpretation stays as it is."""
  encoded = [_encode(frame, dataset, uid) for frame in frames]
  dataset.file_meta.TransferSyntaxUID = uid
  dataset.PixelData = encapsulate(encoded)
  dataset['PixelData'].is_undefined_length = True
  dataset['PixelData'].VR = 'OB'
  return dataset


def _encode(values: Values, dataset: Dataset, uid: UID) -> bytes:
  if uid == RLELossless:
    return get_encoder(RLELossless).encode(dataset, index=0 if 'NumberOfFrames' in dataset else None)
  if uid == JPEG2000Lossless:
    interpretation = 1 if values.ndim == 3 else 2
    return bytes(encode_array(values, bits_stored=dataset.BitsStored, photometric_interpretation=interpretation))
  if uid == JPEGLSLossless:
    return bytes(jpeg_ls.encode_array(values))
  if uid == JPEGBaseline8Bit:
    return pillow_jpeg(values)
  return _encode_with_gdcm(values, dataset.BitsStored, uid)


_GDCM_SYNTAXES = {
  JPEGExtended12Bit: gdcm.TransferSyntax.JPEGExtendedProcess2_4,
  JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
  JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}


def _encode_with_gdcm(values: Values, bits_stored: int, uid: UID) -> bytes:
  image = gdcm.Image()
  image.SetNumberOfDimensions(2)
  image.SetDimensions((values.shape[1], values.shape[0], 1))
  image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
  bits = (8 * values.dtype.itemsize, bits_stored, bits_stored - 1, int(values.dtype.kind == 'i'))
  image.SetPixelFormat(gdcm.PixelFormat(1, *bits))
  image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
  element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
  element.SetByteStringValue(values.tobytes())
  image.SetDataElement(element)
  change = gdcm.ImageChangeTransferSyntax()
  change.SetTransferSyntax(gdcm.TransferSyntax(_GDCM_SYNTAXES[uid]))
  change.SetInput(image)
  assert change.Change()
  fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments()
  return fragments.GetFragment(0).GetByteValue().GetBuffer().encode('utf-8', 'surrogateescape')


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
