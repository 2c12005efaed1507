"""DICOM files that name patients in every element that can, and fail where the names stand."""

from collections.abc import Iterator
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from tests.end_to_end.planted_texts import (
  BIRTH,
  DATES,
  NAME,
  OLD_BIRTH,
  PATIENT,
  PHONE,
  STUDY_DATE,
  UID_ROOT,
  Member,
  ascii_name,
  name,
)
from tests.transforms.pictures import Values, compressed, dicom_dataset, dicom_file, gradient, lut


def good_dicom(number: int, picture: Values) -> Member:
  """An image with every kind of element that can name somebody."""
  dataset = dicom_dataset(picture, **identifying_elements(number))
  block = dataset.private_block(0x0099, f'{NAME} PRIVATE', create=True)
  block.add_new(0x01, 'PN', name('private'))
  block.add_new(0x02, 'UN', name('private-unknown').encode('utf-16-le'))
  syntaxes = (None, RLELossless, JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1)
  syntax = syntaxes[number // 3 % len(syntaxes)]
  if syntax:
    compressed(dataset, syntax, [picture])
  dataset.file_meta.SourceApplicationEntityTitle = f'{NAME}AE'
  dataset.file_meta.ImplementationVersionName = f'{NAME}VN'
  dataset.file_meta.PrivateInformationCreatorUID = UID(f'{UID_ROOT}.7')
  dataset.file_meta.PrivateInformation = name('file-meta').encode()
  data = dicom_file(dataset)
  return 'dcm', ascii_name('preamble').encode().ljust(128, b' ')[:128] + data[128:] + name('trailing').encode()


def identifying_elements(number: int) -> dict[str, Any]:
  """Elements by keyword."""
  physician, other, request = Dataset(), Dataset(), Dataset()
  physician.PersonName = name('sequence')
  other.PatientID, other.TypeOfPatientID = f'{PATIENT}-other', 'TEXT'
  request.RequestedProcedureDescription = name('request')
  request.ReferencedStudySequence = Sequence([physician])
  return {
    'SpecificCharacterSet': 'ISO_IR 192' if number % 2 else 'ISO_IR 100',
    'PatientName': name('patient-name'),
    'PatientID': f'{PATIENT}-dicom-{number}',
    'OtherPatientIDs': [f'{PATIENT}-ids', f'{PATIENT}-more'],
    'OtherPatientIDsSequence': Sequence([other]),
    'OtherPatientNames': name('other-name'),
    'PatientBirthDate': BIRTH if number else OLD_BIRTH,
    'PatientBirthTime': '041937',
    'PatientAge': '',
    'PatientComments': name('comments'),
    'PatientTelephoneNumbers': [PHONE, PHONE.replace('-', '')],
    'PatientAddress': name('address'),
    'StudyDate': STUDY_DATE,
    'AcquisitionDateTime': f'{STUDY_DATE}120000',
    'AccessionNumber': f'{PATIENT}-acc',
    'StudyID': f'{PATIENT}-sid',
    'StudyInstanceUID': f'{UID_ROOT}.1.{number}',
    'SeriesInstanceUID': f'{UID_ROOT}.2.{number}',
    'SOPInstanceUID': f'{UID_ROOT}.3.{number}',
    'InstitutionName': name('institution'),
    'ReferringPhysicianName': name('referrer'),
    'StudyDescription': name('study'),
    'SeriesDescription': name('series'),
    'ProtocolName': name('protocol'),
    'Manufacturer': name('manufacturer'),
    'ManufacturerModelName': name('model'),
    'StationName': f'{NAME}STATION',
    **({'DeviceSerialNumber': name('serial')} if number % 2 else {}),  # else the station tells the scanner
    'BodyPartExamined': f'{NAME}BODY'.upper(),
    'ViewPosition': f'{NAME}VIEW'.upper(),
    'Modality': f'{NAME}MOD'.upper(),
    'PatientSex': f'{NAME}SEX'.upper(),
    'ImageComments': f'{name("image-comments")} on {DATES[4]}',
    'ImageType': ['ORIGINAL', 'PRIMARY', f'{NAME}TYPE'.upper()],
    'BurnedInAnnotation': f'{NAME}BURN'.upper(),
    'LossyImageCompressionMethod': f'{NAME}LOSS'.upper(),
    'PresentationLUTShape': 'IDENTITY',
    'WindowCenter': 128,
    'WindowWidth': 256,
    'WindowCenterWidthExplanation': name('window'),
    'VOILUTFunction': f'{NAME}VOI'.upper(),
    'PhysiciansOfRecordIdentificationSequence': Sequence([physician]),
    'RequestAttributesSequence': Sequence([request]),
    'IssuerOfPatientID': name('issuer'),
  }


def broken_dicoms() -> Iterator[Member]:
  """Headers and codestreams that fail where the text stands, so that a message that quotes it has a chance."""
  picture = gradient(bits=8)
  shout = f'{NAME}BROKEN'.upper()
  texts: dict[str, tuple[str, str]] = {
    'rows': ('Rows', 'LO'),
    'bits': ('BitsStored', 'LO'),
    'frames': ('NumberOfFrames', 'IS'),
    'photometric': ('PhotometricInterpretation', 'CS'),
    'center': ('WindowCenter', 'DS'),
    'slope': ('RescaleSlope', 'DS'),
    'age': ('PatientAge', 'AS'),
    'padding': ('PixelPaddingValue', 'LO'),
    'sop-class': ('SOPClassUID', 'UI'),
    'charset': ('SpecificCharacterSet', 'CS'),
    'ratio': ('LossyImageCompressionRatio', 'DS'),
    'samples': ('SamplesPerPixel', 'LO'),
    'window-sequence': ('VOILUTSequence', 'LO'),
    'pixels': ('PixelData', 'LO'),
  }
  for place, (keyword, vr) in texts.items():
    dataset = dicom_dataset(picture, PatientName=ascii_name(f'broken-{place}'))
    set_raw(dataset, keyword, vr, shout.ljust(len(shout) + len(shout) % 2).encode())
    yield f'{NAME}-broken-{place}.dcm', dicom_file(dataset)
  plain = dicom_file(dicom_dataset(picture))
  yield f'{NAME}-syntax.dcm', plain.replace(b'1.2.840.10008.1.2.1\0', f'{NAME}.{PATIENT}'.encode().ljust(20, b'\0'), 1)
  explained = lut([0, 255], 0, 8)
  explained.LUTExplanation, explained.ModalityLUTType = name('lut'), f'{NAME}LUT'
  yield f'{NAME}-lut.dcm', dicom_file(dicom_dataset(picture, ModalityLUTSequence=[explained]))
  for syntax in (RLELossless, JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1):
    data = dicom_file(compressed(dicom_dataset(picture), syntax, [picture]))
    text = (name('codestream') * 3).encode('latin-1')
    for start in (len(data) - 1200, len(data) - 400):
      yield f'{NAME}-{syntax.keyword}-{start}.dcm', data[:start] + text + data[start + len(text) :]
    yield f'{NAME}-{syntax.keyword}-cut.dcm', data[:-500]
  yield from objects_without_pixels()


def objects_without_pixels() -> Iterator[Member]:
  """A report, a document and a directory."""
  item, record = Dataset(), Dataset()
  item.ValueType, item.TextValue = 'TEXT', name('report')
  record.DirectoryRecordType, record.PatientName, record.PatientID = (
    'PATIENT',
    name('directory'),
    f'{PATIENT}-directory',
  )
  contents: dict[str, tuple[str, dict[str, Any]]] = {
    'report': ('1.2.840.10008.5.1.4.1.1.88.11', {'ContentSequence': [item]}),
    'document': ('1.2.840.10008.5.1.4.1.1.104.1', {'EncapsulatedDocument': b'%PDF-' + name('document').encode()}),
    'DICOMDIR': ('1.2.840.10008.1.3.10', {'DirectoryRecordSequence': [record], 'FileSetID': f'{NAME}SET'}),
  }
  for place, (sop_class, elements) in contents.items():
    dataset = dicom_dataset(gradient(8, 8), **identifying_elements(900))
    for keyword in ('PixelData', 'Rows', 'Columns'):
      delattr(dataset, keyword)
    dataset.SOPClassUID = UID(sop_class)
    for keyword, value in elements.items():
      setattr(dataset, keyword, value)
    yield f'{NAME}-{place}', dicom_file(dataset)


def set_raw(dataset: Dataset, keyword: str, vr: str, value: bytes) -> None:
  """An element of another representation or content than it should have, which pydicom does not look at."""
  tag = Tag(tag_for_keyword(keyword) or 0)
  dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
