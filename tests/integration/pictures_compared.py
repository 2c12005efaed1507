"""Our picture of a file against dcmtk's."""

import numpy as np

from benchmarks.dcmtk import correlation, luma
from transforms.codecs import stored_frame
from transforms.dicom import read_dicom
from transforms.display import display_frame
from transforms.elements import Limits, Pixels
from transforms.pixel_layout import pixel_layout

MAX_DIFFERENCE = 2.0  # grey levels, of mean and of deviation
LEAST_CORRELATION = 0.99
LEAST_CORRELATION_STRETCHED = 0.95


def ours(data: bytes, frame: int = 1) -> Pixels:
  """One frame as it goes into `preprocess`."""
  dicom = read_dicom(data, Limits())
  layout = pixel_layout(dicom, Limits())
  return display_frame(stored_frame(dicom, layout, frame - 1), dicom, layout, frame - 1)


def assert_same(found: Pixels, expected: Pixels) -> None:
  """Holds two pictures to what is promised where there is a window, a table or colour."""
  a, b = luma(found).astype(float), luma(expected).astype(float)
  assert found.shape == expected.shape
  assert abs(a.mean() - b.mean()) <= MAX_DIFFERENCE
  assert abs(a.std() - b.std()) <= MAX_DIFFERENCE
  assert correlation(found, expected) >= LEAST_CORRELATION


def assert_alike(found: Pixels, expected: Pixels) -> None:
  """Holds two pictures to what is promised where each stretches the values in its own way."""
  assert np.ptp(found) > 200
  assert correlation(found, expected) >= LEAST_CORRELATION_STRETCHED
