"""How the pixels of a DICOM object are laid out, checked before anything is allocated for them."""

import struct
from dataclasses import dataclass, replace
from typing import Final

from pydicom.uid import UID, ExplicitVRLittleEndian

from transforms.codestreams import Codestream, read_codestream
from transforms.dicom import Dicom, require_pixels
from transforms.dicom_elements import Element
from transforms.dicom_values import element_of, integer, text, value_bytes
from transforms.elements import Limits
from transforms.encapsulation import Frames, frame_bytes, is_encapsulated, read_frames
from transforms.errors import InputError
from transforms.transfer_syntaxes import DECODERS, GE_BIG_ENDIAN_PIXELS, READ_AS, UNCOMPRESSED, name_of
from transforms.vocabularies import PHOTOMETRIC_INTERPRETATIONS

SAMPLES: Final = {
  'MONOCHROME1': 1,
  'MONOCHROME2': 1,
  'PALETTE COLOR': 1,
  'RGB': 3,
  'YBR_FULL': 3,
  'YBR_FULL_422': 3,
  'YBR_ICT': 3,
  'YBR_PARTIAL_420': 3,
  'YBR_PARTIAL_422': 3,
  'YBR_RCT': 3,
}
_BITS_ALLOCATED: Final = {1: (1, 8, 12, 16, 32, 64), 3: (8, 16, 32)}  # by samples per pixel
_FLOAT_BITS: Final = {'FloatPixelData': 32, 'DoubleFloatPixelData': 64}
_FREE_INFLATION_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Layout:
  """The Image Pixel module (PS3.3 C.7.6.3), checked.

  Attributes:
    keyword: the element that holds the pixels.
    start: of its value in the data.
    end: of its value.
    transfer_syntax: whose decoder reads the frames: what is there, where the header is wrong about it.
    frames: that can be asked for; one beyond those present where data break off.
    fragments: by frame, of an encapsulated value; else empty.
    high_bit: of the stored bits, from 0.
    planar: 1 where the colours of a frame follow each other in planes.
    order: of native words, `<` or `>`.
    is_swapped: whether octets lie in big endian words (PS3.5 7.3, OW).
    is_subsampled: whether each two native pixels share their colour samples (PS3.3 C.7.6.3.1.2, YBR_FULL_422).
  """

  keyword: str
  start: int
  end: int
  transfer_syntax: UID
  rows: int
  columns: int
  frames: int
  fragments: Frames
  samples: int
  photometric: str
  bits_allocated: int
  bits_stored: int
  high_bit: int
  signed: bool
  planar: int
  order: str
  is_swapped: bool
  is_subsampled: bool = False

  @property
  def frame_bits(self) -> int:
    """Bits of one decoded frame, before the padding of 1-bit frames."""
    bits = self.rows * self.columns * self.samples * self.bits_allocated
    return bits * 2 // 3 if self.is_subsampled else bits

  @property
  def frame_bytes(self) -> int:
    """Bytes that hold one native frame."""
    return (self.frame_bits + 7) // 8

  @property
  def is_encapsulated(self) -> bool:
    """Whether the frames are made of fragments (PS3.5 A.4)."""
    return self.transfer_syntax not in UNCOMPRESSED


def pixel_layout(dataset: Dicom, limits: Limits) -> Layout:
  """Reads and checks how the pixels are laid out, before anything is allocated for them.

  Raises:
    InputError: `auxiliary-file`, `no-pixel-data`, `header-corrupt`,
      `unsupported-image`, `unsupported-transfer-syntax`, `too-large` (one
      frame), `bomb` (all compressed frames together).
  """
  keyword = require_pixels(dataset)
  element = element_of(dataset, keyword)
  if element is None or element.start == element.end:
    raise InputError('decode-failed', f'{keyword} is empty')
  layout = _with_bits(_place(_declared_layout(dataset, keyword), dataset, element), integer(dataset, 'HighBit'))
  if not layout.is_encapsulated:
    layout = with_subsampling(layout, layout.end - layout.start, layout.frames)
  _check_layout(layout, limits)
  return _bounded(layout, limits)


