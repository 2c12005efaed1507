"""What was done to a DICOM image before it came here: lossy compression, and text in its pixels."""

from dataclasses import replace
from typing import Final

from transforms.dicom import Dicom
from transforms.dicom_values import element_of, integer, numbers, text
from transforms.elements import HeaderFacts

_JPEG: Final = '1.2.840.10008.1.2.4.'  # PS3.5 A.4; the numbers below follow
# Discrete cosine transforms, JPEG XL made of such a JPEG, and video.
_ALWAYS_LOSSY: Final = frozenset(
  f'{_JPEG}{number}' for number in (*range(50, 57), *range(59, 65), 111, *range(100, 109))
)
# JPEG-LS near-lossless, JPEG 2000, its part 2, HTJ2K and JPEG XL: lossy unless the header says otherwise.
_MAYBE_LOSSY: Final = frozenset(f'{_JPEG}{number}' for number in (81, 91, 93, 203, 112))
_HIGHEST_RATIO: Final = 100_000.0


def with_provenance(facts: HeaderFacts, dataset: Dicom) -> HeaderFacts:
  """The facts with `lossy`, `lossy_ratio` and `burned_in` (PS3.3 C.7.6.1.1.5, C.7.6.1)."""
  burned_in = {'YES': True, 'NO': False}.get((text(dataset, 'BurnedInAnnotation') or '').upper())
  is_lossy = _is_lossy(dataset)
  return replace(facts, lossy=is_lossy, lossy_ratio=_ratio(dataset, facts) if is_lossy else None, burned_in=burned_in)


def _is_lossy(dataset: Dicom) -> bool | None:
  """Once lossy, always lossy: the header outlives the encoding."""
  uid = dataset.transfer_syntax
  declared = {'00': False, '01': True}.get(text(dataset, 'LossyImageCompression') or '')
  if uid in _ALWAYS_LOSSY:
    return True
  return True if declared is None and uid in _MAYBE_LOSSY else declared


def _ratio(dataset: Dicom, facts: HeaderFacts) -> float | None:
  """As declared, the highest of several steps; else of this file, where its own encoding is what loses."""
  ratio = _declared_ratio(dataset)
  uid = dataset.transfer_syntax
  if ratio is None and (uid in _ALWAYS_LOSSY or uid in _MAYBE_LOSSY):
    ratio = _measured_ratio(dataset, facts)
  return round(ratio, 2) if ratio and 1 <= ratio <= _HIGHEST_RATIO else None


def _declared_ratio(dataset: Dicom) -> float | None:
  values = [value for value in numbers(dataset, 'LossyImageCompressionRatio') if value is not None]
  return max(values, default=None)


def _measured_ratio(dataset: Dicom, facts: HeaderFacts) -> float | None:
  samples, bits = integer(dataset, 'SamplesPerPixel') or 1, integer(dataset, 'BitsAllocated') or 8
  pixels = element_of(dataset, 'PixelData')
  encoded_bytes = pixels.end - pixels.start if pixels else 0
  raw_bytes = (facts.rows or 0) * (facts.columns or 0) * (facts.number_of_frames or 1) * samples * bits / 8
  return raw_bytes / encoded_bytes if encoded_bytes else None
