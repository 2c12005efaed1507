"""The bytes of one source to its frames: pixels of the model's size, or the reason why there are none."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from transforms.codecs import stored_frame
from transforms.dicom import FrameChoice, frame_numbers, header_facts, read_dicom
from transforms.display import display_frame
from transforms.elements import Frame, HeaderFacts, Limits, Pixels
from transforms.errors import InputError
from transforms.pixel_layout import pixel_layout
from transforms.preprocess import PreprocessSpec, preprocess
from transforms.quality import quality_flags
from transforms.raster import decode_raster, read_raster_header
from transforms.sniff import HEAD_BYTES, Kind, sniff

ORIGINAL_SIDE_PX: Final = 512

_REFUSED: Final = {
  Kind.EMPTY: 'empty-file',
  Kind.AUXILIARY: 'auxiliary-file',
  Kind.UNKNOWN: 'not-an-image',
  **dict.fromkeys((Kind.TIFF, Kind.GIF, Kind.BMP, Kind.WEBP), 'unsupported-image'),
  **dict.fromkeys((Kind.ZIP, Kind.TAR, Kind.GZIP, Kind.BZIP2, Kind.XZ, Kind.ZSTD), 'archive-nesting'),
}
_WITHOUT_DETAIL: Final = frozenset({Kind.EMPTY, Kind.AUXILIARY, Kind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class DecodeOptions:
  """What to make of a source.

  Attributes:
    spec: size and channels of the result.
    frames: which of a multi-frame object.
    limits: on what is decoded.
  """

  spec: PreprocessSpec = field(default_factory=PreprocessSpec)
  frames: FrameChoice = 'all'
  limits: Limits = field(default_factory=Limits)


def decode_source(data: bytes, options: DecodeOptions, *, keep_original: bool = False) -> Iterator[Frame]:
  """Decodes one source that is no archive. Total: at least one frame for any bytes, no exception for any.

  Args:
    data: the whole content.
    options: what to make of it.
    keep_original: fills `Frame.original` with the image as displayed, reduced
      to at most 512 pixels on its longer side.

  Yields:
    A frame for each one selected, one with an error for each that fails; or
    one without number where the source as a whole cannot be read.
  """
  finish = _Finish(options.spec, keep_original)
  kind = sniff(data[:HEAD_BYTES])
  if kind == Kind.DICOM:
    yield from _decode_dicom(data, options, finish)
  elif kind in (Kind.JPEG, Kind.PNG):
    yield _decode_raster(data, kind, options, finish)
  else:
    detail = '' if kind in _WITHOUT_DETAIL else kind.value
    yield Frame(None, HeaderFacts(), error=InputError(_REFUSED[kind], detail))


@dataclass(frozen=True, slots=True)
class _Finish:
  """From an image as displayed to a frame."""

  spec: PreprocessSpec
  keep_original: bool

  def __call__(self, number: int, facts: HeaderFacts, render: Callable[[], Pixels]) -> Frame:
    try:
      image = render()
    except InputError as error:
      return Frame(number, facts, error=error)
    pixels = preprocess(image, self.spec)
    quality = quality_flags(pixels, facts)
    # A constant image has two levels at most after padding: only then look at all of it.
    if _has_few_levels(pixels) and image.min() == image.max():
      return Frame(number, facts, error=InputError('blank'), quality=quality)
    return Frame(number, facts, pixels, quality=quality, original=_reduce(image) if self.keep_original else None)


def _decode_dicom(data: bytes, options: DecodeOptions, finish: _Finish) -> Iterator[Frame]:
  facts = HeaderFacts()
  try:
    dataset = read_dicom(data, options.limits)
    facts = header_facts(dataset)
    layout = pixel_layout(dataset, options.limits)
  except InputError as error:
    yield Frame(None, facts, error=error)
    return
  for number in frame_numbers(layout.frames, options.frames):

    def render(index: int = number - 1) -> Pixels:
      return display_frame(stored_frame(dataset, layout, index), dataset, layout, index)

    yield finish(number, facts, render)


def _decode_raster(data: bytes, kind: Kind, options: DecodeOptions, finish: _Finish) -> Frame:
  try:
    header = read_raster_header(data, kind, options.limits)
  except InputError as error:
    return Frame(None, HeaderFacts(transfer_syntax=kind.value), error=error)
  facts = HeaderFacts(
    rows=header.rows,
    columns=header.columns,
    bits_stored=header.bits,
    number_of_frames=1,
    transfer_syntax=kind.value,
    photometric='MONOCHROME2' if header.is_grey else 'RGB',
  )
  return finish(1, facts, lambda: decode_raster(data, header, options.spec.channels))


def _has_few_levels(pixels: Pixels) -> bool:
  lowest, highest = pixels.min(), pixels.max()
  return bool(np.all((pixels == lowest) | (pixels == highest)))


def _reduce(image: Pixels) -> Pixels:
  height, width = image.shape[:2]
  scale = ORIGINAL_SIDE_PX / max(height, width)
  if scale >= 1:
    return image
  size = (max(1, round(width * scale)), max(1, round(height * scale)))
  return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
