"""Pictures as DICOM files, in the variety that an archive of several vendors and years holds."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import gdcm
import numpy as np
import openjpeg.utils
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import JPEGLSLosslessEncoder, RLELosslessEncoder
from pydicom.uid import UID

from pipelines.synthetic_pictures import Picture

Stored = NDArray[np.uint8] | NDArray[np.uint16]
Modality = Literal['CR', 'DX']
Photometric = Literal['MONOCHROME1', 'MONOCHROME2']
Bits = Literal[8, 12, 16]
Grey = Literal['window', 'rescale', 'plain']

TRANSFER_SYNTAXES: Final = (
  uid.ExplicitVRLittleEndian,
  uid.ImplicitVRLittleEndian,
  uid.RLELossless,
  uid.JPEG2000Lossless,
  uid.JPEGLSLossless,
  uid.JPEGBaseline8Bit,
  uid.JPEGLosslessSV1,
)
_SOP_CLASSES: Final = {
  'CR': uid.ComputedRadiographyImageStorage,
  'DX': uid.DigitalXRayImageStorageForPresentation,
}
_SLOPE, _INTERCEPT = 0.5, -200.0
_DARKEST, _BRIGHTEST = 0.06, 0.92  # of the range of stored values
_BASELINE_QUALITY = 95
_OPENJPEG_GREY = 2  # of its colour spaces


@dataclass(frozen=True, slots=True)
class Header:
  """What a file says of its patient and study; all of it invented, most of it identifying."""

  patient_id: str
  patient_name: str
  accession_number: str
  study_instance_uid: str
  series_instance_uid: str
  sop_instance_uid: str
  modality: Modality = 'DX'
  age_years: int = 50
  sex: Literal['F', 'M'] = 'F'
  view_position: Literal['PA', 'AP'] = 'PA'


@dataclass(frozen=True, slots=True)
class Encoding:
  """How pixels are stored.

  Attributes:
    grey: how stored values become grey: a `window`, a `rescale` with a window
      after it, or `plain`, where nothing says so. 8-bit files have 0 to 255.
  """

  transfer_syntax: UID = uid.ExplicitVRLittleEndian
  bits_stored: Bits = 12
  photometric: Photometric = 'MONOCHROME2'
  grey: Grey = 'window'

  @property
  def bits_allocated(self) -> int:
    """Bits of a stored value's cell."""
    return 8 if self.bits_stored == 8 else 16

  @property
  def value_range(self) -> tuple[int, int]:
    """Stored values of black and white; in MONOCHROME1 of white and black."""
    if self.bits_stored == 8:
      return 0, 255
    low, high = (round(part * 2**self.bits_stored) for part in (_DARKEST, _BRIGHTEST))
    highest = 2**self.bits_stored - 1
    return (highest - high, highest - low) if self.photometric == 'MONOCHROME1' else (low, high)


def encode_dicom(frames: Sequence[Picture], header: Header, encoding: Encoding) -> bytes:
  """Writes pictures of one size as one DICOM file.

  Args:
    frames: as they are displayed, 0 to 1; several make a multi-frame file.
    header: what to say of the patient and study.
    encoding: how to store the pixels. The display is the same for all of them,
      up to rounding; `plain` leaves contrast to the viewer.
  """
  dataset = _header_dataset(header)
  if len(frames) > 1:
    dataset.SOPClassUID = uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    dataset.NumberOfFrames = len(frames)
  _describe_pixels(dataset, frames[0].shape[:2], encoding)
  _describe_grey(dataset, encoding)
  _set_pixels(dataset, [store(frame, encoding) for frame in frames], encoding)
  return write_dicom(dataset, encoding.transfer_syntax)


def store(picture: Picture, encoding: Encoding) -> Stored:
  """The stored values of a picture."""
  low, high = encoding.value_range
  shown = 1 - picture if encoding.photometric == 'MONOCHROME1' else picture
  values = np.rint(low + shown * (high - low))
  return values.astype(np.uint8) if encoding.bits_allocated == 8 else values.astype(np.uint16)


