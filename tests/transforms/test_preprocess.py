from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from tests.transforms import pictures
from transforms.preprocess import PreprocessSpec, Resize, preprocess

GREY = pictures.gradient(192, 256, 8)


def _means(image: Any, height: int, width: int) -> Any:
  """Means of equal areas, for sizes that divide."""
  rows, columns = image.shape[0] // height, image.shape[1] // width
  return image.reshape(height, rows, width, columns).mean(axis=(1, 3))


@pytest.mark.parametrize(
  ('resize', 'expected'),
  [
    ('pad', np.pad(_means(GREY, 24, 32), ((4, 4), (0, 0)))),
    ('crop', _means(GREY[:, 32:224], 32, 32)),
    ('stretch', _means(GREY, 32, 32)),
  ],
)
def test_shrinking_takes_means_of_areas(resize: Resize, expected: Any) -> None:
  result = preprocess(GREY, PreprocessSpec(image_size=32, resize=resize))
  assert result.dtype == np.uint8
  assert result.shape == (32, 32)
  assert result.flags.c_contiguous
  assert np.abs(result - expected).max() <= 1.5  # rounding, once a halving


@pytest.mark.parametrize(('rows', 'columns'), [(97, 131), (33, 127), (1000, 7), (16, 16), (5, 5), (1, 300), (32, 32)])
@pytest.mark.parametrize('resize', ['pad', 'crop', 'stretch'])
@pytest.mark.parametrize('channels', [1, 3])
def test_any_size_becomes_the_spec_s(rows: int, columns: int, resize: Resize, channels: Any) -> None:
  spec = PreprocessSpec(image_size=32, resize=resize, channels=channels)
  result = preprocess(np.full((rows, columns), 200, np.uint8), spec)
  assert result.shape == spec.shape[: 2 if channels == 1 else 3]
  assert result.max() == 200
  assert resize == 'pad' or result.min() == 200


def test_sizes_that_do_not_divide_come_close_to_means_of_areas() -> None:
  image = pictures.gradient(1000, 1400, 8)
  exact = _means(image.repeat(4, axis=0).repeat(4, axis=1)[: 160 * 25, : 224 * 25], 160, 224)
  result = preprocess(image, PreprocessSpec(image_size=224))[32:192]
  assert np.abs(result - exact).max() <= 4  # of 255, in a steep picture


def test_an_odd_size_keeps_its_proportions() -> None:
  """A mark in the middle of the last quarter stays there although odd lines are dropped."""
  image = np.zeros((515, 515), np.uint8)
  image[440:460, 440:460] = 255
  found = np.argwhere(preprocess(image, PreprocessSpec(image_size=32)) > 60).mean(axis=0)
  assert np.abs(found - 449.5 / 515 * 32 + 0.5).max() < 0.6


def test_colour_becomes_luma_and_grey_becomes_colour() -> None:
  colours = pictures.colours(32, 32)
  luma = colours @ np.array([0.299, 0.587, 0.114])
  assert np.abs(preprocess(colours, PreprocessSpec(image_size=32)) - luma).max() <= 1
  grey = pictures.gradient(32, 32, 8)
  assert np.array_equal(preprocess(grey, PreprocessSpec(image_size=32, channels=3)), np.dstack([grey] * 3))


def test_spec_is_a_value() -> None:
  spec = PreprocessSpec(image_size=64, resize='crop', channels=3)
  assert PreprocessSpec.from_dict(asdict(spec)) == spec
  assert spec.to_json() == '{"channels":3,"decode_scale":"full","image_size":64,"resize":"crop","version":1}'
  assert spec.digest != PreprocessSpec(image_size=64, resize='crop').digest
  assert PreprocessSpec(image_size=64, resize='crop', channels=3).digest == spec.digest


@pytest.mark.parametrize(
  ('change', 'message'),
  [({'image_size': 15}, '16 to 4096'), ({'resize': 'fit'}, 'pad, crop, stretch'), ({'channels': 2}, 'must be 1 or 3')],
)
def test_a_wrong_spec_says_what_is_right(change: dict[str, Any], message: str) -> None:
  with pytest.raises(ValueError, match=message):
    PreprocessSpec(**change)


def test_a_spec_of_another_version_is_refused() -> None:
  with pytest.raises(ValueError, match='expected'):
    PreprocessSpec.from_dict({'image_size': 64})
