import numpy as np
import pytest
from numpy.typing import NDArray

from model.augmentation import UNMIXED, Mixing
from model.mixing import Image, Targets, draw_mix

TARGETS = np.eye(2, dtype=np.float32)[np.arange(16) % 2]


def _levels() -> NDArray[np.uint8]:
  """Images of one grey level: 100 for the first class, 200 for the second."""
  return np.broadcast_to((100 + np.arange(16) % 2 * 100)[:, None, None, None], (16, 32, 40, 1)).astype(np.uint8)


def mixed_batch(images: Image, how: Mixing, seed: int, number: int) -> tuple[Image, Targets]:
  mix = draw_mix(images.shape, how, seed, number)
  assert mix is not None
  return mix.apply(images, TARGETS, images[mix.partners], TARGETS[mix.partners])


def test_nothing_switched_on_mixes_nothing() -> None:
  assert draw_mix(_levels().shape, UNMIXED, 1, 0) is None


@pytest.mark.parametrize('how', [Mixing(mixup=0.4), Mixing(cutmix=1.0), Mixing(mixup=0.4, cutmix=1.0)])
def test_targets_are_mixed_as_the_images_are(how: Mixing) -> None:
  mixed = 0
  for number in range(20):
    images, targets = mixed_batch(_levels(), how, 1, number)
    assert images.dtype == np.uint8
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), targets @ np.array([100.0, 200.0]), atol=0.6)
    mixed += int(((targets > 0.05) & (targets < 0.95)).any())
  assert mixed > 5


def test_cutmix_pastes_boxes_and_mixup_does_not() -> None:
  assert set(np.unique(mixed_batch(_levels(), Mixing(cutmix=1.0), 1, 3)[0])) == {100, 200}
  assert set(np.unique(mixed_batch(_levels(), Mixing(mixup=1.0), 1, 3)[0])) - {100, 200}


def test_seed_and_number_decide() -> None:
  images = np.random.default_rng(0).integers(0, 256, (16, 32, 40, 1), np.uint8)
  first, again, other = (mixed_batch(images, Mixing(mixup=0.4), 1, number)[0] for number in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)
