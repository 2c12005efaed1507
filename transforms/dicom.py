"""DICOM files: parsing what hostile archives hold, and the header facts that may leave it.

pydicom parses. It is tolerant and talkative: its warnings quote values, so
names; they are switched off here, for the process, once (a filter per call
would not be safe in threads).
"""

import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final, Literal

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import data_element_generator, read_preamble
from pydicom.multival import MultiValue
from pydicom.uid import (
  UID,
  DeflatedExplicitVRLittleEndian,
  ExplicitVRBigEndian,
  ExplicitVRLittleEndian,
  ImplicitVRLittleEndian,
)

from transforms import vocabularies
from transforms.elements import HeaderFacts, Limits
from transforms.errors import InputError

FrameChoice = Literal['first', 'middle', 'all']

config.settings.reading_validation_mode = config.IGNORE
logging.getLogger('pydicom').setLevel(logging.CRITICAL + 1)
warnings.filterwarnings('ignore', module='pydicom')

# What pydicom, the codecs below it and numpy raise on hostile bytes: they
# promise no class of their own. Caught around their calls only; around our own
# code these are bugs and must end the run.
THIRD_PARTY_ERRORS: Final = (
  ArithmeticError,
  AssertionError,
  AttributeError,
  BufferError,
  BytesLengthException,
  EOFError,
  InvalidDicomError,
  LookupError,
  MemoryError,
  OSError,
  RuntimeError,  # RecursionError: sequences nested a thousand deep
  SystemError,
  TypeError,
  ValueError,
  struct.error,
  zlib.error,
)

PIXEL_KEYWORDS: Final = ('PixelData', 'FloatPixelData', 'DoubleFloatPixelData')
_SEQUENCE_DELIMITER: Final = b'\xfe\xff\xdd\xe0\x00\x00\x00\x00'
_FREE_INFLATION_BYTES: Final = 16 << 20
_INFLATE_STEP_BYTES: Final = 1 << 20
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_DICOMDIR: Final = '1.2.840.10008.1.3.10'

_KINDS_WITHOUT_PIXELS: Final = (  # by start of the SOP Class UID, PS3.4 B.5; the longer first
  ('1.2.840.10008.5.1.4.1.1.88.59', 'KO'),
  ('1.2.840.10008.5.1.4.1.1.88.', 'SR'),
  ('1.2.840.10008.5.1.4.1.1.11.', 'PR'),
  ('1.2.840.10008.5.1.4.1.1.104.1', 'PDF'),
  ('1.2.840.10008.5.1.4.1.1.104.2', 'CDA'),
  ('1.2.840.10008.5.1.4.1.1.104.', '3D model'),
  ('1.2.840.10008.5.1.4.1.1.481.3', 'RTSTRUCT'),
  ('1.2.840.10008.5.1.4.1.1.481.', 'RT'),
  ('1.2.840.10008.5.1.4.1.1.9.', 'waveform'),
  ('1.2.840.10008.5.1.4.1.1.66.5', 'surface'),
  ('1.2.840.10008.5.1.4.1.1.66', 'raw data or registration'),
  ('1.2.840.10008.5.1.4.1.1.4.2', 'spectroscopy'),
  ('1.2.840.10008.5.1.4.', 'other'),
)


@contextmanager
def third_party(code: str, detail: str) -> Iterator[None]:
  """Turns what a library raises on hostile bytes into an `InputError`, without the library's own words."""
  try:
    yield
  except THIRD_PARTY_ERRORS as error:
    raise InputError(code, f'{detail} ({type(error).__name__})') from None


def read_dicom(data: bytes, limits: Limits) -> Dataset:
  """Parses a DICOM file, with or without preamble and file meta information (PS3.10 7.1).

  A stream of compressed frames that breaks off keeps the frames before.

  Raises:
    InputError: `header-corrupt`; `bomb` for a deflated data set beyond the limits.
  """
  with third_party('header-corrupt', 'cannot be parsed'):
    _refuse_deflate_bomb(data, limits)
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    if not len(dataset):
      # An element of undefined length without its end: pydicom gives back nothing at all.
      dataset = pydicom.dcmread(BytesIO(data + _SEQUENCE_DELIMITER), force=True)
  if not len(dataset):
    raise InputError('header-corrupt', 'no element could be read')
  return dataset


def _refuse_deflate_bomb(data: bytes, limits: Limits) -> None:
  """Inflates a deflated data set without keeping it (PS3.5 A.5): pydicom would, without a limit."""
  stream = BytesIO(data)
  read_preamble(stream, force=True)
  meta = data_element_generator(stream, is_implicit_VR=False, is_little_endian=True, stop_when=_is_after_meta)
  declared = [element.value or b'' for element in meta if element.tag == _TRANSFER_SYNTAX_UID]
  if DeflatedExplicitVRLittleEndian.encode() not in [uid.rstrip(b'\0 ') for uid in declared]:
    return
  allowed = min(limits.max_member_bytes, max(_FREE_INFLATION_BYTES, limits.max_inflation_ratio * len(data)))
  if _inflated_bytes(data[stream.tell() :], allowed) > allowed:
    raise InputError('bomb', f'deflated data set of more than {allowed} bytes')


