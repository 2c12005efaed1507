"""A small synthetic export: what a PACS drops in an evening, and a list of all that is in it.

`radbeam demo` runs on it, and the end-to-end tests compare every row with what
was planted: images in the variety of several vendors, files that are no
images, one broken thing of each kind, and names wherever exports carry them.
The seed decides every byte.
"""

import csv
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from pipelines.synthetic_archives import tar_bytes, tar_gz_bytes, write_zip, zip_bytes
from pipelines.synthetic_broken import broken_files, damaged_zip, disc_files, truncated_zip
from pipelines.synthetic_plan import (
  ACCESSION_PREFIX,
  FILE_MARK,
  PATIENT_PREFIX,
  SURNAME,
  UID_ROOT,
  PlannedImage,
  Planted,
  PlantedSource,
  SyntheticOptions,
  make_dicom,
  make_raster,
  plan_images,
)

__all__ = ['PLANTED', 'PlantedSource', 'SyntheticExport', 'SyntheticOptions', 'write_synthetic_export']

# Whoever finds one of these in what a run leaves behind has found a leak.
PLANTED: Final = (SURNAME, PATIENT_PREFIX, ACCESSION_PREFIX, FILE_MARK, UID_ROOT)

_FOLDER: Final = 'VIEWER/'  # a folder is no member
_LABEL_COLUMNS: Final = ('sop_instance_uid', 'member', 'label', 'patient')


@dataclass(frozen=True, slots=True)
class SyntheticExport:
  """What was written, and all that is in it.

  Attributes:
    inbox: folder of archives and loose files.
    labels: CSV of labels, by SOP Instance UID for DICOM and by member for
      others, whose patient it names as well.
    manifest: every source once.
  """

  inbox: pathlib.Path
  labels: pathlib.Path
  manifest: tuple[PlantedSource, ...]


def write_synthetic_export(directory: pathlib.Path, options: SyntheticOptions) -> SyntheticExport:
  """Writes `inbox/` and `labels.csv` into a directory, which is made if it is missing.

  Raises:
    FileExistsError: if there is an inbox already: its files would count as well.
  """
  inbox, labels = directory / 'inbox', directory / 'labels.csv'
  inbox.mkdir(parents=True)
  images = plan_images(options)
  manifest = (
    *_write_studies(inbox, options, images),
    *_write_teaching_files(inbox, options, images),
    *_write_outer(inbox, options, images),
    *_write_loose(inbox, options, images),
    *_write_broken_archives(inbox, options),
  )
  _write_labels(labels, manifest)
  return SyntheticExport(inbox, labels, manifest)


def _write_studies(
  inbox: pathlib.Path, options: SyntheticOptions, images: Iterable[PlannedImage]
) -> Iterable[PlantedSource]:
  def make(image: PlannedImage) -> Planted:
    return make_dicom(options, image)

  planted = [*disc_files(options), *_make(make, images, 'studies')]
  write_zip(inbox / 'cr-dx-studies.zip', [(_FOLDER, b''), *_members(planted)])
  return _number(planted, 'cr-dx-studies.zip')


def _write_teaching_files(
  inbox: pathlib.Path, options: SyntheticOptions, images: Iterable[PlannedImage]
) -> Iterable[PlantedSource]:
  def make(image: PlannedImage) -> Planted:
    return make_raster(options, image, '')

  planted = _make(make, images, 'teaching')
  (inbox / 'teaching-files.tar.gz').write_bytes(tar_gz_bytes(_members(planted)))
  return _number(planted, 'teaching-files.tar.gz')


def _write_outer(
  inbox: pathlib.Path, options: SyntheticOptions, images: Iterable[PlannedImage]
) -> Iterable[PlantedSource]:
  """An archive of archives: DICOM in a zip, JPEG and PNG in a tar."""
  planted = _make(_make_mixed(options, ''), images, 'outer')
  dicom, raster = _split(planted)
  inner = [('monday/inner.zip', zip_bytes(_members(dicom))), ('tuesday/inner.tar', tar_bytes(_members(raster)))]
  write_zip(inbox / 'outer.zip', inner)
  return (*_number(dicom, 'outer.zip', 'monday/inner.zip!/'), *_number(raster, 'outer.zip', 'tuesday/inner.tar!/'))


def _write_loose(
  inbox: pathlib.Path, options: SyntheticOptions, images: Iterable[PlannedImage]
) -> Iterable[PlantedSource]:
  planted = [*_make(_make_mixed(options, 'loose/'), images, 'loose'), *broken_files(options, 'broken/')]
  for source, data in planted:
    path = inbox / source.member
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return _number(planted, '')


def _write_broken_archives(inbox: pathlib.Path, options: SyntheticOptions) -> Iterator[PlantedSource]:
  members, data = truncated_zip(options, 'broken/truncated.zip')
  (inbox / 'broken/truncated.zip').write_bytes(data)
  yield from members
  members, data = damaged_zip(options)
  (inbox / 'broken/damaged.zip').write_bytes(data)
  for member in members:
    yield replace(member, archive='broken/damaged.zip')


def _make_mixed(options: SyntheticOptions, folder: str) -> Callable[[PlannedImage], Planted]:
  """DICOM of patients of even number, JPEG and PNG of the others."""

  def make(image: PlannedImage) -> Planted:
    if image.patient % 2:
      return make_raster(options, image, folder)
    source, data = make_dicom(options, image)
    return replace(source, member=folder + source.member), data

  return make


def _make(make: Callable[[PlannedImage], Planted], images: Iterable[PlannedImage], container: str) -> list[Planted]:
  """Draws and encodes, on all cores, in order."""
  with ThreadPoolExecutor(os.cpu_count()) as threads:
    return list(threads.map(make, [image for image in images if image.container == container]))


def _split(planted: Iterable[Planted]) -> tuple[list[Planted], list[Planted]]:
  """DICOM, and the others."""
  dicom: list[Planted] = []
  raster: list[Planted] = []
  for source, data in planted:
    (dicom if source.sop_instance_uid else raster).append((source, data))
  return dicom, raster


def _members(planted: Iterable[Planted]) -> Iterator[tuple[str, bytes]]:
  return ((source.member, data) for source, data in planted)


def _number(planted: Iterable[Planted], archive: str, prefix: str = '') -> Iterator[PlantedSource]:
  """Sources as they are found in their archive: members of one name are counted."""
  seen: Counter[str] = Counter()
  for source, _ in planted:
    yield replace(source, archive=archive, member=prefix + source.member, occurrence=seen[source.member])
    seen[source.member] += 1


def _write_labels(path: pathlib.Path, manifest: Iterable[PlantedSource]) -> None:
  with path.open('w', newline='', encoding='utf-8') as file:
    rows = csv.writer(file, lineterminator='\n')
    rows.writerow(_LABEL_COLUMNS)
    rows.writerows(_label_row(source) for source in manifest if source.label)


def _label_row(source: PlantedSource) -> tuple[str | None, ...]:
  if source.sop_instance_uid:
    return source.sop_instance_uid, None, source.label, None
  return None, source.member, source.label, source.patient
