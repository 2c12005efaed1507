import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from model.networks.densenet121 import DENSENET121
from model.networks.efficientnetv2_b0 import EFFICIENTNETV2_B0
from model.networks.inception_v3 import INCEPTION_V3
from model.networks.inputs import LITE, Scale, scaled, three_channels
from model.networks.mobilenet_v3 import MOBILENET_V3_LARGE
from model.networks.options import NetworkOptions
from model.networks.resnet50 import RESNET50
from model.networks.transfer import Family, build_transfer
from model.networks.vgg16 import VGG16
from model.networks.weights import WeightsError

SHAPE = (32, 32, 1)
applications = keras.applications


def feed(scale: Scale, levels: NDArray[Any], options: NetworkOptions) -> NDArray[np.float32]:
  """What a backbone is fed with images."""
  images = keras.Input(levels.shape[1:])
  model = keras.Model(images, scaled(three_channels(images, scale), scale, options))
  return model(levels.astype(np.float32)).numpy()


@functools.cache
def first_layers() -> keras.Model:
  """Those of Keras's EfficientNetV2-B0 that scale."""
  network = applications.EfficientNetV2B0(include_top=False, weights=None, input_shape=(32, 32, 3))
  last = next(layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
  return keras.Model(network.input, last.output)


def v2_scale(levels: NDArray[np.float32]) -> NDArray[np.float32]:
  return first_layers()(levels).numpy()


@pytest.mark.parametrize(
  ('scale', 'reference'),
  [
    (VGG16.scale, applications.vgg16.preprocess_input),
    (RESNET50.scale, applications.resnet50.preprocess_input),
    (INCEPTION_V3.scale, applications.inception_v3.preprocess_input),
    (DENSENET121.scale, applications.densenet.preprocess_input),
    (EFFICIENTNETV2_B0.scale, v2_scale),
    (MOBILENET_V3_LARGE.scale, lambda levels: levels / 127.5 - 1.0),
    (LITE, lambda levels: (levels - 127.0) / 128.0),
  ],
)
def test_images_are_scaled_as_the_weights_expect(
  scale: Scale, reference: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
  """In colour, in grey, and standardised in grey."""
  levels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
  as_levels = NetworkOptions(black=0.0, white=255.0)
  np.testing.assert_allclose(feed(scale, levels, as_levels), reference(levels.copy()), atol=1e-4)
  grey = levels[..., :1]
  expected = reference(np.repeat(grey, 3, axis=3))
  np.testing.assert_allclose(feed(scale, grey, as_levels), expected, atol=1e-4)
  standard = NetworkOptions(black=-1.75, white=2.25)
  np.testing.assert_allclose(feed(scale, grey / 255 * 4 - 1.75, standard), expected, atol=2e-4)


def features(network: keras.Model) -> NDArray[np.float32]:
  levels = np.random.default_rng(0).random((2, *SHAPE), np.float32)
  return keras.Model(network.input, network.get_layer('features').output)(levels).numpy()


@pytest.fixture(scope='module')
def backbone() -> keras.Model:
  """VGG16 with weights that nobody published."""
  keras.utils.set_random_seed(5)
  return applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))


