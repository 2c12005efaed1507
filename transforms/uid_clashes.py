"""Different images under one SOP Instance UID: found by digests alone, and given ids of UID and pixels.

An `image_id` has two halves. Where a UID is that of one image, both come from
the UID; where other pixels came under it, the second half comes from the
pixels. So the first half still tells which images share a UID, and whether an
id is of the second kind can be seen from it and the pixels.

As in `transforms.duplicates`, images travel as packed records, here of 40 bytes.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FLAG: Final = 'uid-clash'
UID_DIGITS: Final = 16  # of an image_id, which come from UID and frame alone
PIXEL_DIGITS: Final = 32  # of a pixel_sha256, which decide

_BUCKETS: Final = 64
_IMAGE: Final = np.dtype(
  [
    ('image', 'S16'),
    ('pixels', 'S16'),
    ('shard', '<u4'),
    ('position', '<u4'),  # of the row in its shard
  ]
)
_POSITION: Final = np.dtype('<u4')


@dataclass(frozen=True, slots=True)
class IdKeys:
  """What there is to say of a row that has pixels and an id."""

  position: int
  image_id: str
  pixel_sha256: str


def clash_id(image_id: str, pixel_sha256: str) -> str:
  """The id of an image whose UID others have too; the same whichever of its two ids it is made of."""
  uid = image_id[:UID_DIGITS]
  own = hashlib.sha256(f'{uid}{pixel_sha256[:PIXEL_DIGITS]}'.encode()).hexdigest()
  return f'{uid}{own[:UID_DIGITS]}'


def pack_ids(shard: int, images: Iterable[IdKeys]) -> Iterator[tuple[int, bytes]]:
  """The records of a shard, packed by a part of the id's digest."""
  buckets: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
  for one in images:
    image = hashlib.sha256(one.image_id.encode()).digest()[:16]
    pixels = bytes.fromhex(one.pixel_sha256)[:16]
    buckets[image[0] % _BUCKETS].append((image, pixels, shard, one.position))
  for bucket, records in sorted(buckets.items()):
    yield bucket, np.array(records, _IMAGE).tobytes()


def find_clashes(packed: Iterable[bytes]) -> tuple[dict[int, bytes], int]:
  """Looks through one bucket.

  Args:
    packed: of `pack_ids`, from all shards, in any order.

  Returns:
    By shard the positions of all rows whose id is that of more than one image,
    for `positions_of`; and how many images these are. Rows with the same pixels
    are of one image.
  """
  images = np.frombuffer(b''.join(packed), _IMAGE)
  images = images[np.lexsort((images['pixels'], images['image']))]
  other = images['pixels'][1:] != images['pixels'][:-1]
  differ = (images['image'][1:] == images['image'][:-1]) & other
  rows = images[np.isin(images['image'], np.unique(images['image'][1:][differ]))]
  return dict(_by_shard(rows)), len(np.unique(rows[['image', 'pixels']]))


def _by_shard(rows: NDArray[np.void]) -> Iterator[tuple[int, bytes]]:
  shards, starts = np.unique(np.sort(rows['shard']), return_index=True)
  positions = rows['position'][np.argsort(rows['shard'], kind='stable')]
  for shard, of_shard in zip(shards, np.split(positions, starts[1:]), strict=False):
    yield int(shard), np.unique(of_shard).astype(_POSITION).tobytes()


def positions_of(packed: Iterable[bytes]) -> list[int]:
  """The rows of a shard whose ids clash, by their positions."""
  found: list[int] = np.unique(np.frombuffer(b''.join(packed), _POSITION)).tolist()
  return found
