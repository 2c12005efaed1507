"""DICOM objects: what hostile archives hold, and the header facts that may leave it.

pydicom and the codecs below it are tolerant and talkative: their warnings
quote values, so names; they are switched off here, for the process, once (a
filter per call would not be safe in threads).
"""

import logging
import re
import warnings
from dataclasses import dataclass
from typing import Final, Literal

from pydicom import config
from pydicom.uid import UID

from transforms import vocabularies
from transforms.dicom_elements import Budget
from transforms.dicom_encoding import open_dicom
from transforms.dicom_values import DataSet, integer, read_data_set, text
from transforms.elements import HeaderFacts, Limits
from transforms.errors import InputError
from transforms.transfer_syntaxes import name_of

FrameChoice = Literal['first', 'middle', 'all']

config.settings.reading_validation_mode = config.IGNORE
logging.getLogger('pydicom').setLevel(logging.CRITICAL + 1)
warnings.filterwarnings('ignore', module='pydicom')

PIXEL_KEYWORDS: Final = ('PixelData', 'FloatPixelData', 'DoubleFloatPixelData')
_DICOMDIR: Final = '1.2.840.10008.1.3.10'

_KINDS_WITHOUT_PIXELS: Final = (  # by start of the SOP Class UID, PS3.4 B.5; the longer first
  ('1.2.840.10008.5.1.4.1.1.88.59', 'KO'),
  ('1.2.840.10008.5.1.4.1.1.88.', 'SR'),
  ('1.2.840.10008.5.1.4.1.1.11.', 'PR'),
  ('1.2.840.10008.5.1.4.1.1.104.1', 'PDF'),
  ('1.2.840.10008.5.1.4.1.1.104.2', 'CDA'),
  ('1.2.840.10008.5.1.4.1.1.104.', '3D model'),
  ('1.2.840.10008.5.1.4.1.1.481.3', 'RTSTRUCT'),
  ('1.2.840.10008.5.1.4.1.1.481.5', 'RTPLAN'),
  ('1.2.840.10008.5.1.4.1.1.481.8', 'RTPLAN'),
  ('1.2.840.10008.5.1.4.1.1.481.', 'RT'),
  ('1.2.840.10008.5.1.4.1.1.9.', 'waveform'),
  ('1.2.840.10008.5.1.4.1.1.66.5', 'surface'),
  ('1.2.840.10008.5.1.4.1.1.67', 'RWV'),
  ('1.2.840.10008.5.1.4.1.1.66', 'raw data or registration'),
  ('1.2.840.10008.5.1.4.1.1.4.2', 'spectroscopy'),
)

# Names of the classes whose objects always have pixels: without them they were cut.
_IMAGE_CLASS: Final = re.compile(r'Image Storage|Map Storage|Segmentation Storage|US Volume')


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dicom(DataSet):
  """A DICOM object.

  Attributes:
    transfer_syntax: as declared where it names a codec; else as found.
    media_storage_sop_class: of the meta information, '' where it is missing.
  """

  transfer_syntax: UID
  media_storage_sop_class: str


def read_dicom(data: bytes, limits: Limits) -> Dicom:
  """Parses a DICOM file, with or without preamble and file meta information (PS3.10 7.1).

  What breaks off keeps all that stands before.

  Raises:
    InputError: `header-corrupt`; `too-large` beyond the limits on headers;
      `bomb` for a deflated data set beyond the limits.
  """
  opened = open_dicom(data, limits)
  data_set = read_data_set(opened.data, opened.start, len(opened.data), opened.encoding, Budget.of(limits))
  if not data_set.at:
    raise InputError('header-corrupt', 'no element could be read')
  return Dicom(
    opened.data,
    data_set.encoding,
    data_set.at,
    data_set.character_set,
    data_set.budget,
    transfer_syntax=opened.transfer_syntax,
    media_storage_sop_class=opened.sop_class,
  )


