"""Compressed tars and compressed files: read once, from end to end, however they end."""

from collections.abc import Iterator
from typing import Final

from transforms.archives.allowance import Allowance
from transforms.archives.inflaters import STREAM_INFLATERS, Inflater, inflate
from transforms.archives.members import Readable
from transforms.errors import InputError
from transforms.sniff import Kind, sniff

_READ_BYTES: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 16  # what is inflated in the call that meets the damage is lost
_LONGEST_MAGIC: Final = 6


def inflated_pieces(file: Readable, kind: Kind, allowance: Allowance, *, is_outermost: bool) -> Iterator[bytes]:
  """What a compressed stream holds; several streams one behind the other count as one, what else follows is ignored.

  Args:
    file: the stream.
    kind: how it is compressed.
    allowance: for what comes out.
    is_outermost: whether the allowance grows with what is read here.

  Raises:
    InputError: `archive-corrupt` where it is damaged or breaks off, after all
      that could be inflated; `bomb`.
  """
  data = file.read(_READ_BYTES)
  while data:
    inflater = STREAM_INFLATERS[kind]()
    while not inflater.eof:
      if is_outermost:
        allowance.packed_bytes += len(data)
      inflated = _inflate(inflater, data, kind)
      if inflated:
        yield inflated
      allowance.take(len(inflated))
      data = b''
      if inflater.needs_input and not inflater.eof:
        data = file.read(_READ_BYTES)
        if not data:
          raise InputError('archive-corrupt', f'the {kind.value} stream breaks off')
    data = _next_stream(inflater.unused_data, file, kind)


def _inflate(inflater: Inflater, data: bytes, kind: Kind) -> bytes:
  try:
    return inflate(inflater, data, _PIECE_BYTES)
  except InputError as error:
    code = 'archive-corrupt' if error.code == 'read-failed' else error.code
    raise InputError(code, f'the {kind.value} stream is damaged') from error


def _next_stream(unused: bytes, file: Readable, kind: Kind) -> bytes:
  """The beginning of a further stream, behind padding; b'' where there is none."""
  data = unused
  while True:
    data = data.lstrip(b'\0')
    if len(data) >= _LONGEST_MAGIC:
      break
    more = file.read(_READ_BYTES)
    if not more:
      break
    data += more
  return data if sniff(data) == kind else b''