@pytest.fixture(scope='module')
def legacy_file(backbone: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """In the format of the files that Keras publishes."""
  path = tmp_path_factory.mktemp('weights') / VGG16.weights.name
  backbone.save(path)
  return path


@pytest.fixture(scope='module')
def expected(backbone: keras.Model) -> NDArray[np.float32]:
  network = build_transfer(VGG16, SHAPE, 2, NetworkOptions())
  network.get_layer('vgg16').set_weights(backbone.get_weights())
  return features(network)


def with_weights(path: pathlib.Path | str, family: Family = VGG16) -> keras.Model:
  return build_transfer(family, SHAPE, 2, NetworkOptions(initial_weights=str(path)))


def test_a_file_needs_no_network(
  backbone: keras.Model, legacy_file: pathlib.Path, expected: NDArray[np.float32], tmp_path: pathlib.Path
) -> None:
  assert np.ptp(expected) > 0
  np.testing.assert_array_equal(features(with_weights(legacy_file)), expected)
  backbone.save_weights(tmp_path / 'mine.weights.h5')
  np.testing.assert_array_equal(features(with_weights(tmp_path / 'mine.weights.h5')), expected)


def test_imagenet_says_which_file_and_where(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setenv('KERAS_HOME', str(tmp_path))
  message = r'nothing is downloaded unasked: fetch https.*/vgg16/vgg16_.*_notop.h5 \(59 MB\) and put it into .*/models'
  with pytest.raises(WeightsError, match=message):
    with_weights('imagenet')
  assert list(tmp_path.iterdir()) == []


def test_imagenet_takes_the_file_that_is_there_if_it_is_the_published_one(
  legacy_file: pathlib.Path, expected: NDArray[np.float32], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setenv('KERAS_HOME', str(tmp_path))
  (tmp_path / 'models').mkdir()
  (tmp_path / 'models' / legacy_file.name).write_bytes(legacy_file.read_bytes())
  with pytest.raises(WeightsError, match='is not the file that Keras publishes'):
    with_weights('imagenet')
  md5 = hashlib.md5(legacy_file.read_bytes(), usedforsecurity=False).hexdigest()
  published = dataclasses.replace(VGG16, weights=dataclasses.replace(VGG16.weights, md5=md5))
  np.testing.assert_array_equal(features(with_weights('imagenet', published)), expected)


@pytest.mark.parametrize('name', ['foreign.h5', 'foreign.weights.h5', 'none.h5', 'part.weights.h5', 'foreign.pth'])
def test_a_file_of_something_else_is_refused(name: str, tmp_path: pathlib.Path) -> None:
  for foreign in ('foreign.h5', 'foreign.weights.h5', 'foreign.pth'):
    (tmp_path / foreign).write_bytes(b'no weights')
  whole = applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
  part = keras.Model(whole.input, whole.get_layer('block3_pool').output)
  part.save_weights(tmp_path / 'part.weights.h5')
  with pytest.raises(WeightsError, match=f'{name!r} cannot be read as those of vgg16 without its classifier'):
    with_weights(tmp_path / name)


@pytest.mark.parametrize(('share', 'frozen'), [(0.0, 0), (0.5, 6), (1.0, 13)])
def test_layers_from_the_input_on_are_frozen(share: float, frozen: int, legacy_file: pathlib.Path) -> None:
  options = NetworkOptions(initial_weights=str(legacy_file), frozen_share=share)
  network = build_transfer(VGG16, SHAPE, 2, options)
  convolutions = [layer for layer in network.get_layer('vgg16').layers if layer.weights]
  assert [layer.trainable for layer in convolutions] == [False] * frozen + [True] * (13 - frozen)
  assert network.get_layer('head').trainable


def norms(network: keras.Model) -> list[keras.layers.BatchNormalization]:
  return [layer for layer in network.layers[-4].layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_batch_norm_is_frozen_or_live_over_all_devices(tmp_path: pathlib.Path) -> None:
  live = build_transfer(MOBILENET_V3_LARGE, SHAPE, 2, NetworkOptions())
  assert len(norms(live)) == 46
  assert all(norm.synchronized and norm.trainable for norm in norms(live))
  live.layers[-4].save_weights(tmp_path / 'mine.weights.h5')
  options = NetworkOptions(initial_weights=str(tmp_path / 'mine.weights.h5'), batch_norm='frozen')
  frozen = build_transfer(MOBILENET_V3_LARGE, SHAPE, 2, options)
  images = np.random.default_rng(0).random((2, *SHAPE), np.float32)
  for network, moves in ((live, True), (frozen, False)):
    before = norms(network)[0].moving_mean.numpy()
    network(images, training=True)
    assert np.any(norms(network)[0].moving_mean.numpy() != before) == moves


def test_branches_are_left_out_the_deeper_the_more_often() -> None:
  network = build_transfer(EFFICIENTNETV2_B0, SHAPE, 2, NetworkOptions(stochastic_depth=0.15))
  rates = [layer.rate for layer in network.layers[-4].layers if layer.name.endswith('_drop')]
  np.testing.assert_allclose(rates, [0.01 * step for step in range(1, 16)])
  none = build_transfer(EFFICIENTNETV2_B0, SHAPE, 2, NetworkOptions())
  assert {layer.rate for layer in none.layers[-4].layers if layer.name.endswith('_drop')} == {0.0}
