import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from model.augmentation import PARTS, STRENGTHS, UNVARIED, Augmentation
from model.augmenting import augment_batch

CERTAIN = {
  **{'mirror': True, 'rotation_degrees': 15, 'zoom': 0.2, 'aspect': 0.2, 'shear': 0.1, 'shift': 0.1},
  **dict.fromkeys(('clahe', 'equalise', 'blur', 'resample', 'sharpen', 'noise', 'boxes', 'borders', 'markers'), 1.0),
  **{'gamma': 0.5, 'contrast': 0.4, 'brightness': 30},
}


def _images(count: int = 8, channels: int = 1, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
  return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


def test_nothing_switched_on_changes_nothing() -> None:
  np.testing.assert_array_equal(augment_batch(_images(), UNVARIED, 1, 0), _images())


def test_every_part_is_known_here() -> None:
  assert set(CERTAIN) == set(PARTS)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('part', PARTS)
def test_each_part_changes_images_and_keeps_their_shape(part: str, channels: int) -> None:
  images = _images(channels=channels)
  varied = augment_batch(images, Augmentation(**{part: CERTAIN[part]}), 1, 0)  # type: ignore[arg-type]
  assert varied.shape == images.shape
  assert varied.dtype == np.uint8
  assert not np.array_equal(varied, images)
  np.testing.assert_array_equal(images, _images(channels=channels))  # what is cached stays


@pytest.mark.parametrize('part', PARTS)
def test_a_part_that_is_left_out_is_off(part: str) -> None:
  only = Augmentation(**{part: CERTAIN[part]})  # type: ignore[arg-type]
  assert only.without([part]) == UNVARIED
  assert getattr(STRENGTHS['strong'].without([part]), part) == 0
  assert STRENGTHS['strong'].without([part]) == dataclasses.replace(STRENGTHS['strong'], **{part: False})


def test_seed_and_number_decide_whatever_the_neighbours_are() -> None:
  images, strong = _images(), STRENGTHS['strong']
  first = augment_batch(images, strong, 1, 0)
  np.testing.assert_array_equal(first, augment_batch(images, strong, 1, 0))
  np.testing.assert_array_equal(first[:3], augment_batch(images[:3], strong, 1, 0))
  assert not np.array_equal(first, augment_batch(images, strong, 1, 1))
  assert not np.array_equal(first, augment_batch(images, strong, 2, 0))


def test_a_mirror_takes_about_half_of_the_images_exactly() -> None:
  images = _images(40)
  varied = augment_batch(images, Augmentation(mirror=True), 1, 0)
  mirrored = [np.array_equal(new, old[:, ::-1]) for new, old in zip(varied, images, strict=True)]
  kept = [np.array_equal(new, old) for new, old in zip(varied, images, strict=True)]
  assert all(one != other for one, other in zip(mirrored, kept, strict=True))
  assert 8 <= sum(mirrored) <= 32


def test_a_shift_stays_within_its_limit_and_uncovers_black() -> None:
  image = np.full((30, 40, 40, 1), 100, np.uint8)
  image[:, 20, 20] = 255
  varied = augment_batch(image, Augmentation(shift=0.1), 1, 0).astype(int)
  peaks = np.array([np.unravel_index(each.argmax(), each.shape)[:2] for each in varied])
  assert np.abs(peaks - 20).max() in (3, 4)
  assert varied[:, 0].min() < 60


def _angles(varied: NDArray[np.uint8]) -> NDArray[np.float64]:
  rows, columns = np.mgrid[: varied.shape[1], : varied.shape[2]]
  mass = varied[..., 0].astype(float)
  y = (mass * rows).sum((1, 2)) / mass.sum((1, 2)) - 32
  x = (mass * columns).sum((1, 2)) / mass.sum((1, 2)) - 32
  np.testing.assert_allclose(np.hypot(x, y), 29, atol=0.3)
  return np.degrees(np.arctan2(y, x))


def test_a_rotation_stays_within_its_limit_to_either_side() -> None:
  image = np.zeros((30, 65, 65, 1), np.uint8)
  image[:, 31:34, 60:63] = 200  # at angle 0, 29 pixels from the centre
  angles = _angles(augment_batch(image, Augmentation(rotation_degrees=10), 1, 0))
  assert 7 < angles.max() <= 10.2
  assert -10.2 <= angles.min() < -7


def test_a_zoom_is_as_large_as_it_says() -> None:
  image = np.zeros((40, 100, 100, 1), np.uint8)
  image[:, 30:70, 30:70] = 255
  areas = augment_batch(image, Augmentation(zoom=0.2), 1, 0).sum((1, 2, 3)) / 255 / 1600
  assert np.exp(-0.4) * 0.97 <= areas.min() < 0.85
  assert 1.2 < areas.max() <= np.exp(0.4) * 1.03


def test_tone_is_one_table_for_the_whole_image_and_keeps_the_order_of_levels() -> None:
  ramp = np.tile(np.arange(256, dtype=np.uint8), (20, 4, 1))[..., np.newaxis]
  varied = augment_batch(ramp, Augmentation(gamma=0.5, contrast=0.4, brightness=30), 1, 0).astype(int)
  assert (varied == varied[:, :1]).all()
  assert (np.diff(varied[:, 0, :, 0], axis=1) >= 0).all()
  assert np.ptp(varied[:, 0, 128, 0]) > 30


@pytest.mark.parametrize(('part', 'share'), [('noise', 0.3), ('boxes', 0.5), ('markers', 0.2), ('borders', 0.1)])
def test_a_probability_is_the_share_of_images_that_are_changed(part: str, share: float) -> None:
  images = np.full((600, 32, 32, 1), 90, np.uint8)
  varied = augment_batch(images, Augmentation(**{part: share}), 1, 0)  # type: ignore[arg-type]
  changed = np.mean([not np.array_equal(new, old) for new, old in zip(varied, images, strict=True)])
  assert abs(changed - share) < 0.07


def test_noise_has_no_bias() -> None:
  images = np.full((50, 64, 64, 1), 90, np.uint8)
  assert abs(augment_batch(images, Augmentation(noise=1.0), 1, 0).mean() - 90) < 0.1
