"""One row per image or reason: the columns that the index and the predictions share."""

import hashlib
from dataclasses import dataclass, fields
from typing import Any, Final

from transforms.elements import Frame, Pixels, Source
from transforms.identifiers import Pseudonyms


@dataclass(frozen=True, slots=True)
class ImageRow:
  """What may leave the process about one frame of a source: ids, codes, closed vocabularies, numbers.

  Attributes:
    status: `ok` where there are pixels, else `rejected` or `skipped`.
    reason: a code of `transforms.errors.CODES`; None where status is `ok`.
    rows, columns: of the source, in pixels.
    lossy_ratio: size before lossy compression to size after.
    content_sha256: of the member as it came; pixel_sha256: of the preprocessed pixels.
    perceptual_hash: of the preprocessed pixels, 64 bits, hexadecimal.
  """

  image_id: str | None
  source_id: str
  study_id: str | None
  series_id: str | None
  patient_id: str | None
  scanner_id: str | None
  frame: int | None
  status: str
  reason: str | None
  detail: str | None
  modality: str | None
  view_position: str | None
  body_part: str | None
  manufacturer: str | None
  sex: str | None
  age_years: int | None
  rows: int | None
  columns: int | None
  bits_stored: int | None
  transfer_syntax: str | None
  photometric: str | None
  lossy_ratio: float | None
  quality: tuple[str, ...]
  content_sha256: str | None
  pixel_sha256: str | None
  perceptual_hash: str | None


_COLUMNS: Final = tuple(field.name for field in fields(ImageRow))


def columns_of(row: ImageRow) -> dict[str, Any]:
  """A row by the names of its columns; `dataclasses.asdict` copies deeply, at ten times the cost."""
  return {name: getattr(row, name) for name in _COLUMNS}


@dataclass(frozen=True, slots=True)
class CrosswalkRow:
  """From an id back to what it stands for: identifies, and is written only where the site asks for it."""

  image_id: str | None
  source_id: str
  archive: str
  member: str
  frame: int | None
  sop_instance_uid: str | None
  series_instance_uid: str | None
  study_instance_uid: str | None
  patient_id: str | None


def image_row(source: Source, content_sha256: str | None, frame: Frame, pseudonyms: Pseudonyms) -> ImageRow:
  """The row of a frame; its patient is DICOM's."""
  facts = frame.facts
  return ImageRow(
    image_id=pseudonyms.image(facts, frame.number, content_sha256),
    source_id=pseudonyms.source(source),
    study_id=pseudonyms.optional('study', facts.study_instance_uid),
    series_id=pseudonyms.optional('series', facts.series_instance_uid),
    patient_id=pseudonyms.optional('patient', facts.patient_id),
    scanner_id=pseudonyms.scanner(facts),
    frame=frame.number,
    status=frame.error.status if frame.error else 'ok',
    reason=frame.error.code if frame.error else None,
    detail=(frame.error.detail or None) if frame.error else None,
    modality=facts.modality,
    view_position=facts.view_position,
    body_part=facts.body_part,
    manufacturer=facts.manufacturer,
    sex=facts.sex,
    age_years=facts.age_years,
    rows=facts.rows,
    columns=facts.columns,
    bits_stored=facts.bits_stored,
    transfer_syntax=facts.transfer_syntax,
    photometric=facts.photometric,
    lossy_ratio=facts.lossy_ratio,
    quality=frame.quality,
    content_sha256=content_sha256,
    pixel_sha256=None if frame.pixels is None else pixel_sha256(frame.pixels),
    perceptual_hash=None if frame.pixels is None else frame.perceptual_hash,
  )


def crosswalk_row(source: Source, frame: Frame, row: ImageRow) -> CrosswalkRow:
  """The line that leads from a row's ids back to the study."""
  facts = frame.facts
  return CrosswalkRow(
    image_id=row.image_id,
    source_id=row.source_id,
    archive=source.archive,
    member=source.member,
    frame=frame.number,
    sop_instance_uid=facts.sop_instance_uid,
    series_instance_uid=facts.series_instance_uid,
    study_instance_uid=facts.study_instance_uid,
    patient_id=facts.patient_id,
  )


def pixel_sha256(pixels: Pixels) -> str:
  """SHA-256 of the raw pixels, row-major, hexadecimal."""
  return hashlib.sha256(pixels.data).hexdigest()
