from collections.abc import Callable

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from tests.transforms.pictures import gradient
from transforms.elements import Pixels
from transforms.perceptual import BITS, perceptual_hash


def distance(first: Pixels, second: Pixels) -> int:
  return (int(perceptual_hash(first), 16) ^ int(perceptual_hash(second), 16)).bit_count()


def test_it_is_the_phash_of_imagehash() -> None:
  small = gradient(32, 32, 8)
  assert perceptual_hash(small) == str(imagehash.phash(Image.fromarray(small)))


def clouds(seed: int) -> Pixels:
  noise = np.random.default_rng(seed).random((224, 224))
  smooth = cv2.GaussianBlur(noise, (0, 0), 8)
  return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def test_resampling_is_all_that_differs_from_imagehash() -> None:
  for pixels in (clouds(2), np.dstack([clouds(3), clouds(4), clouds(5)])):
    theirs = imagehash.phash(Image.fromarray(pixels))
    assert imagehash.hex_to_hash(perceptual_hash(pixels)) - theirs <= 4
    assert len(perceptual_hash(pixels)) == BITS // 4


def halved(pixels: Pixels) -> Pixels:
  return cv2.resize(cv2.resize(pixels, (112, 112), interpolation=cv2.INTER_AREA), (224, 224))


def brighter(pixels: Pixels) -> Pixels:
  return (pixels * 0.9 + 20).astype(np.uint8)


def recompressed(pixels: Pixels) -> Pixels:
  encoded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
  return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)


@pytest.mark.parametrize('change', [halved, brighter, recompressed])
def test_small_changes_of_an_image_change_few_bits(change: Callable[[Pixels], Pixels]) -> None:
  picture = clouds(1)
  assert not np.array_equal(change(picture), picture)
  assert distance(picture, change(picture)) <= 4
  assert distance(picture, picture[:, ::-1].copy()) > 16
