"""What comes of an archive in memory, member by member."""

import io

from transforms.archives.allowance import stream_allowance
from transforms.archives.members import RANGED, Member
from transforms.archives.opening import Opened, Walk
from transforms.archives.readers import Reader
from transforms.archives.reading import list_members, member_pieces
from transforms.byte_budget import ByteBudget
from transforms.elements import Limits, Source
from transforms.errors import InputError
from transforms.sniff import Kind, sniff

Outcome = tuple[str, int, bytes | str]


def read_or_code(file: io.BytesIO, member: Member, limits: Limits) -> bytes | str:
  try:
    return Reader(member_pieces(file, member, limits)).read_rest(limits.max_member_bytes)
  except InputError as error:
    return error.code


def read_ranged(data: bytes, limits: Limits, kind: Kind) -> list[Outcome]:
  file = io.BytesIO(data)
  listing = list_members(file, kind, limits)
  outcomes: list[Outcome] = [
    (member.name, member.occurrence, read_or_code(file, member, limits)) for member in listing.members
  ]
  return outcomes + ([('', -1, listing.problem.code)] if listing.problem else [])


def read_stream(data: bytes, limits: Limits, kind: Kind) -> list[Outcome]:
  """As the outermost archive; archives inside are opened."""
  walk = Walk(limits, ByteBudget(1 << 30), stream_allowance(limits))
  walk.listed += 1
  opened = Opened(Source('x', ''), Reader(iter([data])), 'x', len(data), 0)
  contents = [content for content in walk.stream(opened, kind) if content]
  sources = [content.source for content in contents]
  assert len(set(sources)) == len(sources) == walk.listed
  outcomes = [(content.source, content.data) for content in contents]
  return [(s.member, s.occurrence, d.code if isinstance(d, InputError) else d) for s, d in outcomes]


def read_all(data: bytes, limits: Limits | None = None) -> list[Outcome]:
  """Name, occurrence, and content or reason code of every member; in the end the code of the archive, if it has one."""
  kind = sniff(data)
  return (read_ranged if kind in RANGED else read_stream)(data, limits or Limits(), kind)


def codes(data: bytes, limits: Limits | None = None) -> list[bytes | str]:
  return [outcome for _, _, outcome in read_all(data, limits)]


def names(data: bytes) -> list[str]:
  return [name for name, _, _ in read_all(data)]