def encode_report(header: Header) -> bytes:
  """A structured report: a DICOM object that was never meant to hold pixels."""
  dataset = _header_dataset(header)
  dataset.SOPClassUID = uid.BasicTextSRStorage
  dataset.Modality = 'SR'
  dataset.ValueType = 'CONTAINER'
  dataset.CompletionFlag = 'COMPLETE'
  dataset.VerificationFlag = 'UNVERIFIED'
  return write_dicom(dataset, uid.ExplicitVRLittleEndian)


def encode_dicomdir(sop_instance_uid: str) -> bytes:
  """The directory of a DICOM medium (PS3.10 8), without records."""
  dataset = Dataset()
  dataset.SOPClassUID = uid.MediaStorageDirectoryStorage
  dataset.SOPInstanceUID = sop_instance_uid
  dataset.FileSetID = 'ZZPLANTED_SET'
  dataset.DirectoryRecordSequence = []
  return write_dicom(dataset, uid.ExplicitVRLittleEndian)


def encode_video(header: Header) -> bytes:
  """A file in MPEG-2, which no decoder here reads; its stream is junk."""
  dataset = _header_dataset(header)
  _describe_pixels(dataset, (64, 64), Encoding(bits_stored=8))
  dataset.NumberOfFrames = 1
  dataset.PixelData = encapsulate([b'\x00\x00\x01\xb3' + bytes(60)])
  return write_dicom(dataset, uid.MPEG2MPML)


def write_dicom(dataset: Dataset, transfer_syntax: UID) -> bytes:
  """A DICOM file with preamble and file meta information (PS3.10 7.1)."""
  dataset.file_meta = FileMetaDataset()
  dataset.file_meta.TransferSyntaxUID = transfer_syntax
  if transfer_syntax.is_encapsulated and 'PixelData' in dataset:
    dataset['PixelData'].VR = 'OB'
    dataset['PixelData'].is_undefined_length = True
  buffer = io.BytesIO()
  dataset.save_as(buffer, enforce_file_format=True)
  return buffer.getvalue()


def _header_dataset(header: Header) -> Dataset:
  dataset = Dataset()
  dataset.SpecificCharacterSet = 'ISO_IR 100'
  dataset.SOPClassUID = _SOP_CLASSES[header.modality]
  dataset.SOPInstanceUID = header.sop_instance_uid
  dataset.StudyDate = '20240506'
  dataset.AccessionNumber = header.accession_number
  dataset.Modality = header.modality
  dataset.PatientName = header.patient_name
  dataset.PatientID = header.patient_id
  dataset.PatientSex = header.sex
  dataset.PatientAge = f'{header.age_years:03d}Y'
  dataset.BodyPartExamined = 'CHEST'
  dataset.ViewPosition = header.view_position
  dataset.StudyInstanceUID = header.study_instance_uid
  dataset.SeriesInstanceUID = header.series_instance_uid
  dataset.InstanceNumber = 1
  _plant_free_text(dataset)
  return dataset


def _plant_free_text(dataset: Dataset) -> None:
  """Names where people type them: none may appear in what a run leaves behind."""
  dataset.Manufacturer = 'ZZPLANTED Imaging'
  dataset.InstitutionName = 'ZZPLANTED General Hospital'
  dataset.ReferringPhysicianName = 'ZZPLANTED^REFERRER'
  dataset.StudyDescription = 'Chest of ZZPLANTED'
  dataset.ImageComments = 'ZZPLANTED called, wants the result'


def _describe_pixels(dataset: Dataset, shape: tuple[int, int], encoding: Encoding) -> None:
  dataset.SamplesPerPixel = 1
  dataset.PhotometricInterpretation = encoding.photometric
  dataset.Rows, dataset.Columns = shape
  dataset.BitsAllocated = encoding.bits_allocated
  dataset.BitsStored = encoding.bits_stored
  dataset.HighBit = encoding.bits_stored - 1
  dataset.PixelRepresentation = 0


