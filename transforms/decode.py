"""The bytes of one source to its frames: pixels of the model's size, or the reason why there are none."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np

from transforms.boundary import guarded
from transforms.burned_in import BurnedIn, Region, mask
from transforms.codecs import stored_frame
from transforms.conditions import UNKNOWN_OF_DICOM, UNKNOWN_OF_RASTER, Candidate, dicom_candidate
from transforms.dicom import Dicom, FrameChoice, frame_numbers, header_facts, read_dicom
from transforms.display import display_frame
from transforms.elements import Frame, HeaderFacts, Histogram, Limits, Pixels
from transforms.errors import InputError
from transforms.perceptual import perceptual_hash
from transforms.pixel_layout import pixel_layout
from transforms.preprocess import PreprocessSpec, preprocess
from transforms.provenance import with_provenance
from transforms.quality import histogram_of, quality_flags
from transforms.raster import RasterHeader, decode_raster, read_raster_header
from transforms.select import Rules
from transforms.sniff import HEAD_BYTES, Kind, sniff

ORIGINAL_SIDE_PX: Final = 512

_REFUSED: Final = {
  Kind.EMPTY: 'empty-file',
  Kind.AUXILIARY: 'auxiliary-file',
  Kind.UNKNOWN: 'not-an-image',
  **dict.fromkeys((Kind.TIFF, Kind.GIF, Kind.BMP, Kind.WEBP), 'unsupported-image'),
  **dict.fromkeys((Kind.ZIP, Kind.TAR, Kind.GZIP, Kind.BZIP2, Kind.XZ, Kind.ZSTD), 'archive-nesting'),
  **dict.fromkeys((Kind.SEVENZIP, Kind.RAR, Kind.LZ4, Kind.COMPRESS), 'archive-unsupported'),
}
_WITHOUT_DETAIL: Final = frozenset({Kind.EMPTY, Kind.AUXILIARY, Kind.UNKNOWN})


@dataclass(frozen=True, slots=True)
class DecodeOptions:
  """What to make of a source.

  Attributes:
    spec: size and channels of the result.
    frames: which of a multi-frame object.
    limits: on what is decoded.
    select: which images are wanted; None for all.
    burned_in: what to do about text in the pixels.
  """

  spec: PreprocessSpec = field(default_factory=PreprocessSpec)
  frames: FrameChoice = 'all'
  limits: Limits = field(default_factory=Limits)
  select: Rules | None = None
  burned_in: BurnedIn = field(default_factory=BurnedIn)

  @property
  def asks_headers(self) -> bool:
    """Whether anything depends on header facts that are no part of a row."""
    return self.select is not None or bool(self.burned_in.regions)


def decode_source(data: bytes, options: DecodeOptions, *, keep_original: bool = False) -> Iterator[Frame]:
  """Decodes one source that is no archive. Total: at least one frame for any bytes, no exception for any.

  Args:
    data: the whole content.
    options: what to make of it.
    keep_original: fills `Frame.original` with the image as displayed, reduced
      to at most 512 pixels on its longer side.

  Yields:
    A frame for each one selected, one with an error for each that fails; or
    one without number where the source as a whole cannot be read. A defect of
    ours on a frame is such an error as well, `internal-error`.
  """
  kind = sniff(data[:HEAD_BYTES])
  if kind == Kind.DICOM:
    yield from _decode_dicom(data, options, keep_original)
  elif kind in (Kind.JPEG, Kind.PNG):
    yield _decode_raster(data, kind, options, keep_original)
  else:
    detail = '' if kind in _WITHOUT_DETAIL else kind.value
    yield Frame(None, HeaderFacts(), error=InputError(_REFUSED[kind], detail))


@dataclass(frozen=True, slots=True)
class _Finish:
  """From an image as displayed to a frame."""

  spec: PreprocessSpec
  facts: HeaderFacts
  region: Region | None
  keep_original: bool

  def __call__(self, number: int, render: Callable[[], Pixels]) -> Frame:
    try:
      return guarded(lambda: self._frame(number, render))
    except InputError as error:
      return Frame(number, self.facts, error=error)

  def _frame(self, number: int, render: Callable[[], Pixels]) -> Frame:
    image = render() if self.region is None else mask(render(), self.region)
    pixels = preprocess(image, self.spec)
    histogram = histogram_of(pixels)
    quality = self._quality(histogram)
    # A constant image has two levels at most after padding: only then look at all of it.
    if np.count_nonzero(histogram) <= 2 and image.min() == image.max():
      return Frame(number, self.facts, error=InputError('blank'), quality=quality)
    original = _reduce(image) if self.keep_original else None
    return Frame(number, self.facts, pixels, None, quality, original, perceptual_hash(pixels), histogram)

  def _quality(self, histogram: Histogram) -> tuple[str, ...]:
    flags = quality_flags(histogram, self.facts)
    return tuple(sorted((*flags, 'burned-in-masked'))) if self.region else flags


def _decode_dicom(data: bytes, options: DecodeOptions, keep_original: bool) -> Iterator[Frame]:
  candidate = Candidate('dicom', HeaderFacts(), unknown=UNKNOWN_OF_DICOM)
  try:
    dataset = guarded(lambda: read_dicom(data, options.limits))
    candidate = guarded(lambda: _dicom_candidate(dataset, options))
    layout = guarded(lambda: pixel_layout(dataset, options.limits))
    _refuse_unwanted(candidate, options)
    finish = _finish_of(candidate, options, keep_original)
  except InputError as error:
    yield Frame(None, candidate.facts, error=_reason(error, candidate, options))
    return
  for number in frame_numbers(layout.frames, options.frames):

    def render(index: int = number - 1) -> Pixels:
      return display_frame(stored_frame(dataset, layout, index, options.limits), dataset, layout, index)

    yield finish(number, render)


def _dicom_candidate(dataset: Dicom, options: DecodeOptions) -> Candidate:
  facts = with_provenance(header_facts(dataset), dataset)
  return dicom_candidate(dataset, facts) if options.asks_headers else Candidate('dicom', facts)


def _finish_of(candidate: Candidate, options: DecodeOptions, keep_original: bool) -> _Finish:
  region = guarded(lambda: options.burned_in.region(candidate))
  return _Finish(options.spec, candidate.facts, region, keep_original)


def _decode_raster(data: bytes, kind: Kind, options: DecodeOptions, keep_original: bool) -> Frame:
  facts = HeaderFacts(transfer_syntax=kind.value, lossy=kind == Kind.JPEG)
  candidate = Candidate(kind.value, facts, unknown=UNKNOWN_OF_RASTER)
  try:
    header = guarded(lambda: read_raster_header(data, kind, options.limits))
    candidate = Candidate(kind.value, _raster_facts(header, kind, len(data)))
    _refuse_unwanted(candidate, options)
    finish = _finish_of(candidate, options, keep_original)
  except InputError as error:
    return Frame(None, candidate.facts, error=_reason(error, candidate, options))
  return finish(1, lambda: decode_raster(data, header, options.spec.channels))


def _refuse_unwanted(candidate: Candidate, options: DecodeOptions) -> None:
  rule = options.select.leaves_out(candidate) if options.select else None
  if rule is not None:
    raise InputError('not-selected', rule)


def _reason(error: InputError, candidate: Candidate, options: DecodeOptions) -> InputError:
  """What is no image stays so; what nobody wants need not be sound."""
  if error.status == 'rejected':
    if candidate.format == 'dicom' and candidate.facts.rows is None:  # the header broke off before it told all
      candidate = replace(candidate, unknown=UNKNOWN_OF_DICOM)
    try:
      _refuse_unwanted(candidate, options)
    except InputError as unwanted:
      return unwanted
  return error


def _raster_facts(header: RasterHeader, kind: Kind, size_bytes: int) -> HeaderFacts:
  is_lossy = kind == Kind.JPEG
  raw_bytes = header.rows * header.columns * header.channels * header.bits / 8
  return HeaderFacts(
    rows=header.rows,
    columns=header.columns,
    bits_stored=header.bits,
    number_of_frames=1,
    transfer_syntax=kind.value,
    photometric='MONOCHROME2' if header.is_grey else 'RGB',
    lossy=is_lossy,
    lossy_ratio=round(raw_bytes / size_bytes, 2) if is_lossy else None,
  )


def _reduce(image: Pixels) -> Pixels:
  height, width = image.shape[:2]
  scale = ORIGINAL_SIDE_PX / max(height, width)
  if scale >= 1:
    return image
  size = (max(1, round(width * scale)), max(1, round(height * scale)))
  return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