def _declared_layout(dataset: Dicom, keyword: str) -> Layout:
  photometric = _photometric(text(dataset, 'PhotometricInterpretation'))
  samples = integer(dataset, 'SamplesPerPixel') or SAMPLES.get(photometric, 1)
  return Layout(
    keyword=keyword,
    start=0,
    end=0,
    transfer_syntax=dataset.transfer_syntax,
    rows=integer(dataset, 'Rows') or 0,
    columns=integer(dataset, 'Columns') or 0,
    frames=integer(dataset, 'NumberOfFrames') or 1,
    fragments=(),
    samples=samples,
    photometric=photometric or ('RGB' if samples == 3 else 'MONOCHROME2'),
    bits_allocated=_FLOAT_BITS.get(keyword) or integer(dataset, 'BitsAllocated') or 0,
    bits_stored=integer(dataset, 'BitsStored') or 0,
    high_bit=-1,
    signed=integer(dataset, 'PixelRepresentation') == 1,
    planar=integer(dataset, 'PlanarConfiguration') or 0,
    order=dataset.encoding.order,
    is_swapped=False,
  )


def _photometric(declared: str | None) -> str:
  """The defined term, whatever stands between its words; '' where there is none."""
  words = (declared or '').upper().replace('_', ' ').split()
  return ' '.join(words) if words[:1] == ['PALETTE'] else '_'.join(words)


def _place(layout: Layout, dataset: Dicom, element: Element) -> Layout:
  """Where the frames lie: as fragments if that is how the value starts, whatever is declared."""
  layout = replace(layout, start=element.start, end=element.end)
  declared = dataset.transfer_syntax
  if declared not in UNCOMPRESSED and READ_AS.get(declared, declared) not in DECODERS:
    raise InputError('unsupported-transfer-syntax', name_of(declared) or 'private or unknown')
  if is_encapsulated(dataset.data, element.start) and (element.is_open or declared not in UNCOMPRESSED):
    return _place_fragments(layout, dataset)
  order = '>' if declared == GE_BIG_ENDIAN_PIXELS else layout.order
  is_swapped = order == '>' and element.vr in ('', 'OW')
  native = declared if declared in UNCOMPRESSED else ExplicitVRLittleEndian
  return replace(layout, transfer_syntax=native, order=order, is_swapped=is_swapped)


