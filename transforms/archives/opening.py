"""A source, or the members of the archive that it turns out to be, on all levels.

What is in memory at a time is one source; archives inside archives are read
as streams, except for zips, whose directory is at their end: they are spooled
to a temporary file without a name.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, cast

from transforms.archives.allowance import Allowance
from transforms.archives.members import NESTED, Listing, Member, at_most, check_ratio, is_archive, number
from transforms.archives.readers import Reader
from transforms.archives.reading import list_members, member_pieces
from transforms.archives.streams import inflated_pieces
from transforms.archives.tar_members import TarWalk, content_pieces
from transforms.archives.zip_listing import carried_zip
from transforms.byte_budget import SMALL_BYTES, ByteBudget, Lease
from transforms.elements import Limits, Source
from transforms.errors import UNREAD, InputError
from transforms.file_names import inflated_name, is_volume, kind_of
from transforms.sniff import HEAD_BYTES, Kind, may_carry_zip, sniff

_SPOOL_IN_MEMORY_BYTES: Final = 8 << 20


class Content:
  """The bytes of a source, or why there are none; `drop` once they are no longer needed."""

  __slots__ = ('_lease', 'data', 'source')

  def __init__(self, source: Source, data: bytes | InputError, lease: Lease | None = None) -> None:
    self.source = source
    # A raised error keeps the frames that it passed, and with them what they had read.
    self.data = InputError(data.code, data.detail) if isinstance(data, InputError) else data
    self._lease = lease

  @property
  def held_bytes(self) -> int:
    """What it takes of the memory."""
    return len(self.data) if isinstance(self.data, bytes) else 0

  def drop(self) -> None:
    """Lets go of the bytes."""
    self.data = b''
    if self._lease:
      self._lease.release()


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
  """A source that is about to be read.

  Attributes:
    name: what it would be called if it stood alone.
    size_bytes: as declared; None where nobody says.
    depth: how many archives it is inside of, 1 for members of the outermost one.
  """

  source: Source
  reader: Reader
  name: str
  size_bytes: int | None
  depth: int


class Walk:
  """One pass through sources.

  Attributes:
    allowance: for the archives inside the current one.
    listed: sources according to the listings; counted apart from those that come out.
  """

  def __init__(self, limits: Limits, budget: ByteBudget, allowance: Allowance) -> None:
    self.allowance = allowance
    self.listed = 0
    self._limits = limits
    self._budget = budget

  def open(self, opened: Opened) -> Iterator[Content | None]:
    """The content of a source or, where it is an archive, of its members instead.

    An archive keeps a row of its own where it is broken, empty, or beyond a
    limit. None stands before content that may have to wait for memory: what
    came before must be on its way to be dropped.
    """
    head = opened.reader.peek(HEAD_BYTES)
    kind = kind_of(head, opened.name)
    if opened.reader.error and not is_archive(sniff(head)):
      yield Content(opened.source, opened.reader.error)
    elif not is_archive(kind):
      yield from self._leaf(opened, kind, head)
    elif opened.depth > self._limits.max_nesting:
      yield Content(opened.source, InputError('archive-nesting', f'deeper than {self._limits.max_nesting}'))
    elif kind == Kind.ZIP:
      yield from self._spooled_zip(opened)
    elif kind == Kind.TAR:
      yield from self._tar(opened, opened.reader)
    else:
      yield from self.stream(opened, kind)

  def stream(self, opened: Opened, kind: Kind) -> Iterator[Content | None]:
    """The members of a compressed tar, or the one file that is compressed."""
    reader = Reader(self._inflated(opened, kind))
    name = inflated_name(opened.name)
    if kind_of(reader.peek(HEAD_BYTES), name) == Kind.TAR:
      yield from self._tar(opened, reader)
    else:
      yield from self.open(Opened(opened.source, reader, name, None, opened.depth + 1))

  def _inflated(self, opened: Opened, kind: Kind) -> Iterator[bytes]:
    with _cause_first(opened.reader):
      yield from inflated_pieces(opened.reader, kind, self.allowance, is_outermost=not opened.depth)
    if opened.depth:
      opened.reader.drain()
    if opened.reader.error:
      raise opened.reader.error

  def _tar(self, opened: Opened, reader: Reader) -> Iterator[Content | None]:
    walk, count = TarWalk(reader), 0
    problem: InputError | None = None
    try:
      for member in at_most(number(walk), self.allowance.members_left):
        count += 1
        self.listed += 1
        content = Reader(_stream_content(reader, member, self._limits))
        yield from self.open(_inner(opened, member, content))
    except InputError as error:
      problem = error
    self.allowance.members_left -= count
    reader.drain()  # what is left is padding, but the checksum of the stream stands behind it
    problem = (
      _unread(reader) or problem or reader.error or walk.problem or (None if count else InputError('archive-empty'))
    )
    yield from self._replaced(opened, problem)

  def _spooled_zip(self, opened: Opened) -> Iterator[Content | None]:
    limit = self._limits.max_spooled_bytes
    if opened.size_bytes is not None and opened.size_bytes > limit:
      yield Content(opened.source, _too_large(opened.size_bytes, limit))
      return
    with tempfile.SpooledTemporaryFile(_SPOOL_IN_MEMORY_BYTES) as spool:
      file = cast(BinaryIO, spool)
      size = sum(file.write(piece) for piece in opened.reader.pieces(limit + 1))
      if size > limit:
        yield Content(opened.source, _too_large(size, limit))
      else:
        yield from self._zip(opened, file, list_members(file, Kind.ZIP, self._member_limits()))

  def _member_limits(self) -> Limits:
    return replace(self._limits, max_members=self.allowance.members_left)

  def _zip(self, opened: Opened, file: BinaryIO, listing: Listing) -> Iterator[Content | None]:
    self.listed += len(listing.members)
    self.allowance.members_left -= len(listing.members)
    for member in listing.members:
      yield from self.open(_inner(opened, member, Reader(self._counted(file, member))))
    yield from self._replaced(opened, opened.reader.error or listing.problem)

  def _counted(self, file: BinaryIO, member: Member) -> Iterator[bytes]:
    self.allowance.take(0)  # once it is used up, nothing more is inflated
    for piece in member_pieces(file, member, self._limits):
      self.allowance.take(len(piece))
      yield piece

  def _replaced(self, opened: Opened, problem: InputError | None) -> Iterator[Content]:
    """The end of an archive whose members stand in its place."""
    if problem:
      yield Content(opened.source, problem)
    else:
      self.listed -= 1

  def _leaf(self, opened: Opened, kind: Kind, head: bytes) -> Iterator[Content | None]:
    limit = self._limits.max_member_bytes
    if opened.size_bytes is not None and opened.size_bytes > limit:
      yield Content(opened.source, _too_large(opened.size_bytes, limit))
      return
    expected = opened.size_bytes
    if expected is None:
      expected = limit if len(opened.reader.peek(SMALL_BYTES + 1)) > SMALL_BYTES else 0
    if expected > SMALL_BYTES:
      yield None
    content = self._read(opened, limit, expected)
    if isinstance(content.data, InputError):
      yield content
    elif may_carry_zip(kind, head) and opened.depth <= self._limits.max_nesting:
      yield from self._perhaps_zip(opened, content, kind)
    else:
      yield _told_by_name(content, kind, opened.name)

  def _read(self, opened: Opened, limit: int, expected: int) -> Content:
    with ExitStack() as undo:
      lease = self._budget.acquire(expected) if expected > SMALL_BYTES else None
      if lease:
        undo.callback(lease.release)  # whatever happens: others may wait for it
      try:
        data = opened.reader.read_rest(limit)
      except InputError as error:
        return Content(opened.source, error)
      if lease:
        lease.shrink(len(data))
      undo.pop_all()
      return Content(opened.source, data, lease)

  def _perhaps_zip(self, opened: Opened, content: Content, kind: Kind) -> Iterator[Content | None]:
    with ExitStack() as undo:
      undo.callback(content.drop)
      listing = carried_zip(io.BytesIO(cast(bytes, content.data)), self._member_limits())
      if listing is None:
        undo.pop_all()
        yield _told_by_name(content, kind, opened.name)
        return
      file = cast(BinaryIO, undo.enter_context(tempfile.SpooledTemporaryFile(_SPOOL_IN_MEMORY_BYTES)))
      file.write(cast(bytes, content.data))
      content.drop()
      yield from self._zip(opened, file, listing)


def _too_large(size: int, limit: int) -> InputError:
  return InputError('too-large', f'{size} bytes, at most {limit} are read')


def _inner(opened: Opened, member: Member, reader: Reader) -> Opened:
  outer = opened.source
  name = NESTED.join(part for part in (outer.member, member.name) if part)
  source = Source(outer.archive, name, (outer.occurrence << 32) + member.occurrence)
  return Opened(source, reader, member.name, member.size_bytes, opened.depth + 1)


def _stream_content(reader: Reader, member: Member, limits: Limits) -> Iterator[bytes]:
  if member.problem:
    raise InputError(member.problem)
  check_ratio(member, limits)
  with _cause_first(reader):
    yield from content_pieces(reader.pieces(member.packed_bytes), member)


@contextmanager
def _cause_first(reader: Reader) -> Iterator[None]:
  """What breaks off since its source was not read to the end is not damaged: it says so."""
  try:
    yield
  except InputError as error:
    raise (_unread(reader) or error) from None


def _unread(reader: Reader) -> InputError | None:
  return reader.error if reader.error and reader.error.code in UNREAD else None


def _told_by_name(content: Content, kind: Kind, name: str) -> Content:
  """Refuses what the content does not tell, but the name does."""
  if isinstance(content.data, bytes) and kind in (Kind.UNKNOWN, Kind.AUXILIARY):
    is_known = sniff(content.data[:HEAD_BYTES]) == kind
    if kind == Kind.UNKNOWN and is_volume(name):
      return _refused(content, InputError('archive-split', 'one volume of several'))
    if not is_known:
      return _refused(content, InputError('auxiliary-file'))
  return content


def _refused(content: Content, error: InputError) -> Content:
  content.drop()
  return Content(content.source, error)
