import keras
import numpy as np
import tensorflow as tf

from model.predictions import make_scorer, predict


def _network() -> keras.Model:
  keras.utils.set_random_seed(3)
  return keras.Sequential([keras.Input((4, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(1, 'sigmoid')])


def test_a_mirror_view_is_the_mean_of_both() -> None:
  network = _network()
  images = np.random.default_rng(0).normal(size=(5, 4, 6, 1)).astype(np.float32)
  both = [network(view, training=False).numpy()[:, 0] for view in (images, images[:, :, ::-1])]
  scores = make_scorer(network, 'mirror')(tf.constant(images)).numpy()
  np.testing.assert_allclose(scores[:, 1], np.mean(both, axis=0), atol=1e-6)
  np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
  assert np.abs(both[0] - both[1]).max() > 0.01
  np.testing.assert_allclose(make_scorer(network)(tf.constant(images)).numpy()[:, 1], both[0], atol=1e-6)


def test_predictions_are_in_the_order_of_the_batches() -> None:
  images = np.random.default_rng(0).normal(size=(7, 4, 6, 1)).astype(np.float32)
  labels = np.arange(7) % 2
  found = predict(make_scorer(_network()), tf.data.Dataset.from_tensor_slices((images, labels)).batch(3))
  np.testing.assert_array_equal(found.truth, labels)
  np.testing.assert_allclose(found.scores[:, 1], _network()(images).numpy()[:, 0], atol=1e-6)
