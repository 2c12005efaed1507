import functools
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from model.networks.options import NetworkOptions
from model.networks.registry import ARCHITECTURES, build_network
from model.networks.weights import WeightsError

ROOT = pathlib.Path(__file__).parent.parent.parent
SMALLEST = {name: 75 if name == 'inception_v3' else 32 for name in ARCHITECTURES}
SMALL = ('cnn', 'resnet_small')
# All options that a network trained from scratch can have.
SCRATCH = NetworkOptions(dropout=0.2, black=-1.5, white=2.5)


@functools.cache
def smallest(architecture: str) -> keras.Model:
  """For two classes of the smallest grey images; not to be changed by a test."""
  side = SMALLEST[architecture]
  return build_network(architecture, (side, side, 1), 2, SCRATCH)


def images(network: keras.Model, count: int = 2) -> NDArray[np.float32]:
  return np.random.default_rng(0).uniform(-1.5, 2.5, (count, *network.input_shape[1:])).astype(np.float32)


def features(network: keras.Model, batch: NDArray[np.float32]) -> NDArray[np.float32]:
  return keras.Model(network.input, network.get_layer('features').output)(batch).numpy()


@pytest.fixture
def half_precision() -> Iterator[None]:
  keras.config.set_dtype_policy('mixed_bfloat16')
  yield
  keras.config.set_dtype_policy('float32')


def outputs(network: keras.Model) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
  """Features and scores of the same two images, in inference."""
  both = keras.Model(network.input, [network.get_layer('features').output, network.output])(images(network))
  return both[0].numpy(), both[1].numpy()


def check_contract(network: keras.Model, embedding: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
  assert scores.shape == (2, 1)
  assert scores.dtype == np.float32
  assert np.all((scores > 0) & (scores < 1))
  assert embedding.ndim == 2
  assert np.ptp(embedding, axis=0).max() > 0  # it sees a difference
  names = [layer.name for layer in network.layers]
  assert names[-1] == 'head'
  assert all(name.startswith('head') for name in names[names.index('features') + 1 :])


def check_step(network: keras.Model) -> None:
  """From a head that is not zero, so that the backbone has a gradient too."""
  head = network.get_layer('head')
  head.kernel.assign(np.random.default_rng(1).normal(0, 0.1, head.kernel.shape))
  labels = np.array([[0.0], [1.0], [0.0], [1.0]], np.float32)
  with tf.GradientTape() as tape:
    loss = tf.reduce_mean(keras.losses.binary_crossentropy(labels, network(images(network, 4), training=True)))
  gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
  assert all(gradient is not None and np.all(np.isfinite(gradient)) for gradient in gradients)
  assert np.any(gradients[0].numpy() != 0)
  keras.optimizers.SGD(1e-3).apply(gradients, network.trainable_variables)
  assert all(np.all(np.isfinite(weights)) for weights in network.get_weights())


def check_network(architecture: str, folder: pathlib.Path) -> None:
  """The contract, what comes back from a file, and a step: what takes time is to build it and to let it run first."""
  network = smallest(architecture)
  embedding, scores = outputs(network)
  check_contract(network, embedding, scores)
  network.save(folder / 'model.keras')
  again = keras.saving.load_model(folder / 'model.keras')
  np.testing.assert_array_equal(outputs(again)[0], embedding)
  assert len(again.trainable_variables) == len(network.trainable_variables)
  check_step(again)


# The others are built by tests/jobs/test_all_networks.py.
@pytest.mark.parametrize('architecture', SMALL)
def test_a_network_keeps_the_contract_comes_back_from_its_file_and_learns(
  architecture: str, tmp_path: pathlib.Path
) -> None:
  check_network(architecture, tmp_path)


def parameters_in_the_readme() -> dict[str, int]:
  rows = re.findall(r'^\| `(\w+)` \| ([\d,]+) \|', (ROOT / 'README.md').read_text(encoding='utf-8'), re.MULTILINE)
  return {name: int(count.replace(',', '')) for name, count in rows}


def test_the_readme_lists_every_network() -> None:
  assert set(parameters_in_the_readme()) == set(ARCHITECTURES)


def check_parameters(architecture: str) -> None:
  """All but `cnn` have as many parameters for every size."""
  network = build_network('cnn', (224, 224, 1), 2) if architecture == 'cnn' else smallest(architecture)
  assert network.count_params() == parameters_in_the_readme()[architecture]


@pytest.mark.parametrize('architecture', SMALL)
def test_the_figures_in_the_readme_are_true(architecture: str) -> None:
  check_parameters(architecture)


@pytest.mark.parametrize(('size', 'classes', 'units'), [(32, 2, 1), (45, 3, 3), (224, 2, 1), (512, 2, 1)])
def test_any_size_ends_in_few_features(size: int, classes: int, units: int) -> None:
  network = build_network('cnn', (size, size, 1), classes)
  outputs = network(np.zeros((2, size, size, 1), np.float32)).numpy()
  assert outputs.shape == (2, units)
  assert network.count_params() < 1_000_000
  if classes > 2:
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-6)


def check_colours(architecture: str) -> None:
  network = build_network(architecture, (32, 32, 3), 4)
  outputs = network(images(network)).numpy()
  np.testing.assert_allclose(outputs.sum(axis=1), [1, 1], atol=1e-6)
  assert outputs.shape == (2, 4)


@pytest.mark.parametrize('architecture', SMALL)
def test_colours_and_several_classes(architecture: str) -> None:
  check_colours(architecture)


