import ast
import pathlib
from collections import Counter

import numpy as np
import pytest

from model import shift_functions, shifts
from model.shifts import FAMILIES, SHIFTS, STRENGTHS, TOGETHER, VARIANTS, Pixels, Variant, apply, draw, set_digest

SIDE_PX = 96


def picture(number: int = 0, channels: int = 1) -> Pixels:
  """A drawn chest, more or less: two dark fields with ribs on a bright body, black above and below.

  Whole numbers only: chance is drawn from its pixels, which must be the same on every machine.
  """
  y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
  across, along = np.abs(x - SIDE_PX // 2) - 20, y - SIDE_PX // 2
  lungs = np.maximum(120 - across**2 // 2 - along**2 // 10, 0)
  ribs = lungs * ((y + np.abs(x - SIDE_PX // 2) // 3 + number) % 12 < 4) // 3
  grey = np.maximum(170 - lungs + ribs + (13 * y + 7 * x) % 11 * 3, 5)
  grey[: SIDE_PX // 12] = grey[-SIDE_PX // 12 :] = 0
  return np.repeat(grey.astype(np.uint8)[..., np.newaxis], channels, axis=2)


# What the frozen set makes of `picture()`: its mean, its standard deviation, its mean distance from the picture.
PINNED = {
  ('film-steep', 'mild'): (146.71, 80.75, 17.18),
  ('film-steep', 'strong'): (155.04, 89.89, 29.40),
  ('film-dark', 'mild'): (121.23, 68.01, 13.16),
  ('film-dark', 'strong'): (91.41, 59.76, 42.98),
  ('film-flat', 'mild'): (129.84, 61.82, 10.39),
  ('film-flat', 'strong'): (132.95, 61.47, 13.29),
  ('log-display', 'mild'): (156.46, 75.62, 22.07),
  ('log-display', 'strong'): (169.21, 79.44, 34.82),
  ('defocus', 'mild'): (134.38, 68.09, 1.88),
  ('defocus', 'strong'): (134.39, 67.69, 6.32),
  ('motion', 'mild'): (134.39, 67.99, 2.55),
  ('motion', 'strong'): (134.39, 67.61, 6.22),
  ('skipped-pixels', 'mild'): (134.54, 68.28, 8.84),
  ('skipped-pixels', 'strong'): (134.20, 68.16, 9.72),
  ('processed-detail', 'mild'): (134.45, 66.84, 3.98),
  ('processed-detail', 'strong'): (134.48, 65.93, 8.10),
  ('quantum-noise', 'mild'): (134.41, 68.55, 3.32),
  ('quantum-noise', 'strong'): (134.67, 69.12, 6.12),
  ('grain', 'mild'): (134.43, 68.42, 2.15),
  ('grain', 'strong'): (134.49, 68.66, 5.04),
  ('grid-lines', 'mild'): (134.34, 68.39, 1.71),
  ('grid-lines', 'strong'): (134.31, 68.53, 4.31),
  ('jpeg', 'mild'): (134.54, 67.98, 6.94),
  ('jpeg', 'strong'): (135.50, 68.61, 7.47),
  ('cropped', 'mild'): (128.27, 66.72, 16.61),
  ('cropped', 'strong'): (121.63, 64.88, 27.98),
  ('collimated', 'mild'): (116.80, 72.97, 17.59),
  ('collimated', 'strong'): (102.70, 74.91, 31.69),
  ('heel', 'mild'): (135.21, 71.03, 12.34),
  ('heel', 'strong'): (136.56, 76.49, 23.28),
  ('plate', 'mild'): (134.58, 69.09, 0.82),
  ('plate', 'strong'): (134.67, 69.39, 1.17),
}
DRAWN = [
  ('film-steep', 'strong'),
  ('motion', 'strong'),
  ('quantum-noise', 'mild'),
  ('plate', 'mild'),
  ('film-steep', 'mild'),
  ('skipped-pixels', 'mild'),
  ('grain', 'mild'),
  ('cropped', 'strong'),
]
DIGEST = 'd742c4f21315ebcfacd4241f4916f17e8e71b1f8e60052bd97e939772a84fb48'


@pytest.mark.parametrize('variant', VARIANTS, ids=lambda variant: f'{variant.shift}-{variant.strength}')
def test_the_set_is_frozen(variant: Variant) -> None:
  """Whoever changes it raises VERSION: the figures of older bundles were measured by another set."""
  before = picture().astype(float)
  after = apply(variant, picture()).astype(float)
  found = after.mean(), after.std(), np.abs(after - before).mean()
  assert found == pytest.approx(PINNED[variant.shift, variant.strength], abs=0.1)


def test_names_and_figures_are_frozen() -> None:
  assert set_digest() == DIGEST
  assert set(PINNED) == {(variant.shift, variant.strength) for variant in VARIANTS}


def test_the_draw_is_frozen() -> None:
  assert [(variant.shift, variant.strength) for number in range(2) for variant in draw(picture(number))[:-1]] == DRAWN


@pytest.mark.parametrize('variant', VARIANTS, ids=lambda variant: f'{variant.shift}-{variant.strength}')
@pytest.mark.parametrize('channels', [1, 3])
def test_a_change_keeps_shape_and_original_and_repeats(variant: Variant, channels: int) -> None:
  given = picture(channels=channels)
  changed = apply(variant, given)
  assert changed.dtype == np.uint8
  assert changed.shape == given.shape
  assert np.array_equal(given, picture(channels=channels))
  assert not np.array_equal(changed, given)
  assert np.array_equal(changed, apply(variant, picture(channels=channels)))


@pytest.mark.parametrize('variant', VARIANTS, ids=lambda variant: f'{variant.shift}-{variant.strength}')
def test_what_pad_left_black_stays_black(variant: Variant) -> None:
  changed = apply(variant, picture())
  assert not changed[: SIDE_PX // 12].any()
  assert not changed[-SIDE_PX // 12 :].any()


@pytest.mark.parametrize('variant', VARIANTS, ids=lambda variant: f'{variant.shift}-{variant.strength}')
@pytest.mark.parametrize('shape', [(16, 16, 1), (16, 40, 3)])
@pytest.mark.parametrize('grey', [0, 255])
def test_the_smallest_images_of_one_grey_level_pass(variant: Variant, shape: tuple[int, int, int], grey: int) -> None:
  assert apply(variant, np.full(shape, grey, np.uint8)).shape == shape


@pytest.mark.parametrize('shift', SHIFTS, ids=lambda shift: shift.name)
def test_strong_is_further_away_than_mild(shift: shifts.Shift) -> None:
  distances = [PINNED[shift.name, strength][2] for strength in STRENGTHS]
  assert distances[0] < distances[1]


def test_an_image_goes_through_every_family_and_all_variants_are_drawn_alike() -> None:
  drawn = [draw(np.array([[[number % 256], [number // 256]]], np.uint8)) for number in range(2000)]
  assert {tuple(variant.family for variant in variants) for variants in drawn} == {(*FAMILIES, TOGETHER)}
  counts = Counter(variant for variants in drawn for variant in variants[:-1])
  assert set(counts) == set(VARIANTS)
  assert 180 < min(counts.values()) <= max(counts.values()) < 320  # 250 each are expected


def test_together_are_those_that_were_drawn_one_after_the_other_and_mild() -> None:
  expected = picture(3)
  for variant in draw(picture(3))[:-1]:
    expected = apply(Variant(variant.shift, 'mild'), expected)
  np.testing.assert_array_equal(apply(draw(picture(3))[-1], picture(3)), expected)


def test_other_pixels_get_other_noise() -> None:
  variant = Variant('quantum-noise', 'strong')
  first, second = (apply(variant, np.full((32, 32, 1), grey, np.uint8)).astype(int) for grey in (120, 121))
  assert np.abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.2


def test_a_low_dose_is_noisiest_where_the_picture_is_bright() -> None:
  deviations = [apply(Variant('quantum-noise', 'mild'), np.full((64, 64, 1), g, np.uint8)).std() for g in (40, 200)]
  assert deviations[1] > 1.5 * deviations[0]


def test_film_is_steepest_in_the_middle_and_never_falls() -> None:
  ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
  curve = apply(Variant('film-steep', 'strong'), ramp).ravel().astype(int)
  assert (curve[0], curve[-1]) == (0, 255)
  assert (np.diff(curve) >= 0).all()
  assert curve[140] - curve[116] > 2 * 24 > curve[24]


def test_no_function_is_one_of_the_training_augmentation() -> None:
  """They would measure what the network was trained on."""
  called = {
    node.attr
    for node in ast.walk(ast.parse(pathlib.Path(shift_functions.__file__).read_text()))
    if isinstance(node, ast.Attribute)
  }
  trained_on = {'GaussianBlur', 'warpAffine', 'createCLAHE', 'equalizeHist', 'putText', 'INTER_LINEAR', 'INTER_AREA'}
  assert called & trained_on == set()
  assert {'filter2D', 'INTER_NEAREST', 'poisson'} <= called
