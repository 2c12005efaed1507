from collections.abc import Callable

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from tests.transforms.pictures import colours, gradient
from transforms.elements import Pixels
from transforms.perceptual import BITS, perceptual_hash

GREY = gradient(224, 224, 8)


def distance(first: Pixels, second: Pixels) -> int:
  return (int(perceptual_hash(first), 16) ^ int(perceptual_hash(second), 16)).bit_count()


def test_it_is_the_phash_of_imagehash() -> None:
  small = gradient(32, 32, 8)
  assert perceptual_hash(small) == str(imagehash.phash(Image.fromarray(small)))


def test_resampling_is_all_that_differs_from_imagehash() -> None:
  for pixels in (GREY, colours(64, 64)):
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
  noise = np.random.default_rng(1).random((224, 224))
  picture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 8), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
  assert not np.array_equal(change(picture), picture)
  assert distance(picture, change(picture)) <= 4
  assert distance(picture, picture[:, ::-1].copy()) > 16
