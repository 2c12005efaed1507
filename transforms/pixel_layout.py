"""How the pixels of a DICOM object are laid out, checked before anything is allocated for them."""

from dataclasses import dataclass, replace
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from transforms.dicom import (
  integer,
  is_standard_transfer_syntax,
  require_pixels,
  text,
  third_party,
  transfer_syntax_uid,
)
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.transfer_syntaxes import DECODERS
from transforms.vocabularies import PHOTOMETRIC_INTERPRETATIONS

SAMPLES: Final = {
  'MONOCHROME1': 1,
  'MONOCHROME2': 1,
  'PALETTE COLOR': 1,
  'RGB': 3,
  'YBR_FULL': 3,
  'YBR_FULL_422': 3,
  'YBR_ICT': 3,
  'YBR_RCT': 3,
}
_BITS_ALLOCATED: Final = (1, 8, 16, 32, 64)
_FREE_INFLATION_BYTES: Final = 16 << 20
_ITEM_TAG: Final = b'\xfe\xff\x00\xe0'


@dataclass(frozen=True, slots=True)
class Layout:
  """The Image Pixel module (PS3.3 C.7.6.3), checked.

  Attributes:
    keyword: the element that holds the pixels.
    frames: that can be asked for; one beyond those present where data break off.
    high_bit: of the stored bits, from 0.
  """

  keyword: str
  transfer_syntax: UID
  rows: int
  columns: int
  frames: int
  samples: int
  photometric: str
  bits_allocated: int
  bits_stored: int
  high_bit: int
  signed: bool

  @property
  def frame_bits(self) -> int:
    """Bits of one decoded frame, before the padding of 1-bit frames."""
    bits = self.rows * self.columns * self.samples * self.bits_allocated
    return bits * 2 // 3 if self.photometric == 'YBR_FULL_422' and not self.is_encapsulated else bits

  @property
  def is_encapsulated(self) -> bool:
    """Whether the frames are fragments of codestreams (PS3.5 A.4)."""
    return self.transfer_syntax.is_encapsulated


def pixel_layout(dataset: Dataset, limits: Limits) -> Layout:
  """Reads and checks how the pixels are laid out, before anything is allocated for them.

  Raises:
    InputError: `auxiliary-file`, `no-pixel-data`, `header-corrupt`,
      `unsupported-image`, `unsupported-transfer-syntax`, `too-large` (one
      frame), `bomb` (all compressed frames together).
  """
  layout = _declared_layout(dataset, require_pixels(dataset))
  _check_layout(layout, limits)
  pixel_bytes = _pixel_bytes(dataset, layout.keyword)
  present = _count_fragments(pixel_bytes) if layout.is_encapsulated else 8 * len(pixel_bytes) // layout.frame_bits
  layout = replace(layout, frames=min(layout.frames, present + 1))
  allowed = max(_FREE_INFLATION_BYTES, limits.max_inflation_ratio * len(pixel_bytes))
  if layout.is_encapsulated and layout.frames * layout.frame_bits > 8 * allowed:
    raise InputError('bomb', f'{layout.frames} frames of {layout.columns} x {layout.rows} in {len(pixel_bytes)} bytes')
  return layout


def _declared_layout(dataset: Dataset, keyword: str) -> Layout:
  bits_allocated = integer(dataset, 'BitsAllocated') or 0
  bits_stored = integer(dataset, 'BitsStored') or bits_allocated
  high_bit = integer(dataset, 'HighBit')
  return Layout(
    keyword=keyword,
    transfer_syntax=transfer_syntax_uid(dataset),
    rows=integer(dataset, 'Rows') or 0,
    columns=integer(dataset, 'Columns') or 0,
    frames=integer(dataset, 'NumberOfFrames') or 1,
    samples=integer(dataset, 'SamplesPerPixel') or 1,
    photometric=(text(dataset, 'PhotometricInterpretation') or 'missing').upper(),
    bits_allocated=bits_allocated,
    bits_stored=bits_stored,
    high_bit=bits_stored - 1 if high_bit is None else high_bit,
    signed=integer(dataset, 'PixelRepresentation') == 1,
  )


def _check_layout(layout: Layout, limits: Limits) -> None:
  if not is_standard_transfer_syntax(layout.transfer_syntax):
    raise InputError('unsupported-transfer-syntax', 'private or unknown')
  if layout.is_encapsulated and layout.transfer_syntax not in DECODERS:
    raise InputError('unsupported-transfer-syntax', layout.transfer_syntax.name)
  if layout.photometric not in SAMPLES:
    known = layout.photometric in PHOTOMETRIC_INTERPRETATIONS
    raise InputError(*(('unsupported-image', layout.photometric) if known else ('header-corrupt', 'photometric')))
  if layout.bits_allocated not in _BITS_ALLOCATED:
    raise InputError('unsupported-image', f'BitsAllocated {layout.bits_allocated}')
  _check_consistency(layout)
  if layout.rows * layout.columns > limits.max_pixels:
    raise InputError('too-large', f'{layout.columns} x {layout.rows} pixels')


def _check_consistency(layout: Layout) -> None:
  contradictions = {
    f'{layout.columns} columns, {layout.rows} rows': min(layout.rows, layout.columns) < 1,
    f'NumberOfFrames {layout.frames}': layout.frames < 1,
    f'SamplesPerPixel {layout.samples}, {layout.photometric}': layout.samples != SAMPLES[layout.photometric],
    'one bit of three samples': layout.bits_allocated == 1 and layout.samples == 3,
    f'BitsStored {layout.bits_stored} of {layout.bits_allocated}': not 1 <= layout.bits_stored <= layout.bits_allocated,
    f'HighBit {layout.high_bit} of {layout.bits_allocated}': (
      not layout.bits_stored - 1 <= layout.high_bit < layout.bits_allocated
    ),
  }
  for found, is_wrong in contradictions.items():
    if is_wrong:
      raise InputError('header-corrupt', found)


def _pixel_bytes(dataset: Dataset, keyword: str) -> bytes:
  with third_party('header-corrupt', keyword):
    value = dataset[keyword].value
  if not value or not isinstance(value, bytes):
    raise InputError('decode-failed', f'{keyword} is empty')
  return value


def _count_fragments(encapsulated: bytes) -> int:
  """Fragments after the offset table, the last perhaps cut: each frame has at least one (PS3.5 A.4)."""
  position, items = 0, 0
  while encapsulated.startswith(_ITEM_TAG, position):
    items += 1
    position += 8 + int.from_bytes(encapsulated[position + 4 : position + 8], 'little')
  return max(0, items - 1)
