"""Who is in the synthetic export, with which images, and where each of them goes."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

from pipelines.synthetic_dicom import TRANSFER_SYNTAXES, Encoding, Header, encode_dicom
from pipelines.synthetic_pictures import Picture, draw_chest

Container = Literal['studies', 'teaching', 'outer', 'loose']
Label = Literal['NORMAL', 'PNEUMONIA']

SURNAME: Final = 'ZZPLANTED'
PATIENT_PREFIX: Final = 'ZZPID'
ACCESSION_PREFIX: Final = 'ZZACC'
FILE_MARK: Final = 'ZZFILE'
UID_ROOT: Final = '2.25.9027'
FEWEST_PATIENTS: Final = 20  # the pattern below, once

# By patient number, modulo 20. Every fourth patient has a second image; where
# it goes elsewhere, one patient is in two archives, once as JPEG and as DICOM.
_CONTAINERS: Final[tuple[Container, ...]] = (
  *('studies',) * 12,
  *('teaching',) * 4,
  *('outer',) * 2,
  *('loose',) * 2,
)
_ELSEWHERE: Final[dict[int, Container]] = {8: 'outer', 12: 'studies'}
_REPEATS_NAME: Final = 4  # the patient whose two images have one name
_UID_DIGITS: Final = 33  # with the root below 2**128, as 2.25 demands (PS3.5 B.2)
_SMALLEST_PX: Final = 48  # JPEG 2000 at its five levels needs 32 in both directions
_SYLLABLES: Final = ('BA', 'CE', 'DI', 'FO', 'GU', 'HA', 'KE', 'LI', 'MO', 'NU')
_FIRST_NAMES: Final = ('ADA', 'BORIS', 'CLARA', 'DMITRI', 'EVA', 'FELIX', 'GRETA')


@dataclass(frozen=True, slots=True)
class SyntheticOptions:
  """How large the export is.

  Attributes:
    patients: every fourth has two images.
    seed: another seed, another export; the same one, the same bytes.
    prevalence: share of patients with pneumonia.
    height_px: of the pictures, which vary by a tenth; they are narrower than high.
  """

  patients: int = 360
  seed: int = 7
  prevalence: float = 0.5
  height_px: int = 512

  def __post_init__(self) -> None:
    if self.patients < FEWEST_PATIENTS:
      raise ValueError(f'patients is {self.patients}; it must be at least {FEWEST_PATIENTS} to fill every archive')
    if not 0 < self.prevalence < 1:
      raise ValueError(f'prevalence is {self.prevalence}; it must lie between 0 and 1')
    if self.height_px < _SMALLEST_PX:
      raise ValueError(f'height_px is {self.height_px}; it must be at least {_SMALLEST_PX}')


@dataclass(frozen=True, slots=True)
class PlantedSource:
  """One source of the export, and what must become of it.

  Attributes:
    member: name inside the archive, nested ones joined by `!/`; of a file that
      lies loose, its path below the inbox; empty where the archive itself is
      broken.
    archive: name below the inbox; empty for what lies loose.
    occurrence: from 0, over members of one name.
    status: `image`, or that of the reason.
    reason: code of `transforms.errors`; None for images.
    label: None where it is no image, and for an image that nobody labelled.
    patient: as `labels.csv` or the DICOM header names the patient.
  """

  member: str
  archive: str = ''
  occurrence: int = 0
  status: Literal['image', 'skipped', 'rejected'] = 'image'
  reason: str | None = None
  label: Label | None = None
  patient: str | None = None
  frames: int = 1
  sop_instance_uid: str | None = None


Planted = tuple[PlantedSource, bytes]


@dataclass(frozen=True, slots=True)
class PlannedImage:
  """An image before it is drawn; `repetition` counts the images of its patient."""

  number: int
  patient: int
  repetition: int
  label: Label
  container: Container
  frames: int = 1


def plan_images(options: SyntheticOptions) -> list[PlannedImage]:
  """Decides labels and places; a patient's images share their label. The last image has two frames."""
  labels = _draw_labels(options)
  places = [(patient, repetition) for patient in range(options.patients) for repetition in range(_images_of(patient))]
  images = [
    PlannedImage(number, patient, repetition, labels[patient], _container(patient, repetition))
    for number, (patient, repetition) in enumerate(places)
  ]
  return [*images, PlannedImage(len(images), 1, 1, labels[1], 'studies', frames=2)]


def _draw_labels(options: SyntheticOptions) -> list[Label]:
  ill = max(1, round(options.prevalence * options.patients))
  labels: list[Label] = ['PNEUMONIA' if n < ill else 'NORMAL' for n in range(options.patients)]
  return [labels[n] for n in np.random.default_rng((options.seed, 0)).permutation(options.patients)]


