"""How much an archive may inflate to, all archives inside it together."""

from dataclasses import dataclass
from typing import Final

from transforms.archives.members import RATIO_APPLIES_FROM_BYTES
from transforms.elements import Limits
from transforms.errors import InputError

LEAST_MEMBERS: Final = 1000
LEAST_BYTES_OF_MEMBER: Final = 8  # a header alone takes more, however well it is compressed with its neighbours


@dataclass(slots=True)
class Allowance:
  """Counts what comes out of decompressors against what went into the first of them.

  Attributes:
    floor_bytes: always allowed, whatever the ratio.
    ratio: of inflated to packed bytes that is allowed beyond that.
    packed_bytes: of the outermost archive, or of its member; what was read so
      far of a stream.
    inflated_bytes: on all levels.
    members_left: how many more inner members there may be.
  """

  floor_bytes: int
  ratio: int
  members_left: int
  packed_bytes: int = 0
  inflated_bytes: int = 0

  def take(self, inflated_bytes: int) -> None:
    """Counts.

    Raises:
      InputError: `bomb`, beyond what is allowed.
    """
    self.inflated_bytes += inflated_bytes
    allowed = max(self.floor_bytes, self.ratio * self.packed_bytes)
    if self.inflated_bytes > allowed:
      raise InputError('bomb', f'inflates beyond {allowed} bytes, with all that is inside')


def stream_allowance(limits: Limits) -> Allowance:
  """For a compressed tar, whose packed bytes are counted as they are read."""
  return Allowance(limits.max_inflated_bytes, limits.max_inflation_ratio, limits.max_members)


def member_allowance(packed_bytes: int, archive_bytes: int, limits: Limits) -> Allowance:
  """A member's share of what its archive may inflate to, by its size: members are read apart, by many workers."""
  share = limits.max_inflated_bytes * packed_bytes // max(1, archive_bytes)
  floor = min(limits.max_inflated_bytes, max(RATIO_APPLIES_FROM_BYTES, share))
  members = min(limits.max_members, LEAST_MEMBERS + packed_bytes // LEAST_BYTES_OF_MEMBER)
  return Allowance(floor, limits.max_inflation_ratio, members, packed_bytes)
