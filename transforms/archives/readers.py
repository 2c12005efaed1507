"""Reading in order, with a look ahead: over pieces that come as they are inflated, or over a file."""

import io
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol

from transforms.errors import InputError

LARGEST_OFFSET: Final = 1 << 43  # 8 TiB; file systems refuse to go to places that no file of theirs can have
_FILE_PIECE_BYTES: Final = 1 << 20


class Forward(Protocol):
  """A source that is read in order."""

  @property
  def position(self) -> int:
    """Of the next byte."""
    ...

  def read(self, size: int, /) -> bytes:
    """Exactly `size` bytes, fewer only at the end."""
    ...

  def unread(self, data: bytes) -> None:
    """Takes back what was read last."""
    ...

  def skip_to(self, position: int) -> bool:
    """Goes on to a position; False if the end comes before."""
    ...


class FileForward:
  """A file in order: what is skipped is not read."""

  def __init__(self, file: BinaryIO) -> None:
    self._file = file
    self.size_bytes = file.seek(0, io.SEEK_END)
    self.position = 0
    file.seek(0)

  def read(self, size: int, /) -> bytes:
    """Exactly `size` bytes, fewer only at the end."""
    data = self._file.read(size)
    self.position += len(data)
    return data

  def unread(self, data: bytes) -> None:
    """Takes back what was read last."""
    self._seek(self.position - len(data))

  def skip_to(self, position: int) -> bool:
    """Goes on to a position; False if the end comes before."""
    self._seek(min(position, self.size_bytes))
    return position <= self.size_bytes

  def _seek(self, position: int) -> None:
    if position != self.position:
      self._file.seek(position)
      self.position = position


class Reader:
  """Pieces in order.

  Attributes:
    position: of the next byte.
    error: why the pieces ended before their time; what came before is read as ever.
  """

  def __init__(self, pieces: Iterator[bytes]) -> None:
    self.position = 0
    self.error: InputError | None = None
    self._pieces = pieces
    self._piece = b''
    self._at = 0

  def _fill(self) -> bool:
    """Whether there is a byte to read."""
    while self._at == len(self._piece):
      try:
        piece = next(self._pieces, None)
      except InputError as error:
        self.error, piece = error, None
      if piece is None:
        self._pieces = iter(())
        return False
      self._piece, self._at = piece, 0
    return True

  def read(self, size: int, /) -> bytes:
    """Exactly `size` bytes, fewer only at the end."""
    taken = []
    while size > 0 and self._fill():
      taken.append(self._take(size))
      size -= len(taken[-1])
    return taken[0] if len(taken) == 1 else b''.join(taken)

  def _take(self, size: int) -> bytes:
    """At most `size` bytes of the current piece."""
    whole = not self._at and size >= len(self._piece)
    taken = self._piece if whole else self._piece[self._at : self._at + size]
    if whole:
      self._piece, self._at = b'', 0  # or large content would be held twice
    else:
      self._at += len(taken)
    self.position += len(taken)
    return taken

  def unread(self, data: bytes) -> None:
    """Takes back what was read last."""
    if data:
      self._piece, self._at = data + self._piece[self._at :], 0
      self.position -= len(data)

  def peek(self, size: int) -> bytes:
    """The next `size` bytes, fewer only at the end; they stay to be read."""
    if self._fill() and len(self._piece) - self._at < size:
      self.unread(self.read(size))
    return self._piece[self._at : self._at + size]

  def pieces(self, size: int) -> Iterator[bytes]:
    """The next `size` bytes as they come, fewer only at the end."""
    while size > 0 and self._fill():
      piece = self._take(size)
      size -= len(piece)
      yield piece

  def skip_to(self, position: int) -> bool:
    """Goes on to a position; False if the end comes before."""
    for _ in self.pieces(position - self.position):
      pass
    return self.position >= position

  def drain(self) -> None:
    """Goes on to the end, so that checksums are looked at."""
    while self._fill():
      self._take(len(self._piece))

  def read_rest(self, limit: int) -> bytes:
    """All that is left.

    Raises:
      InputError: `too-large` beyond `limit` bytes, or the reader's own error.
    """
    data = self._joined(limit)
    if self.error:
      raise self.error
    if len(data) > limit:
      raise InputError('too-large', f'more than {limit} bytes')
    return data

  def _joined(self, limit: int) -> bytes:
    """Up to one byte more than `limit`; a buffer that grows in place, so that no second copy is made."""
    pieces = self.pieces(limit + 1)
    first = next(pieces, b'')
    second = next(pieces, None)
    if second is None:
      return first
    whole = io.BytesIO()
    whole.write(first)
    del first
    while second is not None:
      whole.write(second)
      second = next(pieces, None)
    return whole.getvalue()


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
  """Bytes from an offset that need not make sense: what lies outside of the file is empty."""
  if not 0 <= offset <= LARGEST_OFFSET:
    return b''
  file.seek(offset)
  return file.read(size)


def file_pieces(file: BinaryIO, size: int, piece_bytes: int = _FILE_PIECE_BYTES) -> Iterator[bytes]:
  """The next `size` bytes of a file, fewer only at its end."""
  while size > 0:
    piece = file.read(min(size, piece_bytes))
    if not piece:
      return
    size -= len(piece)
    yield piece
