import math

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from model.augmentation import STRENGTHS, Strength, augment

STILL = Strength(rotation_degrees=0, zoom=0, shift=0, brightness=0, flip=False)
LEVELS = tf.linspace(-2.0, 3.0, 256)


def _images(count: int = 8) -> tf.Tensor:
  return tf.constant(np.random.default_rng(0).uniform(-2, 3, (count, 24, 32, 1)), tf.float32)


def _augment(images: tf.Tensor, strength: Strength, batch: int = 0) -> NDArray[np.float32]:
  result: NDArray[np.float32] = augment(images, tf.constant([7, batch], tf.int64), strength, LEVELS).numpy()
  return result


def test_no_strength_changes_nothing() -> None:
  np.testing.assert_allclose(_augment(_images(), STILL), _images(), atol=1e-5)


def test_the_same_seed_and_batch_give_the_same_images() -> None:
  images, strength = _images(), STRENGTHS['standard']
  np.testing.assert_array_equal(_augment(images, strength), _augment(images, strength))
  assert not np.allclose(_augment(images, strength, 0), _augment(images, strength, 1))


@pytest.mark.parametrize('strength', STRENGTHS.values())
def test_values_stay_between_black_and_white(strength: Strength) -> None:
  augmented = _augment(_images(), strength)
  assert augmented.min() >= -2
  assert augmented.max() <= 3


def test_a_flip_mirrors_about_half_of_the_images_exactly() -> None:
  images = _images(40)
  augmented = _augment(images, Strength(0, 0, 0, 0, flip=True))
  mirrored = [np.allclose(a, i[:, ::-1], atol=1e-4) for a, i in zip(augmented, images.numpy(), strict=True)]
  kept = [np.allclose(a, i, atol=1e-4) for a, i in zip(augmented, images.numpy(), strict=True)]
  assert all(m != k for m, k in zip(mirrored, kept, strict=True))
  assert 8 <= sum(mirrored) <= 32


def test_a_shift_stays_within_its_limit_and_uncovers_black() -> None:
  image = np.full((30, 40, 40, 1), 1.0, np.float32)
  image[:, 20, 20] = 3.0
  augmented = _augment(tf.constant(image), Strength(0, 0, shift=0.1, brightness=0, flip=False))
  peaks = [np.unravel_index(each.argmax(), each.shape)[:2] for each in augmented]
  assert max(abs(row - 20) for row, _ in peaks) in (3, 4)
  assert max(abs(column - 20) for _, column in peaks) in (3, 4)
  assert augmented[:, 0].min() < -1.5


def test_a_rotation_stays_within_its_limit() -> None:
  image = np.full((30, 65, 65, 1), -2.0, np.float32)
  image[:, 31:34, 60:63] = 3.0  # at angle 0, 29 px from the centre
  augmented = np.clip(_augment(tf.constant(image), Strength(10, 0, 0, 0, flip=False)) + 2, 0, None)[..., 0]
  rows, columns = np.mgrid[:65, :65]
  y = (augmented * rows).sum((1, 2)) / augmented.sum((1, 2)) - 32
  x = (augmented * columns).sum((1, 2)) / augmented.sum((1, 2)) - 32
  angles = np.degrees(np.arctan2(y, x))
  assert 7 < np.abs(angles).max() <= 10.2
  assert np.all(np.abs(np.hypot(x, y) - 29) < 0.3)
  assert math.isclose(np.sign(angles).min(), -np.sign(angles).max())
