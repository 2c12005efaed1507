"""Where a data set starts in a DICOM file, and how it is written: by what is there, not by what is declared.

PS3.10 7.1 wants a preamble and meta information; archives hold files without
either, and files whose transfer syntax was changed in the meta information
alone, or in the data set alone.
"""

import zlib
from dataclasses import dataclass
from typing import Final

from pydicom.uid import (
  UID,
  DeflatedExplicitVRLittleEndian,
  ExplicitVRBigEndian,
  ExplicitVRLittleEndian,
  ImplicitVRLittleEndian,
)

from transforms.dicom_elements import VRS, Encoding, read_header
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.transfer_syntaxes import PAPYRUS_IMPLICIT

_META: Final = Encoding(is_implicit=False, order='<')
_COMMAND_SET: Final = Encoding(is_implicit=True, order='<')
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x00020002
_MOST_GROUP_ELEMENTS: Final = 100  # PS3.10 lists 13; zeros would be read as elements without end
_FREE_INFLATION_BYTES: Final = 16 << 20
_ENCODINGS: Final = {
  Encoding(is_implicit=True, order='<'): ImplicitVRLittleEndian,
  Encoding(is_implicit=False, order='<'): ExplicitVRLittleEndian,
  Encoding(is_implicit=False, order='>'): ExplicitVRBigEndian,
  Encoding(is_implicit=True, order='>'): ExplicitVRBigEndian,  # ACR-NEMA; the pixels are as there
}
# PS3.5 A.5, A.7, A.13: the data set is deflated.
_DEFLATED: Final = frozenset(
  [DeflatedExplicitVRLittleEndian, UID('1.2.840.10008.1.2.4.95'), UID('1.2.840.10008.1.2.4.205')]
)
_REPLACED_BY_WHAT_IS_FOUND: Final = frozenset([*_ENCODINGS.values(), PAPYRUS_IMPLICIT, UID('')])


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
  """A DICOM file, its meta information read.

  Attributes:
    data: the file; of a deflated one the data set alone, inflated.
    start: of the data set.
    transfer_syntax: as declared, where that can be; of native pixels as found.
    sop_class: (0002,0002), '' where it is missing.
  """

  data: bytes
  start: int
  encoding: Encoding
  transfer_syntax: UID
  sop_class: str


def open_dicom(data: bytes, limits: Limits) -> Opened:
  """Finds the data set.

  Raises:
    InputError: `bomb` for a deflated data set beyond the limits, `header-corrupt` for one that is damaged.
  """
  start = 132 if data[128:132] == b'DICM' else 0
  meta, start = _group(data, start, 2, _META)
  _, start = _group(data, start, 0, _COMMAND_SET)
  declared = UID(meta.get(_TRANSFER_SYNTAX_UID, ''))
  sop_class = meta.get(_MEDIA_STORAGE_SOP_CLASS_UID, '')
  if declared in _DEFLATED and not _starts_with_element(data, start):
    data, start = _inflate(data, start, limits), 0
  encoding = _found(data, start)
  syntax = _ENCODINGS[encoding] if declared in _REPLACED_BY_WHAT_IS_FOUND else declared
  return Opened(data, start, encoding, syntax, sop_class)


def _group(data: bytes, start: int, group: int, encoding: Encoding) -> tuple[dict[int, str], int]:
  """Elements of one group as text, and where the next begins; the declared length of the group is often wrong."""
  found = {}
  position = start
  for _ in range(_MOST_GROUP_ELEMENTS):
    if position + 8 > len(data) or int.from_bytes(data[position : position + 2], 'little') != group:
      break
    tag, _, value, length = read_header(data, position, encoding)
    if value + length > len(data):
      break
    position = value + length
    if tag in (_TRANSFER_SYNTAX_UID, _MEDIA_STORAGE_SOP_CLASS_UID):
      found[tag] = data[value:position].decode('latin-1').strip(' \0')
  return found, position


def _found(data: bytes, start: int) -> Encoding:
  """By the first element: groups at the start have low numbers, and an explicit VR is two known letters."""
  head = data[start : start + 6]
  order = '>' if int.from_bytes(head[:2], 'big') < int.from_bytes(head[:2], 'little') else '<'
  return Encoding(is_implicit=head[4:6] not in VRS, order=order)


def _starts_with_element(data: bytes, start: int) -> bool:
  """Whether the data set was left as it is where it should be deflated: group 0008, explicit."""
  return data[start : start + 2] == b'\x08\x00' and data[start + 4 : start + 6] in VRS


def _inflate(data: bytes, start: int, limits: Limits) -> bytes:
  """Inflates a data set (PS3.5 A.5); as much as is there where it breaks off."""
  allowed = min(limits.max_member_bytes, max(_FREE_INFLATION_BYTES, limits.max_inflation_ratio * len(data)))
  window = zlib.MAX_WBITS if data[start : start + 2] in _ZLIB_HEADERS else -zlib.MAX_WBITS
  inflater = zlib.decompressobj(window)
  try:
    inflated = inflater.decompress(memoryview(data)[start:], allowed + 1)
  except zlib.error:
    raise InputError('header-corrupt', 'deflated data set') from None
  if len(inflated) > allowed:
    raise InputError('bomb', f'deflated data set of more than {allowed} bytes')
  return inflated


_ZLIB_HEADERS: Final = frozenset([b'\x78\x01', b'\x78\x5e', b'\x78\x9c', b'\x78\xda'])  # some write it: RFC 1950
