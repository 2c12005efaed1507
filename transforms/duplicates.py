"""Exact duplicates: equal pixels, of the same file or of another, found by digests alone.

An image is a record of 53 bytes, and records travel packed, by the first bits
of their digest: few elements cross the shuffle, so that what the engine adds
to an element does not matter.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transforms.splits import SPLITS

Records = NDArray[np.void]
CONTENT, PIXELS = 'duplicate-content', 'duplicate-pixels'
FLAGS: Final = (CONTENT, PIXELS)

_BUCKETS: Final = 64
_IMAGE: Final = np.dtype(
  [
    ('pixels', 'S16'),
    ('content', 'S16'),
    ('label', 'S8'),
    ('shard', '<u4'),
    ('position', '<u4'),  # of the row in its shard
    ('source', '<u4'),  # of the frames of one source the same
    ('split', 'u1'),
  ]
)
_MARK: Final = np.dtype([('position', '<u4'), ('flag', 'u1')])


@dataclass(frozen=True, slots=True)
class ImageKeys:
  """What there is to say of a row that has pixels."""

  position: int
  source_id: str
  pixel_sha256: str
  content_sha256: str | None
  split: str | None = None
  label: str | None = None


@dataclass(frozen=True, slots=True)
class DuplicateCounts:
  """How many images are duplicates, and what they spoil.

  Attributes:
    content, pixels: images with that flag.
    groups: of images with equal pixels.
    groups_across_splits, groups_of_different_labels: of these, those that lie
      in more than one split, or have more than one label.
    uid_clashes: images under whose SOP Instance UID another image came (`transforms.uid_clashes`).
  """

  content: int = 0
  pixels: int = 0
  groups: int = 0
  groups_across_splits: int = 0
  groups_of_different_labels: int = 0
  uid_clashes: int = 0

  def __add__(self, other: 'DuplicateCounts') -> 'DuplicateCounts':
    return DuplicateCounts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def pack_images(shard: int, images: Sequence[ImageKeys]) -> Iterator[tuple[int, bytes]]:
  """The records of a shard, packed by a part of the pixels' digest."""
  sources: dict[str, int] = {}
  buckets: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
  for image in images:
    pixels, content = bytes.fromhex(image.pixel_sha256)[:16], bytes.fromhex(image.content_sha256 or '')[:16]
    label = hashlib.sha256(image.label.encode()).digest()[:8] if image.label else b''
    source = sources.setdefault(image.source_id, len(sources))
    split = 1 + SPLITS.index(image.split) if image.split in SPLITS else 0
    buckets[pixels[0] % _BUCKETS].append((pixels, content, label, shard, image.position, source, split))
  for bucket, records in sorted(buckets.items()):
    yield bucket, np.array(records, _IMAGE).tobytes()


def find_duplicates(packed: Iterable[bytes]) -> tuple[dict[int, bytes], DuplicateCounts]:
  """Looks through one bucket.

  Args:
    packed: of `pack_images`, from all shards, in any order.

  Returns:
    By shard the marks of its duplicates, for `flags_of`; and the counts. The
    first of a group, by shard and position, is the original and has no mark.
  """
  images = np.frombuffer(b''.join(packed), _IMAGE)
  marks: dict[int, list[tuple[int, int]]] = defaultdict(list)
  counts = DuplicateCounts()
  for group in _groups(images):
    flags = list(_mark(group))
    for image, flag in zip(group[1:], flags, strict=True):
      marks[int(image['shard'])].append((int(image['position']), FLAGS.index(flag)))
    counts += DuplicateCounts(
      flags.count(CONTENT), flags.count(PIXELS), 1, _differ(group['split']), _differ(group['label'])
    )
  return {shard: np.array(found, _MARK).tobytes() for shard, found in sorted(marks.items())}, counts


def _groups(images: Records) -> Iterator[Records]:
  """Images with equal pixels, two at least, in order; one that an engine hands over twice counts once."""
  ordered = images[np.lexsort((images['position'], images['shard'], images['pixels']))]
  place = ordered[['pixels', 'shard', 'position']]
  ordered = ordered[np.r_[True, place[1:] != place[:-1]]]
  starts = np.flatnonzero(np.r_[True, ordered['pixels'][1:] != ordered['pixels'][:-1]])
  for start, end in zip(starts, np.r_[starts[1:], len(ordered)], strict=True):
    if end - start > 1:
      yield ordered[start:end]


def _mark(group: Records) -> Iterator[str]:
  """A flag for each image after the first; frames of one source share its content, and are no duplicates by it."""
  first_source: dict[bytes, tuple[int, int]] = {}
  for position, image in enumerate(group):
    source = int(image['shard']), int(image['source'])
    known = first_source.setdefault(image['content'], source)
    if position:
      yield CONTENT if known != source else PIXELS


def _differ(values: NDArray[Any]) -> int:
  return int(len(np.unique(values)) > 1)


def flags_of(marks: Iterable[bytes]) -> dict[int, str]:
  """The flag of each duplicate of a shard, by the position of its row."""
  found = np.frombuffer(b''.join(marks), _MARK)
  return {int(mark['position']): FLAGS[int(mark['flag'])] for mark in found}