def check_resized(architecture: str) -> None:
  network = build_network(architecture, (64, 64, 1), 2, NetworkOptions(input_size=40))
  assert network.input_shape == (None, 64, 64, 1)
  assert network.get_layer('input_size').output.shape[1:3] == (40, 40)
  assert network(images(network)).shape == (2, 1)


@pytest.mark.parametrize('architecture', SMALL)
def test_images_are_resized_inside(architecture: str) -> None:
  check_resized(architecture)


def check_half_precision(architecture: str) -> None:
  network = build_network(architecture, (32, 32, 1), 2, SCRATCH)
  assert network.get_layer('features').compute_dtype == 'bfloat16'
  assert network(images(network)).dtype == tf.float32
  scales = [layer for layer in network.layers if layer.name == 'input_scale']
  assert all(layer.compute_dtype == 'float32' for layer in scales)


@pytest.mark.usefixtures('half_precision')
def test_scores_are_float32_under_mixed_precision() -> None:
  check_half_precision('cnn')


@pytest.mark.parametrize(
  ('architecture', 'size', 'classes', 'message'),
  [
    ('resnet', 64, 2, "architecture is 'resnet'; it must be one of cnn, densenet121"),
    ('cnn', 64, 1, 'has 1 classes'),
    ('cnn', 16, 2, 'image_size is 16; cnn needs at least 32: ingest with a larger'),
    ('resnet_small', 31, 2, 'image_size is 31; resnet_small needs at least 32'),
    ('inception_v3', 64, 2, 'image_size is 64; inception_v3 needs at least 75'),
  ],
)
def test_what_cannot_be_built_is_said(architecture: str, size: int, classes: int, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    build_network(architecture, (size, size, 1), classes)


@pytest.mark.parametrize(
  ('architecture', 'options', 'message'),
  [
    ('cnn', {'initial_weights': 'imagenet'}, 'initial_weights is imagenet, but cnn is trained from scratch'),
    ('resnet_small', {'initial_weights': 'x.h5'}, 'initial_weights is x.h5, but resnet_small is trained from scratch'),
    ('cnn', {'stochastic_depth': 0.1}, 'stochastic_depth is 0.1, but cnn has no branches'),
    ('vgg16', {'stochastic_depth': 0.1}, 'stochastic_depth is 0.1, but vgg16 has no branches'),
    ('cnn', {'initial_weights': 'x.keras', 'batch_norm': 'folded'}, 'batch_norm is folded, which cnn cannot be'),
    ('resnet50', {'initial_weights': 'imagenet', 'batch_norm': 'folded'}, 'folded, which resnet50 cannot be'),
    ('vgg16', {'input_size': 20}, 'input_size is 20; vgg16 needs at least 32'),
  ],
)
def test_options_that_do_not_fit_are_said(architecture: str, options: dict[str, Any], message: str) -> None:
  with pytest.raises(ValueError, match=message):
    build_network(architecture, (64, 64, 1), 2, NetworkOptions(**options))


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'dropout': 1.0}, 'dropout is 1.0; it must be at least 0 and below 1'),
    ({'stochastic_depth': -0.1}, 'stochastic_depth is -0.1'),
    ({'frozen_share': 1.1}, 'frozen_share is 1.1; it must be from 0 to 1'),
    ({'input_size': 0}, 'input_size is 0'),
    ({'black': 1.0}, 'black is 1.0 and white is 1.0; expected black below white'),
    ({'batch_norm': 'none'}, "batch_norm is 'none'; it must be one of live, frozen, folded"),
    ({'initial_weights': ''}, 'initial_weights is empty'),
    ({'batch_norm': 'folded'}, 'batch_norm is folded, but initial_weights is none: there are no statistics to keep'),
    ({'frozen_share': 0.5}, 'frozen_share is 0.5, but initial_weights is none: random blocks would stay random'),
  ],
)
def test_options_are_checked_on_making_them(options: dict[str, Any], message: str) -> None:
  with pytest.raises(ValueError, match=message):
    NetworkOptions(**options)


def saved(network: keras.Model, folder: pathlib.Path) -> str:
  network.save(folder / 'model.keras')
  return str(folder / 'model.keras')


def check_going_on(architecture: str, folder: pathlib.Path) -> None:
  first = smallest(architecture)
  options = NetworkOptions(
    initial_weights=saved(first, folder), batch_norm='frozen', frozen_share=0.5, black=-1.5, white=2.5
  )
  more = build_network(architecture, (32, 32, 1), 3, options)
  np.testing.assert_allclose(features(more, images(first)), features(first, images(first)), rtol=1e-5, atol=1e-6)
  same = build_network(architecture, (32, 32, 1), 2, options)
  np.testing.assert_array_equal(same.get_layer('head').kernel, first.get_layer('head').kernel)


@pytest.mark.parametrize('architecture', SMALL)
def test_training_goes_on_from_a_bundle_with_other_labels(architecture: str, tmp_path: pathlib.Path) -> None:
  check_going_on(architecture, tmp_path)


def test_weights_of_another_network_are_refused(tmp_path: pathlib.Path) -> None:
  options = NetworkOptions(initial_weights=saved(smallest('cnn'), tmp_path))
  with pytest.raises(WeightsError, match=r"'model.keras' are of another network: they do not fit its layer 'stem'"):
    build_network('resnet_small', (32, 32, 1), 2, options)
  (tmp_path / 'broken.keras').write_bytes(b'no network')
  for name in ('broken.keras', 'none.keras'):
    with pytest.raises(WeightsError, match=f'{name!r} cannot be read as a Keras network'):
      build_network('cnn', (32, 32, 1), 2, NetworkOptions(initial_weights=str(tmp_path / name)))