def _place_fragments(layout: Layout, dataset: Dicom) -> Layout:
  table = value_bytes(dataset, 'ExtendedOffsetTable')[: 8 * max(layout.frames, 0)]
  offsets = [offset for (offset,) in struct.iter_unpack('<Q', table[: len(table) // 8 * 8])]
  fragments = read_frames(dataset.data, layout.start, layout.end, layout.frames, offsets)
  header = _first_header(dataset.data, fragments)
  codec = _codec(READ_AS.get(layout.transfer_syntax, layout.transfer_syntax), header)
  layout = replace(layout, fragments=fragments, transfer_syntax=codec)
  return _with_precision(layout, header.bits) if header else layout


def _with_precision(layout: Layout, bits: int) -> Layout:
  """With the bits of the frame where the header leaves them out, or says that there are more.

  Software that compresses 12 bits to a JPEG of 8 often leaves the header as it was.
  """
  allocated = 8 if bits <= 8 else 16
  if layout.bits_stored > bits or (layout.bits_allocated and layout.bits_allocated < bits):
    return replace(layout, bits_allocated=allocated, bits_stored=bits, high_bit=bits - 1)
  return replace(layout, bits_allocated=layout.bits_allocated or allocated, bits_stored=layout.bits_stored or bits)


def with_subsampling(layout: Layout, size_bytes: int, frames: int = 1) -> Layout:
  """Says whether colours are shared, as the label has it, unless the data are just as long as whole pixels need.

  Args:
    layout: of frames that no codec compresses.
    size_bytes: of so many frames, and of the byte that makes their length even (PS3.5 8.1.1).
    frames: that the header promises.
  """
  if not layout.photometric.endswith('_422'):
    return layout
  needed_bytes = (frames * layout.frame_bits + 7) // 8
  is_whole = needed_bytes <= size_bytes <= needed_bytes + 1
  return replace(layout, is_subsampled=not is_whole)


def _first_header(data: bytes, fragments: Frames) -> Codestream | None:
  try:
    return read_codestream(frame_bytes(data, fragments[0])) if fragments else None
  except InputError as error:
    if error.code == 'unsupported-transfer-syntax':
      raise
    return None  # of this frame alone: the others may be sound


def _codec(declared: UID, header: Codestream | None) -> UID:
  """The codec that the first frame names, where the declared one would not read it."""
  if header is None:
    if declared in UNCOMPRESSED:
      raise InputError('unsupported-transfer-syntax', 'fragments of no codec that is known')
    return declared
  return declared if DECODERS.get(declared) == DECODERS[header.syntax] else header.syntax


def _with_bits(layout: Layout, high_bit: int | None) -> Layout:
  """With what the header leaves out: all bits are stored, the highest is the uppermost of those stored."""
  allocated = layout.bits_allocated or _guess_bits(layout)
  stored = layout.bits_stored or allocated
  if layout.keyword in _FLOAT_BITS:
    stored, high_bit = allocated, None
  if layout.high_bit >= 0:  # the frame's own
    high_bit = layout.high_bit
  high = stored - 1 if high_bit is None else high_bit
  return replace(layout, bits_allocated=allocated, bits_stored=stored, high_bit=high)


def _guess_bits(layout: Layout) -> int:
  """As many whole bytes a sample as there are."""
  samples = layout.rows * layout.columns * layout.samples * layout.frames
  bits = 8 * (layout.end - layout.start) // samples if samples > 0 else 0
  return max((width for width in (8, 16, 32) if width <= bits), default=0)


def _check_layout(layout: Layout, limits: Limits) -> None:
  if layout.photometric not in SAMPLES:
    known = layout.photometric in PHOTOMETRIC_INTERPRETATIONS
    raise InputError(*(('unsupported-image', layout.photometric) if known else ('header-corrupt', 'photometric')))
  _check_consistency(layout)
  if layout.bits_allocated not in _BITS_ALLOCATED[layout.samples]:
    raise InputError('unsupported-image', f'BitsAllocated {layout.bits_allocated}, {layout.samples} samples')
  if layout.photometric == 'YBR_PARTIAL_420' and not layout.is_encapsulated:
    raise InputError('unsupported-image', layout.photometric)
  if layout.rows * layout.columns > limits.max_pixels:
    raise InputError('too-large', f'{layout.columns} x {layout.rows} pixels')


def _check_consistency(layout: Layout) -> None:
  contradictions = {
    f'{layout.columns} columns, {layout.rows} rows': min(layout.rows, layout.columns) < 1,
    f'NumberOfFrames {layout.frames}': layout.frames < 1,
    f'SamplesPerPixel {layout.samples}, {layout.photometric}': layout.samples != SAMPLES[layout.photometric],
    f'{layout.columns} columns, {layout.photometric}': layout.is_subsampled and layout.columns % 2 == 1,
    f'BitsStored {layout.bits_stored} of {layout.bits_allocated}': not 1 <= layout.bits_stored <= layout.bits_allocated,
    f'HighBit {layout.high_bit} of {layout.bits_allocated}': (
      not layout.bits_stored - 1 <= layout.high_bit < layout.bits_allocated
    ),
  }
  for found, is_wrong in contradictions.items():
    if is_wrong:
      raise InputError('header-corrupt', found)


def _bounded(layout: Layout, limits: Limits) -> Layout:
  """No more frames than can be there, and one: what is missing of them costs one failure."""
  size = layout.end - layout.start
  present = len(layout.fragments) if layout.is_encapsulated else 8 * size // layout.frame_bits
  layout = replace(layout, frames=min(layout.frames, present + 1))
  allowed = max(_FREE_INFLATION_BYTES, limits.max_inflation_ratio * size)
  if layout.is_encapsulated and layout.frames * layout.frame_bits > 8 * allowed:
    raise InputError('bomb', f'{layout.frames} frames of {layout.columns} x {layout.rows} in {size} bytes')
  return layout
