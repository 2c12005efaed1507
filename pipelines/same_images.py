"""Which rows of several runs are of one image, where their SOP Instance UID alone cannot tell.

As a rule a UID is that of one image, and a later row of it is the image sent
again. Some exports give one UID to images of several patients. So two rows of
a UID are told apart by what else they hold: patient and pixels. Rows that
lack either, or whose pixels were made for other models, are told apart by
what is left, and if nothing is left they are of one image.

  pixels alike                            one image: sent again, its header corrected
  pixels differ, both clashed in a run    two images
  pixels differ, patients differ          two images
  pixels differ, otherwise                one image: sent again, corrected
  pixels cannot be compared               one image if ids or patients are the same
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.uid_clashes import PIXEL_DIGITS, UID_DIGITS, clash_id

_CHUNK_ROWS: Final = 8192


def uids_of(ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
  """The parts of image ids that come from UID and frame alone."""
  return pc.utf8_slice_codeunits(ids, 0, UID_DIGITS)


def pixels_of(digests: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
  """The parts of `pixel_sha256` that decide: half of them, since millions are held."""
  return pc.utf8_slice_codeunits(digests, 0, PIXEL_DIGITS)


def doubtful(rows: pa.Table, order: pa.Array) -> pa.Array:
  """Which of some positions hold images whose UID is that of several ids or patients, among these: a mask.

  Args:
    rows: `image_id`, and `patient_id` where it is known.
    order: positions; the images of a UID stand together.
  """
  uids = uids_of(rows['image_id'].combine_chunks()).take(order)
  again = pc.indices_nonzero(pc.fill_null(pc.equal(uids[1:], uids[:-1]), False))  # few, where most images came once
  pairs = order[:-1].take(again), order[1:].take(again)
  other = pc.or_(_differ(_known(rows, 'image_id'), *pairs), _differ(_known(rows, 'patient_id'), *pairs))
  found = uids.take(again.filter(other)).unique()
  return pc.is_in(uids, found) if len(found) else pa.repeat(False, len(order))


def _differ(values: pa.Array, one: pa.Array, other: pa.Array) -> pa.Array:
  """Where the values at some positions differ from those at others; null from all but null."""
  return pc.not_equal(pc.fill_null(values.take(one), ''), pc.fill_null(values.take(other), ''))


def _known(rows: pa.Table, name: str) -> pa.Array:
  """A column, of nulls where an earlier version, or a caller, did not have it."""
  return rows[name].combine_chunks() if name in rows.column_names else pa.nulls(len(rows), pa.string())


class _Image(NamedTuple):
  """A row of an image; `pixels` and `preprocess` are null together."""

  image_id: str
  patient: str | None
  pixels: str | None
  preprocess: str | None

  @property
  def is_of_clash(self) -> bool:
    """Whether its id says that other pixels came under its UID."""
    return self.pixels is not None and self.image_id == clash_id(self.image_id, self.pixels)


def _by_uid(rows: pa.Table) -> Iterator[list[_Image]]:
  """The rows of each UID; a part of them at a time are Python's."""
  names = ('image_id', 'patient_id', 'pixel_sha256', 'preprocess_digest')
  columns = [_known(rows, name) for name in names]
  parts = (
    zip(*(column.slice(start, _CHUNK_ROWS).to_pylist() for column in columns), strict=True)
    for start in range(0, len(rows), _CHUNK_ROWS)
  )
  images = (_image(*values) for values in itertools.chain.from_iterable(parts))
  for _, of_uid in itertools.groupby(images, lambda image: image.image_id[:UID_DIGITS]):
    yield list(of_uid)


def _image(image_id: str, patient: str | None, pixels: str | None, preprocess: str | None) -> _Image:
  is_known = pixels is not None and preprocess is not None
  return _Image(image_id, patient, pixels if is_known else None, preprocess if is_known else None)


@dataclass(slots=True)
class _Seen:
  """The rows of a UID so far, of one preprocessing, or of those without pixels.

  Attributes:
    ids, pixels, patients: of all.
    unclashed: patients of those whose pixels have not clashed.
  """

  ids: set[str] = field(default_factory=set)
  pixels: set[str | None] = field(default_factory=set)
  patients: set[str | None] = field(default_factory=set)
  unclashed: set[str | None] = field(default_factory=set)

  def add(self, image: _Image, clashed: bool) -> None:
    self.ids.add(image.image_id)
    self.pixels.add(image.pixels)
    self.patients.add(image.patient)
    if not clashed:
      self.unclashed.add(image.patient)

  def has(self, image: _Image, clashed: bool) -> bool:
    """Whether a row with comparable pixels is of the same image."""
    patients = self.unclashed if clashed else self.patients
    is_corrected = image.patient in patients or None in patients or (image.patient is None and bool(patients))
    return image.pixels in self.pixels or is_corrected

  def may_have(self, image: _Image) -> bool:
    """The same of a row whose pixels cannot be compared."""
    return image.image_id in self.ids or (image.patient is not None and image.patient in self.patients)


def standing(rows: pa.Table) -> pa.Array:
  """Which rows stand: a mask.

  Args:
    rows: of `doubtful` images, those of a UID together, and of these those first that stand before others:
      `image_id`, `patient_id`, `pixel_sha256` (its first digits will do), `preprocess_digest`.
  """
  return pa.array(itertools.chain.from_iterable(map(_standing, _by_uid(rows))), pa.bool_())


def _standing(images: Sequence[_Image]) -> Iterator[bool]:
  """Of the rows of a UID those that no row before them is of the same image as."""
  clashes = _clashes(images)
  seen: defaultdict[str | None, _Seen] = defaultdict(_Seen)
  for image in images:
    clashed = (image.pixels, image.preprocess) in clashes
    yield not any(
      of.has(image, clashed) if image.pixels and image.preprocess == preprocess else of.may_have(image)
      for preprocess, of in seen.items()
    )
    seen[image.preprocess].add(image, clashed)


def _clashes(images: Iterable[_Image]) -> set[tuple[str | None, str | None]]:
  """The pixels that have clashed in some run: in another run they may have come alone, under the id of the UID."""
  return {(image.pixels, image.preprocess) for image in images if image.is_of_clash}


def split(rows: pa.Table) -> pa.Array:
  """Which rows share a UID with another image, whether they stand or not: a mask; `rows` as for `standing`."""
  return pa.array(itertools.chain.from_iterable([_is_split(of)] * len(of) for of in _by_uid(rows)), pa.bool_())


def _is_split(images: Sequence[_Image]) -> bool:
  patients = {image.patient for image in images if image.patient}
  pixels = {image.pixels for image in images if image.pixels}
  return len(pixels) > 1 and (len(patients) > 1 or bool(_clashes(images)))
