"""Headers of a tar: ustar and GNU (POSIX.1-1988, GNU tar manual), the records of pax (POSIX.1-2001), sparse maps."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

BLOCK: Final = 512
Stretches = tuple[tuple[int, int], ...]

_MOST_STRETCHES: Final = 100_000
_RECORD: Final = re.compile(rb'(\d{1,9}) ')
_NAME: Final = slice(0, 100)
_SIZE: Final = slice(124, 136)
_CHECKSUM: Final = slice(148, 156)
_TYPE: Final = slice(156, 157)
_MAGIC: Final = slice(257, 265)
_PREFIX: Final = slice(345, 500)
_GNU_STRETCHES: Final = slice(386, 482)
_GNU_IS_EXTENDED: Final = 482
_GNU_REAL_SIZE: Final = slice(483, 495)
_EXTENSION_STRETCHES: Final = slice(0, 504)
_EXTENSION_IS_EXTENDED: Final = 504


class HeaderError(ValueError):
  """A header, or what extends it, makes no sense."""


@dataclass(frozen=True, slots=True)
class TarHeader:
  """One block.

  Attributes:
    kind: the type flag.
    size_bytes: of what follows in the archive.
  """

  name: str
  kind: bytes
  size_bytes: int
  block: bytes


def parse_header(block: bytes) -> TarHeader | None:
  """Reads a block of 512 bytes; None if its checksum says that it is no header."""
  if len(block) != BLOCK or not _checksum_fits(block):
    return None
  try:
    size = read_number(block[_SIZE])
  except HeaderError:
    return None
  name = _text(block[_NAME])
  if block[_MAGIC][:6] == b'ustar\0' and block[_PREFIX].strip(b'\0'):
    name = f'{_text(block[_PREFIX])}/{name}'
  return TarHeader(name, block[_TYPE], size, block)


def _checksum_fits(block: bytes) -> bool:
  """The sum of all bytes, the field itself taken for blanks; some writers summed signed ones."""
  field = block[_CHECKSUM].strip(b'\0 ')
  if not re.fullmatch(rb'[0-7]{1,8}', field):
    return False
  declared = int(field, 8)
  summed = block[: _CHECKSUM.start] + b' ' * 8 + block[_CHECKSUM.stop :]
  unsigned = sum(summed)
  return declared == unsigned or declared == unsigned - 256 * sum(byte > 127 for byte in summed)


def read_number(field: bytes) -> int:
  """Octal digits, or GNU's binary numbers.

  Raises:
    HeaderError: if it is neither, or negative.
  """
  if field[:1] == b'\x80':
    return int.from_bytes(field[1:], 'big')
  digits = field.strip(b'\0 ')
  if digits and not re.fullmatch(rb'[0-7]+', digits):
    raise HeaderError('no number')
  return int(digits or b'0', 8)


def _text(field: bytes) -> str:
  return field.partition(b'\0')[0].decode('utf-8', 'surrogateescape')


def read_records(data: bytes) -> list[tuple[str, str]]:
  """The records of a pax header: `length key=value` and a line feed each.

  Raises:
    HeaderError: if they do not fit.
  """
  records, at = [], 0
  data = data.rstrip(b'\0')
  while at < len(data):
    found = _RECORD.match(data, at)
    stop = at + int(found[1]) if found else 0
    key, equals, value = data[found.end() if found else 0 : stop - 1].partition(b'=')
    if not found or not equals or data[stop - 1 : stop] != b'\n' or stop <= at:
      raise HeaderError('no records of pax')
    records.append((_decoded(key), _decoded(value)))
    at = stop
  return records


def _decoded(raw: bytes) -> str:
  return raw.decode('utf-8', 'surrogateescape')


def whole_number(text: str | bytes | None) -> int:
  """A decimal number.

  Raises:
    HeaderError: if it is none.
  """
  text = text.decode('ascii', 'replace') if isinstance(text, bytes) else text
  if text is None or not re.fullmatch(r'[0-9]{1,19}', text):
    raise HeaderError('no number')
  return int(text)


def check_stretches(numbers: Sequence[int], size_bytes: int) -> Stretches:
  """Offsets and lengths by turns, within a file of that size.

  Raises:
    HeaderError: if they are not in order, or too many.
  """
  stretches = tuple(zip(numbers[::2], numbers[1::2], strict=len(numbers) % 2 == 0))
  stops = [0, *(offset + length for offset, length in stretches)]
  if len(numbers) % 2 or len(stretches) > _MOST_STRETCHES:
    raise HeaderError('no map of a sparse file')
  if any(offset < stop for (offset, _), stop in zip(stretches, stops, strict=False)) or stops[-1] > size_bytes:
    raise HeaderError('the map of a sparse file runs backwards, or beyond its end')
  return stretches


def old_stretches(header: TarHeader, extensions: Iterator[bytes]) -> tuple[int, Stretches | None, int]:
  """As `pax_stretches`, for a file of type S; further blocks hold what does not fit into the header."""
  numbers = _fields(header.block[_GNU_STRETCHES])
  is_extended = header.block[_GNU_IS_EXTENDED]
  while is_extended:
    block = next(extensions)
    numbers += _fields(block[_EXTENSION_STRETCHES])
    is_extended = block[_EXTENSION_IS_EXTENDED]
    if len(numbers) > 2 * _MOST_STRETCHES:
      raise HeaderError('no map of a sparse file')
  size = read_number(header.block[_GNU_REAL_SIZE])
  return size, check_stretches(numbers, size), 0


def _fields(area: bytes) -> list[int]:
  """Numbers of twelve bytes, up to the first pair that is not used."""
  numbers: list[int] = []
  for at in range(0, len(area), 24):
    if not area[at : at + 24].strip(b'\0'):
      break
    numbers += [read_number(area[at : at + 12]), read_number(area[at + 12 : at + 24])]
  return numbers


def pax_stretches(records: Sequence[tuple[str, str]], blocks: Iterator[bytes]) -> tuple[int, Stretches | None, int]:
  """Size and map of a sparse file by pax, and the bytes of content that the map takes; no map for other files.

  The formats 0.0 and 0.1 keep the map in the records, 1.0 before the content.

  Raises:
    HeaderError: if they make no sense.
    StopIteration: if the blocks end within the map.
  """
  values, used = dict(records), 0
  if values.get('GNU.sparse.major') == '1':
    used, numbers = _numbers_before_content(blocks)
  elif 'GNU.sparse.map' in values:
    numbers = [whole_number(part) for part in values['GNU.sparse.map'].split(',') if part]
  elif 'GNU.sparse.numblocks' in values:
    numbers = [whole_number(value) for key, value in records if key in ('GNU.sparse.offset', 'GNU.sparse.numbytes')]
  else:
    return 0, None, 0
  size = whole_number(values.get('GNU.sparse.realsize') or values.get('GNU.sparse.size'))
  return size, check_stretches(numbers, size), used


def _numbers_before_content(blocks: Iterator[bytes]) -> tuple[int, list[int]]:
  """How many bytes the map takes, and its numbers: a line each, their count first."""
  text = next(blocks)
  while text.count(b'\n') < 1:
    text = _longer(text, blocks)
  count = whole_number(text.partition(b'\n')[0])
  if count > _MOST_STRETCHES:
    raise HeaderError('no map of a sparse file')
  while text.count(b'\n') < 1 + 2 * count:
    text = _longer(text, blocks)
  return len(text), [whole_number(line) for line in text.split(b'\n')[1 : 1 + 2 * count]]


def _longer(text: bytes, blocks: Iterator[bytes]) -> bytes:
  if len(text) > 48 * _MOST_STRETCHES:
    raise HeaderError('no map of a sparse file')
  return text + next(blocks)