def _images_of(patient: int) -> int:
  return 2 if patient % 4 == 0 else 1


def _container(patient: int, repetition: int) -> Container:
  place = patient % len(_CONTAINERS)
  return _ELSEWHERE.get(place, _CONTAINERS[place]) if repetition else _CONTAINERS[place]


def patient_id(patient: int) -> str:
  """The Patient ID of a patient, in headers and in `labels.csv`."""
  return f'{PATIENT_PREFIX}-{patient:04d}'


def make_uid(seed: int, kind: str, number: int) -> str:
  """A UID of the seed: a hash under the root for UUIDs, with digits that a search can find."""
  digest = hashlib.sha256(f'{seed}/{kind}/{number}'.encode()).hexdigest()
  return f'{UID_ROOT}{int(digest, 16) % 10**_UID_DIGITS:0{_UID_DIGITS}d}'


def draw(options: SyntheticOptions, image: PlannedImage) -> list[Picture]:
  """Draws the frames of an image, all of one size."""
  rng = np.random.default_rng((options.seed, 1, image.number))
  height, width = (int(options.height_px * side * rng.uniform(0.9, 1.1)) for side in (1, 0.82))
  return [draw_chest(rng, image.label == 'PNEUMONIA', height, width) for _ in range(image.frames)]


def make_header(seed: int, number: int, patient: int, repetition: int) -> Header:
  """An invented header for image `number`; of two images of a patient, some share the study."""
  study = 10 * patient + _study(patient, repetition)
  return Header(
    patient_id=patient_id(patient),
    patient_name='^'.join(_name(patient)),
    accession_number=f'{ACCESSION_PREFIX}{study:06d}',
    study_instance_uid=make_uid(seed, 'study', study),
    series_instance_uid=make_uid(seed, 'series', number),
    sop_instance_uid=make_uid(seed, 'image', number),
    modality='CR' if number % 3 else 'DX',
    age_years=18 + patient * 37 % 76,
    sex='F' if patient % 2 else 'M',
    view_position='AP' if number % 5 == 0 else 'PA',
  )


def _study(patient: int, repetition: int) -> int:
  return repetition if patient % 8 else 0


def _name(patient: int) -> tuple[str, str]:
  surname = SURNAME + ''.join(_SYLLABLES[int(digit)] for digit in str(patient))
  return surname, _FIRST_NAMES[patient % len(_FIRST_NAMES)]


def make_dicom(options: SyntheticOptions, image: PlannedImage) -> Planted:
  """An image as a DICOM file, named as exports for viewers on disc name it."""
  header = make_header(options.seed, image.number, image.patient, image.repetition)
  data = encode_dicom(draw(options, image), header, choose_encoding(image.number))
  source = PlantedSource(
    _dicom_name(image),
    label=image.label,
    patient=header.patient_id,
    frames=image.frames,
    sop_instance_uid=header.sop_instance_uid,
  )
  return source, data


def _dicom_name(image: PlannedImage) -> str:
  repetition = 0 if image.patient == _REPEATS_NAME else image.repetition
  study = _study(image.patient, repetition)
  return f'{"_".join(_name(image.patient))}/ST{study:03d}/IM{repetition - study:03d}'


def choose_encoding(number: int) -> Encoding:
  """Takes turns, with periods that do not meet: everything occurs, and nothing goes with the label."""
  syntax = TRANSFER_SYNTAXES[number % len(TRANSFER_SYNTAXES)]
  return Encoding(
    transfer_syntax=syntax,
    bits_stored=8 if syntax.name.startswith('JPEG Baseline') else (12, 12, 12, 16)[number // 2 % 4],
    photometric='MONOCHROME1' if number % 5 in (1, 3) else 'MONOCHROME2',
    grey=('window', 'rescale', 'plain')[number // 3 % 3],
  )


def make_raster(options: SyntheticOptions, image: PlannedImage, folder: str) -> Planted:
  """An image as JPEG, every third as PNG, in a folder named by its label; the file name carries the patient."""
  extension = 'png' if image.number % 3 == 0 else 'jpeg'
  name = f'person{image.patient:04d}_{FILE_MARK}_{image.repetition + 1}.{extension}'
  source = PlantedSource(f'{folder}{image.label}/{name}', label=image.label, patient=patient_id(image.patient))
  return source, encode_raster(draw(options, image)[0], extension)


def encode_raster(picture: Picture, extension: str) -> bytes:
  """A picture as 8-bit JPEG or PNG."""
  encoded, data = cv2.imencode(f'.{extension}', np.rint(picture * 255).astype(np.uint8))
  if not encoded:
    raise RuntimeError(f'OpenCV could not encode {extension} of {picture.shape} pixels')
  return data.tobytes()
