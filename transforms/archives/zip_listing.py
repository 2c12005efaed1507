"""The listing of a zip, whatever state it is in."""

import io
import itertools
from dataclasses import replace
from typing import BinaryIO, Final

from transforms.archives.allowance import stream_allowance
from transforms.archives.members import Listing, Member, listing_of
from transforms.archives.readers import read_at
from transforms.archives.zip_content import LOCAL, LOCAL_SIGNATURE
from transforms.archives.zip_directory import End, Entry, find_end, read_entries
from transforms.archives.zip_scan import scan
from transforms.elements import Limits
from transforms.errors import InputError

_SPLIT_SIGNATURE: Final = b'PK\x07\x08'  # of the first of several volumes (APPNOTE 8.5.3)
_HEADER_BYTES: Final = LOCAL.size


def list_zip(file: BinaryIO, limits: Limits) -> Listing:
  """Lists the members of a zip; where its directory is damaged, by their own headers.

  The directory alone is read of an archive that is whole.
  """
  try:
    end = find_end(file)
    members = None if end is None else _from_directory(file, end, limits)
    if members is not None:
      return listing_of(members, limits)
    return listing_of(_scanned(file, limits), limits, _damage(file, end))
  except InputError as error:
    return Listing([], error)


def carried_zip(file: BinaryIO, limits: Limits) -> Listing | None:
  """The zip that stands at the end of a program, or of anything else; None if it is a part of the program."""
  if find_end(file) is None:
    return None
  listing = list_zip(file, limits)
  is_code = any(member.name.startswith('META-INF/') for member in listing.members)
  return None if is_code or listing.problem else listing


def _damage(file: BinaryIO, end: End | None) -> InputError:
  if (end and end.is_split) or read_at(file, 0, 4) == _SPLIT_SIGNATURE:
    return InputError('archive-split', 'one volume of several')
  return InputError('archive-corrupt', 'the central directory is damaged or missing')


def _from_directory(file: BinaryIO, end: End, limits: Limits) -> list[Member] | None:
  """Its members; None where the directory does not hold what it should."""
  if end.is_split or end.shift < 0:
    return None
  entries, count, lowest = [], 0, None
  for entry in read_entries(file, end.start, end.stop):
    count += 1
    lowest = entry if lowest is None or entry.offset < lowest.offset else lowest
    if not entry.is_directory:
      entries.append(entry.member(entry.offset + end.shift))
    if len(entries) > limits.max_members:
      return entries  # which is a bomb
  if count % 0x10000 != end.entries % 0x10000 or not _is_placed(file, end, lowest):
    return None
  return _bounded(_without_overlaps(entries, end.start), file, limits)


def _is_placed(file: BinaryIO, end: End, lowest: Entry | None) -> bool:
  """Whether bytes that stand before the archive are no part of it.

  Else the directory is that of a zip inside this one, which breaks off, or
  bytes were put in between.
  """
  if not end.shift:
    return True
  if read_at(file, 0, 4) == LOCAL_SIGNATURE:
    return False
  return lowest is None or read_at(file, end.shift + lowest.offset, 4) == LOCAL_SIGNATURE


def _scanned(file: BinaryIO, limits: Limits) -> list[Member]:
  allowance = stream_allowance(limits)
  allowance.packed_bytes = file.seek(0, io.SEEK_END)
  return scan(file, allowance, limits.max_members + 1)


def _without_overlaps(members: list[Member], directory_at: int) -> list[Member]:
  """Members that share bytes can inflate a small file without end (Fifield, WOOT 2019): each but the last is refused.

  Where the members together take no more bytes than there are, a lie about
  one place or length gains nothing, and costs only that member.
  """
  if sum(_HEADER_BYTES + member.packed_bytes for member in members) <= directory_at:
    return members
  order = sorted(range(len(members)), key=lambda position: members[position].offset)
  checked = list(members)
  for this, following in itertools.pairwise(order):
    stop = members[this].offset + _HEADER_BYTES + members[this].packed_bytes
    if stop > members[following].offset and not members[this].problem:
      checked[this] = replace(members[this], problem='bomb')
  return checked


def _bounded(members: list[Member], file: BinaryIO, limits: Limits) -> list[Member]:
  """Refuses members beyond what the archive may inflate to in all, in the order of the directory."""
  declared = sum(member.size_bytes for member in members)
  allowed = max(limits.max_inflated_bytes, limits.max_inflation_ratio * file.seek(0, io.SEEK_END))
  if declared <= allowed:
    return members
  checked = []
  for member in members:
    if not member.problem and member.size_bytes > allowed:
      checked.append(replace(member, problem='bomb'))
    else:
      allowed -= 0 if member.problem else member.size_bytes
      checked.append(member)
  return checked
