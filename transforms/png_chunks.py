"""The chunks of a PNG: what draws the picture, and what only speaks about it."""

from collections.abc import Iterator
from typing import Final

from transforms.errors import InputError

_SIGNATURE_BYTES: Final = 8
_OVERHEAD_BYTES: Final = 12  # length, type, checksum
_TRANSPARENCY: Final = b'tRNS'
_END: Final = b'IEND'
_ANCILLARY_BIT: Final = 0x20  # of the type's first letter (ISO 15948, 5.4)


def without_ancillary_chunks(data: bytes) -> bytes:
  """A PNG with its critical chunks and transparency alone (ISO 15948, 5.3); the same bytes where that is all.

  libpng quotes some of the others in warnings that cannot be switched off:
  the name of a colour profile is free text. Gamma and chromaticities would
  turn colour to grey by linear light instead of Rec. 601 luma.

  Raises:
    InputError: `decode-failed` where it breaks off: OpenCV allocates what a
      chunk declares, up to 4 GiB, before it finds out.
  """
  pieces = list(_critical(data))
  return data if sum(map(len, pieces)) + _SIGNATURE_BYTES == len(data) else data[:_SIGNATURE_BYTES] + b''.join(pieces)


def _critical(data: bytes) -> Iterator[bytes]:
  position, kind = _SIGNATURE_BYTES, b''
  while kind != _END:
    kind = data[position + 4 : position + 8]
    end = position + _OVERHEAD_BYTES + int.from_bytes(data[position : position + 4], 'big')
    if end > len(data):
      raise InputError('decode-failed', 'PNG breaks off')
    if kind == _TRANSPARENCY or not kind[0] & _ANCILLARY_BIT:
      yield data[position:end]
    position = end
