"""Decompressors of one interface, that of `bz2.BZ2Decompressor`: bounded in what one call gives, and in memory."""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import zstandard

from transforms.errors import InputError
from transforms.sniff import Kind

PIECE_BYTES: Final = 8 << 20
MAX_DICTIONARY_BYTES: Final = 256 << 20  # of LZMA; `xz -9` needs 64 MiB
_MAX_ZSTD_WINDOW_BYTES: Final = 128 << 20  # what the `zstd` command accepts as well
_ZSTD_FEED_BYTES: Final = 256  # a block of 4 bytes may hold 128 KiB: 8 MiB at most come of one call, or are lost by it

# What the decompressors raise on damaged input. bz2 uses OSError: nothing that touches a file is called inside.
_DAMAGE: Final = (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, OSError, ValueError, struct.error)


class Inflater(Protocol):
  """A decompressor of one stream."""

  @property
  def eof(self) -> bool:
    """The end of the stream was seen."""
    ...

  @property
  def needs_input(self) -> bool:
    """Nothing comes without more data."""
    ...

  @property
  def unused_data(self) -> bytes:
    """What was given beyond the end of the stream."""
    ...

  def decompress(self, data: bytes, max_length: int) -> bytes:
    """Takes all of `data`, gives about `max_length` bytes at most."""
    ...


class _Deflate:
  def __init__(self, window_bits: int) -> None:
    self._inner = zlib.decompressobj(window_bits)
    self.needs_input = True

  @property
  def eof(self) -> bool:
    return self._inner.eof

  @property
  def unused_data(self) -> bytes:
    return self._inner.unused_data

  def decompress(self, data: bytes, max_length: int) -> bytes:
    inflated = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
    self.needs_input = not (self._inner.eof or self._inner.unconsumed_tail or len(inflated) == max_length)
    return inflated


class _Zstd:
  def __init__(self) -> None:
    self._inner = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES).decompressobj()
    self._waiting = b''
    self._error: zstandard.ZstdError | None = None

  @property
  def eof(self) -> bool:
    return self._inner.eof

  @property
  def needs_input(self) -> bool:
    return not (self._waiting or self._error or self.eof)

  @property
  def unused_data(self) -> bytes:
    return self._inner.unused_data + self._waiting

  def decompress(self, data: bytes, max_length: int) -> bytes:
    if self._error:
      raise self._error
    waiting, pieces, length, at = self._waiting + data, [], 0, 0
    try:
      while at < len(waiting) and length < max_length and not self._inner.eof:
        pieces.append(self._inner.decompress(waiting[at : at + _ZSTD_FEED_BYTES]))
        length += len(pieces[-1])
        at += _ZSTD_FEED_BYTES
    except zstandard.ZstdError as error:
      self._error = error  # what came before is good
    self._waiting = waiting[at:]
    return b''.join(pieces)


class _ZipLzma:
  """Raw LZMA behind its properties (APPNOTE 5.8)."""

  _HEADER: Final = struct.Struct('<2xHBL')  # after a version: size of the properties, properties, size of dictionary

  def __init__(self) -> None:
    self._inner: lzma.LZMADecompressor | None = None
    self._header = b''

  @property
  def eof(self) -> bool:
    return self._inner is not None and self._inner.eof

  @property
  def needs_input(self) -> bool:
    return self._inner is None or self._inner.needs_input

  @property
  def unused_data(self) -> bytes:
    return self._inner.unused_data if self._inner else b''

  def decompress(self, data: bytes, max_length: int) -> bytes:
    if self._inner is None:
      self._header += data
      if len(self._header) < self._HEADER.size:
        return b''
      data = self._header[self._HEADER.size :]
      self._inner = self._open(self._header[: self._HEADER.size])
    return self._inner.decompress(data, max_length)

  def _open(self, header: bytes) -> lzma.LZMADecompressor:
    length, properties, dictionary_bytes = self._HEADER.unpack(header)
    if length != 5 or properties >= 9 * 5 * 5:
      raise lzma.LZMAError('no properties of LZMA')
    if dictionary_bytes > MAX_DICTIONARY_BYTES:
      raise InputError('bomb', f'needs a dictionary of {dictionary_bytes} bytes')
    filters = {
      'id': lzma.FILTER_LZMA1,
      'dict_size': max(dictionary_bytes, 4096),
      'lc': properties % 9,
      'lp': properties // 9 % 5,
      'pb': properties // 45,
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters])


def _xz() -> Inflater:
  return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY_BYTES + (16 << 20))


# APPNOTE 4.4.5. Deflate64 (9) is left out: the one maintained and permissive decoder does less than 1 MB/s.
ZIP_INFLATERS: Final[dict[int, Callable[[], Inflater]]] = {
  8: lambda: _Deflate(-zlib.MAX_WBITS),
  12: bz2.BZ2Decompressor,
  14: _ZipLzma,
  93: _Zstd,
  95: _xz,
}
STREAM_INFLATERS: Final[dict[Kind, Callable[[], Inflater]]] = {
  Kind.GZIP: lambda: _Deflate(zlib.MAX_WBITS | 16),
  Kind.BZIP2: bz2.BZ2Decompressor,
  Kind.XZ: _xz,
  Kind.ZSTD: _Zstd,
}


def inflate(inflater: Inflater, data: bytes, max_length: int = PIECE_BYTES) -> bytes:
  """One step of a decompressor.

  Raises:
    InputError: `read-failed` for damaged bytes, `bomb` for a dictionary beyond all measure.
  """
  try:
    return inflater.decompress(data, max_length)
  except _DAMAGE as error:
    raise InputError('read-failed', 'the compressed bytes are damaged') from error


def inflate_pieces(packed: Iterable[bytes], inflater: Inflater) -> Iterator[bytes]:
  """What comes of packed pieces, up to the end of the stream or of the pieces."""
  for piece in packed:
    data = piece
    while True:
      inflated = inflate(inflater, data)
      if inflated:
        yield inflated
      if inflater.eof:
        return
      if inflater.needs_input:
        break
      data = b''