def header_facts(dataset: Dicom) -> HeaderFacts:
  """The allow-listed facts, through closed vocabularies where the header has free text."""
  study_date = text(dataset, 'StudyDate')
  uid = dataset.transfer_syntax
  return HeaderFacts(
    sop_instance_uid=text(dataset, 'SOPInstanceUID'),
    series_instance_uid=text(dataset, 'SeriesInstanceUID'),
    study_instance_uid=text(dataset, 'StudyInstanceUID'),
    patient_id=text(dataset, 'PatientID'),
    accession_number=text(dataset, 'AccessionNumber'),
    sop_class_uid=_sop_class(dataset),
    study_date=study_date if vocabularies.parse_date(study_date) else None,
    scanner=scanner(dataset),
    modality=vocabularies.modality(text(dataset, 'Modality')),
    view_position=vocabularies.view_position(text(dataset, 'ViewPosition')),
    body_part=vocabularies.body_part(text(dataset, 'BodyPartExamined')),
    manufacturer=vocabularies.manufacturer(text(dataset, 'Manufacturer')),
    sex=vocabularies.sex(text(dataset, 'PatientSex')),
    age_years=vocabularies.age_years(text(dataset, 'PatientAge'), text(dataset, 'PatientBirthDate'), study_date),
    rows=integer(dataset, 'Rows'),
    columns=integer(dataset, 'Columns'),
    bits_stored=integer(dataset, 'BitsStored'),
    number_of_frames=integer(dataset, 'NumberOfFrames') or 1,
    transfer_syntax=uid if name_of(uid) else None,
    photometric=vocabularies.photometric(text(dataset, 'PhotometricInterpretation')),
    patient_name=text(dataset, 'PatientName'),
  )


def scanner(dataset: Dicom) -> tuple[str, ...] | None:
  """Manufacturer, model, and serial number or else the station's name (PS3.3 C.7.5.1); None where there is nothing.

  A serial number is enough: the name is of the place, and typed by hand. Case
  and spaces do not tell scanners apart, since software updates change them.
  """
  maker, model, serial, station = (
    ' '.join((text(dataset, keyword) or '').casefold().split())
    for keyword in ('Manufacturer', 'ManufacturerModelName', 'DeviceSerialNumber', 'StationName')
  )
  found = maker, model, serial, '' if serial else station
  return found if any(found) else None


def _sop_class(dataset: Dicom) -> str | None:
  uid = text(dataset, 'SOPClassUID') or dataset.media_storage_sop_class
  return uid if re.fullmatch(r'[0-9.]{1,64}', uid) else None


def require_pixels(dataset: Dicom) -> str:
  """The keyword of the one element that holds the pixels.

  Raises:
    InputError: `auxiliary-file` for a DICOMDIR, `no-pixel-data` for objects
      that have none, `header-corrupt` for an image without,
      `unsupported-transfer-syntax` for one whose pixels lie elsewhere.
  """
  present = [keyword for keyword in PIXEL_KEYWORDS if keyword in dataset]
  if len(present) == 1:
    return present[0]
  if present:
    raise InputError('header-corrupt', ' and '.join(present))
  if 'PixelDataProviderURL' in dataset:
    raise InputError('unsupported-transfer-syntax', 'JPIP Referenced')
  raise _why_no_pixels(dataset, UID(_sop_class(dataset) or ''))


def _why_no_pixels(dataset: Dicom, sop_class: UID) -> InputError:
  if sop_class == _DICOMDIR or 'DirectoryRecordSequence' in dataset:
    return InputError('auxiliary-file', 'DICOMDIR')
  if integer(dataset, 'Rows') and integer(dataset, 'Columns'):
    return InputError('header-corrupt', 'Rows and Columns without pixel data')
  if not sop_class:
    return InputError('header-corrupt', 'neither pixel data nor SOP class')
  if sop_class.is_private:
    return InputError('no-pixel-data', 'private')
  if _IMAGE_CLASS.search(sop_class.name):
    return InputError('header-corrupt', 'an image class without pixel data')
  kind = next((kind for start, kind in _KINDS_WITHOUT_PIXELS if sop_class.startswith(start)), 'other')
  return InputError('no-pixel-data', kind)


def frame_numbers(count: int, choice: FrameChoice) -> range:
  """The frames to decode, from 1; of an even number the middle one is the earlier."""
  if choice == 'all':
    return range(1, count + 1)
  number = 1 if choice == 'first' else (count + 1) // 2
  return range(number, number + 1)
