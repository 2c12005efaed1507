import tracemalloc

import numpy as np
import pytest

from transforms.grey_levels import ValueBands, ValueTable, grey_levels, stretch, stretch_to_8_bit
from transforms.order_statistics import Counts, Numbers

EXTREMES = {kind: np.iinfo(kind) for kind in ('u1', 'i1', 'u2', 'i2', 'u4', 'i4')}


@pytest.mark.parametrize('kind', EXTREMES)
@pytest.mark.parametrize('span', [0, 3, 255, 256, 65_535, 65_536])
@pytest.mark.parametrize('end', ['min', 'max'])
def test_levels_are_the_image_again(kind: str, span: int, end: str) -> None:
  limits = EXTREMES[kind]
  if span > int(limits.max) - int(limits.min):
    span = int(limits.max) - int(limits.min)
  least = int(limits.min) if end == 'min' else int(limits.max) - span
  image = np.array([[least, least + span, least + span // 2], [least, least, least + span]], kind)
  levels = grey_levels(image)
  assert isinstance(levels, ValueTable if span < 1 << 16 else ValueBands)
  distances = levels.paint(lambda values: np.clip(values - least, 0, 255).astype(np.uint8))
  assert np.array_equal(distances, [[0, min(span, 255), min(span // 2, 255)], [0, 0, min(span, 255)]])
  values, counts = (np.concatenate(parts) for parts in zip(*levels.blocks(), strict=True))
  assert np.array_equal(np.sort(np.repeat(values, counts)), np.sort(image.ravel().astype(float)))


def test_what_is_no_number_does_not_count() -> None:
  levels = grey_levels(np.array([[1.0, np.nan], [np.inf, -2.0]]))
  values, counts = next(iter(levels.blocks()))
  assert np.isfinite(values).all()
  assert counts.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
  ('image', 'expected'),
  [
    ([[0] * 999 + [1]], [[0] * 999 + [255]]),  # percentiles coincide: least to greatest
    ([[6, 6]], [[0, 0]]),
    ([[9.0, 0.0, 4.5] * 5], [[255, 0, 128] * 5]),
    ([[np.nan, 0.0, 1.0, 1.0]], [[0, 0, 255, 255]]),
    ([[np.nan, np.inf]], [[0, 0]]),
  ],
)
def test_stretch(image: list[list[float]], expected: list[list[int]]) -> None:
  assert stretch_to_8_bit(np.array(image)).tolist() == expected


@pytest.mark.parametrize(('least', 'expected'), [(100, [0, 0, 127, 255]), (1000, [0, 85, 170, 255])])
def test_what_does_not_count_is_not_stretched_unless_there_is_nothing_else(least: int, expected: list[int]) -> None:
  def counted(values: Numbers, counts: Counts) -> Counts:
    return np.where(values < least, 0, counts)

  levels = grey_levels(np.repeat(np.array([[0, 100, 200, 300]], np.uint16), 500, axis=0))
  shares = stretch(levels, counted=counted)
  assert levels.paint(lambda values: (shares(values) * 255).astype(np.uint8))[0].tolist() == expected


@pytest.mark.parametrize('kind', ['i4', 'f4', 'f8'])
def test_a_large_image_of_many_values_needs_little_memory(kind: str) -> None:
  rows = np.linspace(-1e9, 1e9, 2000)
  image = (rows[:, None] + rows / 7).astype(kind)
  tracemalloc.start()
  try:
    shown = stretch_to_8_bit(image)
    assert tracemalloc.get_traced_memory()[1] < 8 * image.size
  finally:
    tracemalloc.stop()
  low, high = np.percentile(image.astype(float), (0.5, 99.5), method='lower')
  assert np.array_equal(shown, np.rint(np.clip((image.astype(float) - low) / (high - low), 0, 1) * 255))
