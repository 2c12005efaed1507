"""What a file is, by its first bytes: names and extensions lie in real exports."""

import codecs
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

HEAD_BYTES: Final = 1024


class Kind(StrEnum):
  """What the pipeline tells apart; `AUXILIARY` is what exports carry beside images."""

  DICOM = 'dicom'
  JPEG = 'jpeg'
  PNG = 'png'
  ZIP = 'zip'
  TAR = 'tar'
  GZIP = 'gzip'
  BZIP2 = 'bzip2'
  XZ = 'xz'
  ZSTD = 'zstd'
  SEVENZIP = '7z'
  RAR = 'rar'
  LZ4 = 'lz4'
  COMPRESS = 'compress'
  TIFF = 'tiff'
  GIF = 'gif'
  BMP = 'bmp'
  WEBP = 'webp'
  AUXILIARY = 'auxiliary'
  EMPTY = 'empty'
  UNKNOWN = 'unknown'


_MAGIC: Final[tuple[tuple[bytes, Kind], ...]] = (
  (b'\xff\xd8\xff', Kind.JPEG),
  (b'\x89PNG\r\n\x1a\n', Kind.PNG),
  (b'PK\x03\x04', Kind.ZIP),
  (b'PK\x05\x06', Kind.ZIP),  # without members
  (b'PK\x07\x08', Kind.ZIP),  # one volume of several
  (b'PK00PK\x03\x04', Kind.ZIP),  # the only one of several that were not needed
  (b'\x1f\x8b', Kind.GZIP),
  (b'BZh', Kind.BZIP2),
  (b'\xfd7zXZ\x00', Kind.XZ),
  (b'\x28\xb5\x2f\xfd', Kind.ZSTD),
  (b'7z\xbc\xaf\x27\x1c', Kind.SEVENZIP),
  (b'Rar!\x1a\x07', Kind.RAR),
  (b'\x04\x22\x4d\x18', Kind.LZ4),
  (b'\x1f\x9d', Kind.COMPRESS),
  (b'II*\x00', Kind.TIFF),
  (b'MM\x00*', Kind.TIFF),
  (b'II+\x00', Kind.TIFF),  # BigTIFF
  (b'MM\x00+', Kind.TIFF),
  (b'GIF87a', Kind.GIF),
  (b'GIF89a', Kind.GIF),
  (b'MZ', Kind.AUXILIARY),  # viewers and their libraries: Windows
  (b'\x7fELF', Kind.AUXILIARY),
  (b'\xca\xfe\xba\xbe', Kind.AUXILIARY),  # macOS, both architectures, and Java
  (b'\xcf\xfa\xed\xfe', Kind.AUXILIARY),  # macOS
  (b'\xce\xfa\xed\xfe', Kind.AUXILIARY),
  (b'%PDF-', Kind.AUXILIARY),
  (b'\x00\x00\x00\x01Bud1', Kind.AUXILIARY),  # .DS_Store
  (b'\x00\x05\x16\x07', Kind.AUXILIARY),  # AppleDouble, ._*
  (b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1', Kind.AUXILIARY),  # Thumbs.db, old Office, MSI
  (b'L\x00\x00\x00\x01\x14\x02\x00', Kind.AUXILIARY),  # Windows shortcut
  (b'\x00\x00\x01\x00', Kind.AUXILIARY),  # Windows icon
  (b'icns', Kind.AUXILIARY),
  (b'MSCF', Kind.AUXILIARY),  # cabinet
  (b'SQLite format 3\x00', Kind.AUXILIARY),
  (b'ITSF', Kind.AUXILIARY),  # compiled help
  (b'?_\x03\x00', Kind.AUXILIARY),  # help of old
  (b'bplist00', Kind.AUXILIARY),  # settings of macOS
  (b'FWS', Kind.AUXILIARY),  # Flash
  (b'CWS', Kind.AUXILIARY),
  (b'wOFF', Kind.AUXILIARY),  # fonts
  (b'wOF2', Kind.AUXILIARY),
  (b'ttcf', Kind.AUXILIARY),
  (b'true\x00', Kind.AUXILIARY),
  (b'\x00\x01\x00\x00\x00', Kind.AUXILIARY),
  (b'OTTO', Kind.AUXILIARY),
)


def sniff(head: bytes) -> Kind:
  """Tells what a file is.

  Args:
    head: its first `HEAD_BYTES` bytes, or all of it where it is shorter.
  """
  if not head:
    return Kind.EMPTY
  if head[128:132] == b'DICM':  # before all else: the preamble may hold another format's header (PS3.10 7.1)
    return Kind.DICOM
  for magic, kind in _MAGIC:
    if head.startswith(magic):
      return kind
  return next((kind for kind, fits in _TESTS if fits(head)), Kind.UNKNOWN)


def may_carry_zip(kind: Kind, head: bytes) -> bool:
  """Whether a zip may stand behind these first bytes: archives that extract themselves, or whose begin is damaged."""
  return kind == Kind.UNKNOWN or (kind == Kind.AUXILIARY and head.startswith((b'MZ', b'\x7fELF', b'#!')))


def _is_zstd(head: bytes) -> bool:
  """A frame that decoders skip (RFC 8878 3.1.2): what compresses in parallel begins with one."""
  return head[1:4] == b'\x2a\x4d\x18' and head[0] >> 4 == 5


def _is_tar(head: bytes) -> bool:
  """By its magic, or by the header's checksum, which is all that the oldest tars have."""
  if head[257:262] == b'ustar':
    return True
  if len(head) < 512:
    return False
  field = head[148:156].strip(b'\0 ')
  if not re.fullmatch(rb'[0-7]{1,7}', field):
    return False
  return int(field, 8) == sum(head[:148]) + 8 * ord(' ') + sum(head[156:512])


def _is_webp(head: bytes) -> bool:
  return head[:4] == b'RIFF' and head[8:12] == b'WEBP'


def _is_bmp(head: bytes) -> bool:
  """Two letters prove little: the size of the header that follows must be one of those there are."""
  return head[:2] == b'BM' and int.from_bytes(head[14:18], 'little') in (12, 40, 52, 56, 64, 108, 124)


_VALUE_REPRESENTATIONS: Final = frozenset(
  b'AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV'.split()
)
_LONGEST_FIRST_VALUE_BYTES: Final = 1024  # the first elements are lengths, UIDs, character sets


def _is_bare_dicom(head: bytes) -> bool:
  """A data set without preamble: it starts with a plausible element of group 0002 or 0008 (PS3.5 7.1)."""
  return any(_starts_with_element(head, order) for order in ('little', 'big'))


def _starts_with_element(head: bytes, order: str) -> bool:
  little = order == 'little'
  group, element = (int.from_bytes(head[at : at + 2], 'little' if little else 'big') for at in (0, 2))
  if len(head) < 12 or group not in (0x0002, 0x0008) or element > 0x1200:
    return False
  if head[4:6] in _VALUE_REPRESENTATIONS:
    return True
  length = int.from_bytes(head[4:8], 'little')
  return little and length <= _LONGEST_FIRST_VALUE_BYTES and (length % 2 == 0)


_CONTROL_CHARACTERS: Final = bytes(set(range(32)) - set(b'\t\n\r\f\x1b')) + b'\x7f'
_TEXT_MARKS: Final = (b'\xef\xbb\xbf', b'\xff\xfe', b'\xfe\xff')  # UTF-8 and UTF-16 byte order marks
_LEAST_ASCII: Final = 0.7


def _is_text(head: bytes) -> bool:
  """HTML, XML, JSON, RTF, ini, licences: no control characters, and mostly ASCII or valid UTF-8."""
  if head.startswith(_TEXT_MARKS):
    return True
  if len(head.translate(None, _CONTROL_CHARACTERS)) < len(head):
    return False
  ascii_bytes = sum(byte < 128 for byte in head)
  return ascii_bytes >= _LEAST_ASCII * len(head) or _is_utf8(head)


def _is_utf8(head: bytes) -> bool:
  try:
    codecs.getincrementaldecoder('utf-8')().decode(head)  # the last character may be cut
  except UnicodeDecodeError:
    return False
  return True


_TESTS: Final[tuple[tuple[Kind, Callable[[bytes], bool]], ...]] = (
  (Kind.TAR, _is_tar),
  (Kind.ZSTD, _is_zstd),
  (Kind.WEBP, _is_webp),
  (Kind.BMP, _is_bmp),
  (Kind.DICOM, _is_bare_dicom),
  (Kind.AUXILIARY, _is_text),
)
