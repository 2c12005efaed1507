"""Cheap flags on the preprocessed image: hints for whoever reads the table, never a reason to reject."""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np

from transforms.elements import HeaderFacts, Histogram, Pixels

FLAGS: Final[Mapping[str, str]] = {
  'blank': 'one grey level only; also a reason to reject',
  'burned-in': 'the header declares burned-in text',
  'burned-in-masked': 'a region of --burned_in_regions was covered with black',
  'clipped': 'a quarter or more is pure white',
  'duplicate-content': 'the same file came before, in this run',
  'duplicate-pixels': 'another image with the same pixels, once preprocessed, came before in this run',
  'extreme-aspect': 'four times longer than wide, or more',
  'lossy-compressed': 'was compressed with loss, now or earlier; `lossy_ratio` says how much, where it is known',
  'low-contrast': 'nine tenths of what is not black lie within 32 of 255 grey levels',
  'outside-age': 'younger or older than the training images allow for',
  'outside-bits': '8 bits or fewer a pixel, or more, where the training images were the other way',
  'outside-body-part': 'of a body part that the model was not trained on, or states none where the training images did',
  'outside-colour': 'in colour where the training images were grey, or grey where they were in colour',
  'outside-format': 'DICOM where the training images were JPEG or PNG, or the other way round',
  'outside-intended-use': 'unlike the images that the model was trained on, in what the other `outside-` flags say',
  'outside-modality': 'of a modality that the model was not trained on',
  'outside-sex': 'of a sex that the training images were not of',
  'outside-size': 'rows, columns or their ratio are beyond those of the training images',
  'outside-view': 'of a view that the model was not trained on, or states none where the training images did',
  'tiny': 'less than 64 pixels high or wide',
  'uid-clash': 'another image came under its SOP Instance UID, in this run; `image_id` is of UID and pixels',
}

_LOW_CONTRAST_SPAN: Final = 32  # of 255 grey levels, between the 5th and the 95th percentile
_CLIPPED_SHARE: Final = 0.25  # of the pixels that are not black
_EXACT_COUNT: Final = 1 << 24  # whole numbers up to here are exact in float32
_TINY_PX: Final = 64
_EXTREME_ASPECT: Final = 4.0


def histogram_of(pixels: Pixels) -> Histogram:
  """(256,): how many values of `pixels`, uint8 and of any shape, have each grey level."""
  values = pixels.reshape(-1, 1)
  parts = (values[start : start + _EXACT_COUNT] for start in range(0, len(values), _EXACT_COUNT))
  return sum((_counts(part) for part in parts), np.zeros(256, np.int64))


def _counts(values: Pixels) -> Histogram:
  """OpenCV's histogram: three times as fast as NumPy's, without the interpreter's lock, and of float32."""
  return cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().astype(np.int64)


def quality_flags(histogram: Histogram, facts: HeaderFacts) -> tuple[str, ...]:
  """Those of `FLAGS` that an image has by itself, whatever else there is, in alphabetic order.

  Pure black counts for neither contrast nor clipping: it is padding or
  collimation.

  Args:
    histogram: of the preprocessed pixels, grey or RGB.
    facts: of the source.
  """
  declared = {'lossy-compressed': facts.lossy, 'burned-in': facts.burned_in}
  said = [flag for flag, is_so in declared.items() if is_so]
  return tuple(sorted([*_grey_flags(histogram), *_shape_flags(facts.rows, facts.columns), *said]))


def _grey_flags(counts: Histogram) -> list[str]:
  if np.count_nonzero(counts) == 1:
    return ['blank']
  lit = counts[1:]
  cumulative = np.cumsum(lit) / lit.sum()
  low, high = np.searchsorted(cumulative, [0.05, 0.95])
  flags = [] if high - low >= _LOW_CONTRAST_SPAN or _is_mask(counts) else ['low-contrast']
  return flags if lit[-1] < _CLIPPED_SHARE * lit.sum() or _is_mask(counts) else [*flags, 'clipped']


def _is_mask(counts: Histogram) -> bool:
  """Black and white only: a segmentation, whose contrast is as it should be."""
  return bool(counts[0] and counts[0] + counts[-1] == counts.sum())


def _shape_flags(rows: int | None, columns: int | None) -> list[str]:
  if not rows or not columns:
    return []
  flags = ['tiny'] if min(rows, columns) < _TINY_PX else []
  return [*flags, 'extreme-aspect'] if max(rows, columns) >= _EXTREME_ASPECT * min(rows, columns) else flags