def _describe_grey(dataset: Dataset, encoding: Encoding) -> None:
  """Rescale and window (PS3.3 C.11.1, C.11.2): black and white of the picture end at 0 and 1."""
  if encoding.grey == 'plain' or encoding.bits_stored == 8:
    return
  low, high = map(float, encoding.value_range)
  if encoding.grey == 'rescale':
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = _SLOPE, _INTERCEPT, 'US'
    low, high = _SLOPE * low + _INTERCEPT, _SLOPE * high + _INTERCEPT
  dataset.WindowCenter = (low + high) / 2 + 0.5
  dataset.WindowWidth = high - low + 1


def _set_pixels(dataset: Dataset, frames: Sequence[Stored], encoding: Encoding) -> None:
  if encoding.transfer_syntax.is_encapsulated:
    compress = _COMPRESSORS[encoding.transfer_syntax]
    dataset.PixelData = encapsulate([compress(dataset, frame) for frame in frames])
    dataset.LossyImageCompression = '01' if encoding.transfer_syntax == uid.JPEGBaseline8Bit else '00'
  else:
    data = b''.join(frame.astype(frame.dtype.newbyteorder('<')).tobytes() for frame in frames)
    dataset.PixelData = data + b'\0' * (len(data) % 2)
    dataset['PixelData'].VR = 'OB' if encoding.bits_allocated == 8 else 'OW'


def _compress_rle(dataset: Dataset, frame: Stored) -> bytes:
  return RLELosslessEncoder.encode(frame, encoding_plugin='gdcm', **_pixel_options(dataset))


def _compress_jpeg_ls(dataset: Dataset, frame: Stored) -> bytes:
  return JPEGLSLosslessEncoder.encode(frame, **_pixel_options(dataset))


def _compress_jpeg_2000(dataset: Dataset, frame: Stored) -> bytes:
  return openjpeg.utils.encode_array(
    frame, bits_stored=dataset.BitsStored, photometric_interpretation=_OPENJPEG_GREY, use_mct=False
  )


def _compress_jpeg_baseline(_dataset: Dataset, frame: Stored) -> bytes:
  encoded, data = cv2.imencode('.jpeg', frame, [cv2.IMWRITE_JPEG_QUALITY, _BASELINE_QUALITY])
  if not encoded:
    raise RuntimeError(f'OpenCV could not encode a JPEG of {frame.shape} pixels')
  return data.tobytes()


def _compress_jpeg_lossless(dataset: Dataset, frame: Stored) -> bytes:
  writer = gdcm.ImageWriter()  # owns the image
  image = writer.GetImage()
  image.SetNumberOfDimensions(2)
  image.SetDimensions((dataset.Columns, dataset.Rows, 1))
  image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
  image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ImplicitVRLittleEndian))
  image.SetPixelFormat(gdcm.PixelFormat(1, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, 0))
  element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
  element.SetByteStringValue(frame.tobytes())
  image.SetDataElement(element)
  converter = gdcm.ImageChangeTransferSyntax()
  converter.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
  converter.SetInput(image)
  if not converter.Change():
    raise RuntimeError(f'gdcm could not encode a lossless JPEG of {frame.shape} pixels')
  fragment = converter.GetOutput().GetDataElement().GetSequenceOfFragments().GetFragment(0)
  return fragment.GetByteValue().GetBuffer().encode('utf-8', 'surrogateescape')


def _pixel_options(dataset: Dataset) -> dict[str, Any]:
  return {
    'rows': dataset.Rows,
    'columns': dataset.Columns,
    'samples_per_pixel': 1,
    'number_of_frames': 1,
    'bits_allocated': dataset.BitsAllocated,
    'bits_stored': dataset.BitsStored,
    'pixel_representation': 0,
    'photometric_interpretation': dataset.PhotometricInterpretation,
  }


_COMPRESSORS: Final[dict[UID, Callable[[Dataset, Stored], bytes]]] = {
  uid.RLELossless: _compress_rle,
  uid.JPEG2000Lossless: _compress_jpeg_2000,
  uid.JPEGLSLossless: _compress_jpeg_ls,
  uid.JPEGBaseline8Bit: _compress_jpeg_baseline,
  uid.JPEGLosslessSV1: _compress_jpeg_lossless,
}
