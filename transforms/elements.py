"""What the jobs hand from step to step: frozen values, so that they can be keys.

`Frame` alone holds pixels; it never crosses a shuffle.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from transforms.errors import InputError

Pixels = NDArray[np.uint8]
Histogram = NDArray[np.int64]


@dataclass(frozen=True, slots=True, order=True)
class Source:
  """A member of an archive, or a file of a folder: what gets at least one row.

  Names identify patients in real exports: a `Source` leaves the process only
  as a `source_id`, or in the crosswalk.
  """

  archive: str  # name below the inputs, not a path
  member: str  # nested archives: outer member, `!/`, inner member; the archive itself: ''
  occurrence: int = 0  # names repeat


@dataclass(frozen=True, slots=True)
class HeaderFacts:
  """Allow-listed header facts of one image, as found, stripped; None where absent or unusable.

  The first eight identify and are hashed before they leave the process; the
  others have a closed vocabulary or are numbers.
  """

  sop_instance_uid: str | None = None
  series_instance_uid: str | None = None
  study_instance_uid: str | None = None
  patient_id: str | None = None
  accession_number: str | None = None
  sop_class_uid: str | None = None
  study_date: str | None = None  # YYYYMMDD
  scanner: tuple[str, ...] | None = None  # what tells it from others, as of `transforms.dicom.scanner`
  modality: str | None = None
  view_position: str | None = None
  body_part: str | None = None
  manufacturer: str | None = None
  sex: str | None = None  # F, M or O
  age_years: int | None = None  # 90 stands for 90 and above
  rows: int | None = None
  columns: int | None = None
  bits_stored: int | None = None
  number_of_frames: int | None = None
  transfer_syntax: str | None = None  # UID of the standard; for JPEG and PNG `jpeg`, `png`
  photometric: str | None = None
  lossy: bool | None = None  # whether it was ever compressed with loss
  lossy_ratio: float | None = None
  burned_in: bool | None = None  # as the header declares it
  patient_name: str | None = field(default=None, repr=False)  # labels are compared with it; it goes nowhere, not hashed


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
  """One frame of a source: preprocessed pixels, or why there are none.

  Attributes:
    number: from 1; None where the failure is of the whole source.
    facts: as far as they could be read.
    pixels: uint8, (image_size, image_size) or (image_size, image_size, 3).
    original: uint8 grey or RGB at the source's own size, only when asked for.
    error: why `pixels` is None.
    quality: flags of `transforms.quality`, in alphabetic order.
    perceptual_hash: of `transforms.perceptual`, where there are pixels.
    histogram: (256,), how many values of `pixels` have each grey level.
  """

  number: int | None
  facts: HeaderFacts
  pixels: Pixels | None = None
  error: InputError | None = None
  quality: tuple[str, ...] = ()
  original: Pixels | None = None
  perceptual_hash: str | None = None
  histogram: Histogram | None = None


@dataclass(frozen=True, slots=True)
class Limits:
  """What one input may cost (design: bad input is a value). All are options of the jobs."""

  max_member_bytes: int = 512 << 20  # held in memory; archives inside archives are not
  max_spooled_bytes: int = 8 << 30  # a zip inside an archive, as a temporary file
  max_inflation_ratio: int = 1000  # only beyond 16 MiB: small files of one grey compress well
  max_inflated_bytes: int = 1 << 30  # an archive with all inside it; more where its size times the ratio is more
  max_members: int = 500_000
  max_nesting: int = 3
  max_pixels: int = 100_000_000
  max_decode_seconds: int = 60  # of one frame, in a decode process
  max_decode_bytes: int = 1 << 30  # of memory that a decode process takes for one frame
  max_header_elements: int = 1_000_000  # of a DICOM header, those in sequences included
  max_header_depth: int = 32  # sequences inside sequences


DEFAULT_LIMITS: Final = Limits()
