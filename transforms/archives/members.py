"""What a listing gives: references to the members of an archive, each with a name that no other has."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from transforms.elements import Limits
from transforms.errors import InputError
from transforms.sniff import Kind

RANGED: Final = frozenset({Kind.ZIP, Kind.TAR})
STREAMED: Final = frozenset({Kind.GZIP, Kind.BZIP2, Kind.XZ, Kind.ZSTD})

NESTED: Final = '!/'  # stands between the name of an inner archive and those of its members
AS_IS: Final = -1  # the method of members that are not compressed one by one
RATIO_APPLIES_FROM_BYTES: Final = 16 << 20


class Readable(Protocol):
  """What can be read in order."""

  def read(self, size: int, /) -> bytes:
    """At most `size` bytes; none only at the end."""
    ...


@dataclass(frozen=True, slots=True, order=True)
class Member:
  """Where one member of an archive is, and how to read it.

  Attributes:
    name: as listed, made `printable`.
    occurrence: from 0, over members of the same name.
    offset: of the local header (zip) or of the content (tar), in bytes.
    packed_bytes: length of the content in the archive; of a loose file the number of its version.
    size_bytes: length of the content once inflated, as declared.
    method: of compression: zip's number, or `AS_IS`.
    crc32: of the inflated content; None where the archive has none.
    problem: reason code if listing already tells that it cannot be read.
    stretches: of a sparse file: offset and length of each stretch that is there;
      all else is zeros.
  """

  name: str
  occurrence: int
  offset: int
  packed_bytes: int
  size_bytes: int
  method: int = AS_IS
  crc32: int | None = None
  problem: str = ''
  stretches: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
  """The members of an archive, and why the archive itself needs a row, if it does.

  Attributes:
    members: all that could be found, whatever else is wrong.
    problem: the archive is broken, empty, or beyond a limit.
  """

  members: list[Member]
  problem: InputError | None = None


def is_archive(kind: Kind) -> bool:
  """Whether a source of this kind is replaced by its members."""
  return kind in RANGED or kind in STREAMED


_AMBIGUOUS: Final = re.compile(r'\\(?=\\|/|x[0-9a-f]{2}|[\udc80-\udcff]|$)')
_UNDECODABLE: Final = re.compile('[\udc80-\udcff]')
_EMPTY_NAME: Final = '\\'  # no other name ends in a single backslash


def printable(name: str) -> str:
  r"""A name as valid text; different names stay different.

  Bytes that cannot be decoded, which Python keeps as lone surrogates, are
  written as `\xNN`, and `!/`, which stands between inner and outer names, as
  `!\/`. A backslash is doubled only where it could be taken for one of these.
  """
  if name.isascii() and name and '\\' not in name and NESTED not in name:
    return name
  doubled = _AMBIGUOUS.sub(r'\\\\', name)
  shown = _UNDECODABLE.sub(lambda found: rf'\x{ord(found[0]) - 0xDC00:02x}', doubled)
  return shown.replace(NESTED, r'!\/') or _EMPTY_NAME


def number(members: Iterable[Member]) -> Iterator[Member]:
  """Makes names printable, then counts equal ones."""
  seen: Counter[str] = Counter()
  for member in members:
    name = printable(member.name)
    occurrence = seen[name]
    seen[name] = occurrence + 1
    yield member if name is member.name and not occurrence else replace(member, name=name, occurrence=occurrence)


def at_most(members: Iterable[Member], limit: int) -> Iterator[Member]:
  """The same members.

  Raises:
    InputError: `bomb`, after `limit` of them.
  """
  for count, member in enumerate(members, 1):
    if count > limit:
      raise InputError('bomb', f'more than {limit} members')
    yield member


def listing_of(members: Iterable[Member], limits: Limits, problem: InputError | None = None) -> Listing:
  """Numbers what was found; an archive with too many members is not opened at all."""
  try:
    listed = list(at_most(number(members), limits.max_members))
  except InputError as error:
    return Listing([], error)
  return Listing(listed, problem or (None if listed else InputError('archive-empty')))


def check_ratio(member: Member, limits: Limits) -> None:
  """Looks at what a member declares.

  Raises:
    InputError: `bomb` if it is large and inflates too much.
  """
  inflation = member.size_bytes / max(1, member.packed_bytes)
  if member.size_bytes > RATIO_APPLIES_FROM_BYTES and inflation > limits.max_inflation_ratio:
    raise InputError('bomb', f'inflates {inflation:.0f} times')
