"""Members of a tar in order, from a file or a stream; behind damage the next header is sought.

Not by `tarfile`, which takes a damaged header for the end of the archive.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

from transforms.archives.inflaters import PIECE_BYTES
from transforms.archives.members import Listing, Member, listing_of
from transforms.archives.readers import FileForward, Forward, Reader, file_pieces
from transforms.archives.tar_headers import (
  BLOCK,
  HeaderError,
  Stretches,
  TarHeader,
  old_stretches,
  parse_header,
  pax_stretches,
  read_records,
  whole_number,
)
from transforms.elements import Limits
from transforms.errors import InputError

_REGULAR: Final = frozenset({b'0', b'\0', b'7', b'S'})
_LINKS: Final = frozenset({b'1', b'2', b'3', b'4', b'6'})
_NO_CONTENT: Final = _LINKS | {b'5'}  # whatever their size says
_NO_MEMBERS: Final = frozenset({b'5', b'D', b'V', b'N'})  # directories, the label of a volume
_CONTINUED: Final = b'M'
_LONG_NAME: Final = b'L'
_EXTENSIONS: Final = frozenset({b'L', b'K', b'x', b'X', b'g'})
_MOST_EXTENSION_BYTES: Final = 4 << 20
_SEARCH_BYTES: Final = 1 << 16
_MAGIC_AT: Final = 257
_ZEROS: Final = bytes(1 << 20)


class TarWalk:
  """Iterates over the members; directories are none.

  The caller may read a member's content from the same source, as far as it
  likes, before it asks for the next one.

  Attributes:
    problem: what was found wrong with the archive so far.
  """

  def __init__(self, source: Forward) -> None:
    self._source = source
    self._records: list[tuple[str, str]] = []
    self._long_name: str | None = None
    self.problem: InputError | None = None

  def __iter__(self) -> Iterator[Member]:
    while True:
      block = self._source.read(BLOCK)
      header = parse_header(block)
      if header is None:
        if not self._go_on(block):
          return
        continue
      member = self._member(header)
      if member is None:
        continue
      yield member
      if not self._source.skip_to(_padded(member.offset, member.packed_bytes)):
        self._damaged()
        return

  def _damaged(self, detail: str = 'breaks off') -> None:
    self.problem = self.problem or InputError('archive-corrupt', detail)

  def _go_on(self, block: bytes) -> bool:
    """Behind what is no header: whether there may be more. The archive ends with blocks of zeros, or with the file."""
    zeros = 0
    while len(block) == BLOCK and not block.strip(b'\0'):
      zeros += 1
      block = self._source.read(BLOCK)
    if not block.strip(b'\0'):
      return False
    if parse_header(block):  # archives that were put one behind the other
      self._source.unread(block)
      return True
    if zeros < 2:
      self._damaged('a header is damaged')
    if not self._search(block):
      return False
    self._damaged('a header is damaged')
    self._records, self._long_name = [], None
    return True

  def _search(self, window: bytes) -> bool:
    """Goes to the next header, at a multiple of 512 bytes from here or, bytes being lost, wherever its magic stands."""
    while True:
      more = self._source.read(_SEARCH_BYTES)
      window += more
      at = _find_header(window)
      if at is not None:
        self._source.unread(window[at:])
        return True
      if not more:
        return False
      window = window[len(window) - BLOCK - len(window) % BLOCK :]

  def _member(self, header: TarHeader) -> Member | None:
    """What a header stands for; None where it only extends the next one, or stands for nothing."""
    try:
      if header.kind in _EXTENSIONS:
        self._extend(header)
        return None
      return self._described(header)
    except HeaderError:
      self._damaged('a header is damaged')
    except StopIteration:
      self._damaged()
    self._records, self._long_name = [], None
    return None

  def _extend(self, header: TarHeader) -> None:
    if header.size_bytes > _MOST_EXTENSION_BYTES:
      raise HeaderError('longer than any name')
    data = self._source.read(header.size_bytes)
    self._source.skip_to(self._source.position + -header.size_bytes % BLOCK)
    if len(data) < header.size_bytes:
      self._damaged()
    elif header.kind == _LONG_NAME:
      self._long_name = data.partition(b'\0')[0].decode('utf-8', 'surrogateescape')
    elif header.kind in b'xX':
      self._records = read_records(data)

  def _described(self, header: TarHeader) -> Member | None:
    records, long_name = self._records, self._long_name
    self._records, self._long_name = [], None
    values = dict(records)
    name = values.get('GNU.sparse.name') or values.get('path') or long_name or header.name
    packed = whole_number(values['size']) if 'size' in values else header.size_bytes
    if header.kind in _NO_CONTENT:
      packed = 0
    if header.kind == b'S':
      size, stretches, used = old_stretches(header, self._blocks())
    else:
      size, stretches, used = pax_stretches(records, self._blocks())
    offset, packed = self._source.position, packed - used
    if packed < 0 or sum(length for _, length in stretches or ()) > packed:
      raise HeaderError('the map of a sparse file does not fit its content')
    if header.kind in _NO_MEMBERS or (name.endswith('/') and not packed and header.kind in _REGULAR):
      self._source.skip_to(_padded(offset, packed))
      return None
    size = packed if stretches is None else size
    return Member(name, 0, offset, packed, size, problem=_problem(header), stretches=stretches)

  def _blocks(self) -> Iterator[bytes]:
    while len(block := self._source.read(BLOCK)) == BLOCK:
      yield block


def _padded(offset: int, packed_bytes: int) -> int:
  """Where the block ends in which content ends; counted from its own beginning, since bytes before it may be lost."""
  return offset + packed_bytes + -packed_bytes % BLOCK


def _problem(header: TarHeader) -> str:
  if header.kind in _LINKS:
    return 'link'
  return 'archive-split' if header.kind == _CONTINUED else ''


def _find_header(window: bytes) -> int | None:
  """Where the first header of a window is."""
  places = set(range(0, len(window) - BLOCK + 1, BLOCK))
  at = window.find(b'ustar')
  while at >= 0:
    places.add(at - _MAGIC_AT)
    at = window.find(b'ustar', at + 1)
  return next((place for place in sorted(places) if place >= 0 and parse_header(window[place : place + BLOCK])), None)


def list_tar(file: BinaryIO, limits: Limits) -> Listing:
  """Lists the members of a tar; content is skipped, not read."""
  walk = TarWalk(FileForward(file))
  listing = listing_of(walk, limits)
  is_bomb = listing.problem is not None and listing.problem.code == 'bomb'
  return listing if is_bomb else Listing(listing.members, walk.problem or listing.problem)


def tar_pieces(file: BinaryIO, member: Member) -> Iterator[bytes]:
  """The content of a member.

  Raises:
    InputError: `read-failed` if the file ends before it.
  """
  file.seek(member.offset)
  return content_pieces(file_pieces(file, member.packed_bytes, PIECE_BYTES), member)


def content_pieces(packed: Iterator[bytes], member: Member) -> Iterator[bytes]:
  """Content as it stands in the archive to content as it was, holes filled with zeros.

  Raises:
    InputError: `read-failed` if there is less than was declared.
  """
  length = 0
  for piece in packed if member.stretches is None else _fill_holes(packed, member.stretches, member.size_bytes):
    length += len(piece)
    yield piece
  if length < member.size_bytes:
    raise InputError('read-failed', f'{length} of {member.size_bytes} bytes are there')


def _fill_holes(packed: Iterator[bytes], stretches: Stretches, size_bytes: int) -> Iterator[bytes]:
  reader, at = Reader(packed), 0
  for offset, length in stretches:
    yield from _zeros(offset - at)
    start = reader.position
    yield from reader.pieces(length)
    if reader.position - start < length:
      return
    at = offset + length
  yield from _zeros(size_bytes - at)


def _zeros(size: int) -> Iterator[bytes]:
  while size > 0:
    yield _ZEROS[:size]
    size -= len(_ZEROS)