def _is_after_meta(tag: Any, _vr: str | None, _length: int) -> bool:
  return tag.group != 2


def _inflated_bytes(deflated: bytes, enough: int) -> int:
  inflater = zlib.decompressobj(-zlib.MAX_WBITS)
  total = 0
  while deflated and not inflater.eof and total <= enough:
    total += len(inflater.decompress(deflated, _INFLATE_STEP_BYTES))
    deflated = inflater.unconsumed_tail
  return total


def first_value(dataset: Dataset, keyword: str) -> Any:
  """First value of an element; None where it is absent, empty or unreadable."""
  try:
    value = dataset.get(keyword)  # converts lazily: this is where a broken value shows
    if isinstance(value, MultiValue | list | tuple):
      value = value[0] if len(value) else None
  except THIRD_PARTY_ERRORS:
    return None
  return None if value is None or value == '' else value


def text(dataset: Dataset, keyword: str) -> str | None:
  """First value as stripped text; None where there is none."""
  value = first_value(dataset, keyword)
  if isinstance(value, bytes):  # VR UN
    value = value.decode('ascii', 'replace')
  return str(value).strip(' \0\t\r\n') or None if isinstance(value, str | int) else None


def number(dataset: Dataset, keyword: str) -> float | None:
  """First value as a number; None where there is none that is finite."""
  value = first_value(dataset, keyword)
  try:
    converted = float(value)
  except (TypeError, ValueError, OverflowError):
    return None
  return converted if abs(converted) < float('inf') else None


def integer(dataset: Dataset, keyword: str) -> int | None:
  """First value as a whole number; None where there is none."""
  value = number(dataset, keyword)
  return int(value) if value is not None and value == int(value) else None


def item(dataset: Dataset | None, keyword: str, index: int = 0) -> Dataset | None:
  """One item of a sequence, from 0; None where there is none."""
  if dataset is None:
    return None
  try:
    sequence = dataset.get(keyword)
    found = sequence[index] if sequence is not None and index < len(sequence) else None
  except THIRD_PARTY_ERRORS:
    return None
  return found if isinstance(found, Dataset) else None


def header_facts(dataset: Dataset) -> HeaderFacts:
  """The allow-listed facts, through closed vocabularies where the header has free text."""
  study_date = text(dataset, 'StudyDate')
  uid = transfer_syntax_uid(dataset)
  return HeaderFacts(
    sop_instance_uid=text(dataset, 'SOPInstanceUID'),
    series_instance_uid=text(dataset, 'SeriesInstanceUID'),
    study_instance_uid=text(dataset, 'StudyInstanceUID'),
    patient_id=text(dataset, 'PatientID'),
    accession_number=text(dataset, 'AccessionNumber'),
    sop_class_uid=_sop_class(dataset),
    study_date=study_date if vocabularies.parse_date(study_date) else None,
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
    transfer_syntax=uid if is_standard_transfer_syntax(uid) else None,
    photometric=vocabularies.photometric(text(dataset, 'PhotometricInterpretation')),
  )


def _sop_class(dataset: Dataset) -> str | None:
  uid = text(dataset, 'SOPClassUID') or text(dataset.file_meta, 'MediaStorageSOPClassUID')
  return uid if uid and re.fullmatch(r'[0-9.]{1,64}', uid) else None


def transfer_syntax_uid(dataset: Dataset) -> UID:
  """What the file meta information says; where it is missing, the encoding that the parser found."""
  declared = text(dataset.file_meta, 'TransferSyntaxUID')
  if declared:
    return UID(declared)
  implicit, little_endian = dataset.original_encoding
  if not little_endian:
    return ExplicitVRBigEndian
  return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def is_standard_transfer_syntax(uid: UID) -> bool:
  """Whether PS3.6 A lists it: any other text may hold anything."""
  return uid.type == 'Transfer Syntax'


def require_pixels(dataset: Dataset) -> str:
  """The keyword of the one element that holds the pixels.

  Raises:
    InputError: `auxiliary-file` for a DICOMDIR, `no-pixel-data` for objects
      that have none, `header-corrupt` for an image without.
  """
  present = [keyword for keyword in PIXEL_KEYWORDS if keyword in dataset]
  if len(present) == 1:
    return present[0]
  if present:
    raise InputError('header-corrupt', ' and '.join(present))
  sop_class = _sop_class(dataset) or ''
  if sop_class == _DICOMDIR or 'DirectoryRecordSequence' in dataset:
    raise InputError('auxiliary-file', 'DICOMDIR')
  if integer(dataset, 'Rows') and integer(dataset, 'Columns'):
    raise InputError('header-corrupt', 'Rows and Columns without pixel data')
  kind = next((kind for start, kind in _KINDS_WITHOUT_PIXELS if sop_class.startswith(start)), None)
  if kind is None:
    raise InputError('header-corrupt', 'neither pixel data nor a known SOP class')
  raise InputError('no-pixel-data', kind)


def frame_numbers(count: int, choice: FrameChoice) -> range:
  """The frames to decode, from 1; of an even number the middle one is the earlier."""
  if choice == 'all':
    return range(1, count + 1)
  number = 1 if choice == 'first' else (count + 1) // 2
  return range(number, number + 1)
