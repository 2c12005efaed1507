"""What was done to a DICOM image before it came here: lossy compression, and text in its pixels."""

from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset

from transforms.dicom import THIRD_PARTY_ERRORS, integer, text, transfer_syntax_uid
from transforms.elements import HeaderFacts

_JPEG: Final = '1.2.840.10008.1.2.4.'  # PS3.5 A.4; the numbers below follow
# Discrete cosine transforms, JPEG XL made of such a JPEG, and video.
_ALWAYS_LOSSY: Final = frozenset(
  f'{_JPEG}{number}' for number in (*range(50, 57), *range(59, 65), 111, *range(100, 109))
)
# JPEG-LS near-lossless, JPEG 2000, its part 2, HTJ2K and JPEG XL: lossy unless the header says otherwise.
_MAYBE_LOSSY: Final = frozenset(f'{_JPEG}{number}' for number in (81, 91, 93, 203, 112))
_HIGHEST_RATIO: Final = 100_000.0


def with_provenance(facts: HeaderFacts, dataset: Dataset) -> HeaderFacts:
  """The facts with `lossy`, `lossy_ratio` and `burned_in` (PS3.3 C.7.6.1.1.5, C.7.6.1)."""
  burned_in = {'YES': True, 'NO': False}.get((text(dataset, 'BurnedInAnnotation') or '').upper())
  is_lossy = _is_lossy(dataset)
  return replace(facts, lossy=is_lossy, lossy_ratio=_ratio(dataset, facts) if is_lossy else None, burned_in=burned_in)


def _is_lossy(dataset: Dataset) -> bool | None:
  """Once lossy, always lossy: the header outlives the encoding."""
  uid = transfer_syntax_uid(dataset)
  declared = {'00': False, '01': True}.get(text(dataset, 'LossyImageCompression') or '')
  if uid in _ALWAYS_LOSSY:
    return True
  return True if declared is None and uid in _MAYBE_LOSSY else declared


def _ratio(dataset: Dataset, facts: HeaderFacts) -> float | None:
  """As declared, the highest of several steps; else of this file, where its own encoding is what loses."""
  ratio = _declared_ratio(dataset)
  uid = transfer_syntax_uid(dataset)
  if ratio is None and (uid in _ALWAYS_LOSSY or uid in _MAYBE_LOSSY):
    ratio = _measured_ratio(dataset, facts)
  return round(ratio, 2) if ratio and 1 <= ratio <= _HIGHEST_RATIO else None


def _declared_ratio(dataset: Dataset) -> float | None:
  try:
    value = dataset.get('LossyImageCompressionRatio')
    values = [value] if isinstance(value, str | int | float) else list(value or ())
    return max((float(one) for one in values if one not in (None, '')), default=None)
  except THIRD_PARTY_ERRORS:
    return None


def _measured_ratio(dataset: Dataset, facts: HeaderFacts) -> float | None:
  samples, bits = integer(dataset, 'SamplesPerPixel') or 1, integer(dataset, 'BitsAllocated') or 8
  try:
    encoded_bytes = len(dataset.get('PixelData') or b'')
  except THIRD_PARTY_ERRORS:
    return None
  raw_bytes = (facts.rows or 0) * (facts.columns or 0) * (facts.number_of_frames or 1) * samples * bits / 8
  return raw_bytes / encoded_bytes if encoded_bytes else None
