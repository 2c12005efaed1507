from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.synthetic_pictures import Picture, draw_chest

PICTURES_PER_CLASS = 120


@pytest.fixture(scope='module')
def chests() -> tuple[Picture, Picture]:
  """Normal ones, and ones with opacities: (pictures, 64, 64)."""
  rng = np.random.default_rng(5)
  return _draw(rng, opacities=False), _draw(rng, opacities=True)


def _draw(rng: np.random.Generator, opacities: bool) -> Picture:
  pictures = [draw_chest(rng, opacities, 128, 104) for _ in range(PICTURES_PER_CLASS)]
  return np.stack([cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA) for picture in pictures])


def _auc(normal: NDArray[np.floating[Any]], ill: NDArray[np.floating[Any]]) -> float:
  """Share of pairs in which the ill one has more."""
  return float((ill[:, None] > normal[None, :]).mean())


def _lung_texture(pictures: Picture) -> NDArray[np.floating[Any]]:
  """Unevenness of the lung fields once exposure is undone and noise is smoothed."""
  smooth = np.stack([cv2.GaussianBlur(picture, (0, 0), 2.5) for picture in pictures])
  fields = np.concatenate([smooth[:, 14:40, 12:24], smooth[:, 14:40, 40:52]], axis=2)
  exposure = smooth.max((1, 2)) - np.percentile(smooth, 5, axis=(1, 2))
  return fields.std((1, 2)) / exposure


def test_brightness_alone_does_not_tell_the_classes_apart(chests: tuple[Picture, Picture]) -> None:
  assert _auc(chests[0].mean((1, 2)), chests[1].mean((1, 2))) < 0.75


def test_a_simple_feature_of_the_lung_fields_does(chests: tuple[Picture, Picture]) -> None:
  assert _auc(_lung_texture(chests[0]), _lung_texture(chests[1])) > 0.93


def test_lungs_are_dark_and_the_mediastinum_is_bright(chests: tuple[Picture, Picture]) -> None:
  for pictures in chests:
    lungs = np.median(np.concatenate([pictures[:, 14:40, 14:22], pictures[:, 14:40, 42:50]], axis=2), axis=(1, 2))
    middle = np.median(pictures[:, 14:40, 30:34], axis=(1, 2))
    assert (lungs < middle).all()


@pytest.mark.parametrize('opacities', [False, True])
def test_a_picture_is_grey_from_0_to_1_and_has_the_size_asked_for(opacities: bool) -> None:
  picture = draw_chest(np.random.default_rng(0), opacities, 81, 60)
  assert picture.shape == (81, 60)
  assert picture.dtype == np.float32
  assert picture.min() >= 0
  assert picture.max() <= 1
