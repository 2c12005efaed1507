import keras
import numpy as np
import pytest
import tensorflow as tf

from model.distribution import Learning, example_losses, make_strategy, make_train_step
from model.networks.options import NetworkOptions
from model.networks.registry import build_network


def test_losses_are_cross_entropies() -> None:
  targets = tf.constant([[1.0, 0.0], [0.0, 1.0]])
  binary = example_losses(tf.constant([[0.2], [0.9]]), targets)
  np.testing.assert_allclose(binary, [-np.log(0.8), -np.log(0.9)], rtol=1e-5)
  three = tf.constant([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
  several = example_losses(tf.constant([[0.2, 0.5, 0.3], [0.1, 0.7, 0.2]]), three)
  np.testing.assert_allclose(several, [-np.log(0.2), -(np.log(0.7) + np.log(0.2)) / 2], rtol=1e-5)
  assert keras.backend.backend() == 'tensorflow'


@pytest.mark.parametrize('classes', [2, 3])
def test_a_network_that_is_certain_of_the_wrong_class_learns_better(classes: int) -> None:
  network = build_network('cnn', (32, 32, 1), classes, NetworkOptions(dropout=0.0))
  bias = network.get_layer('head').bias
  bias.assign([300.0, *[0.0] * (bias.shape[0] - 1)])
  optimizer = keras.optimizers.SGD(1.0)
  optimizer.build([bias])
  learning = Learning(network, optimizer, [bias], np.ones(classes, np.float32))
  right = np.eye(classes, dtype=np.float32)[[0 if classes == 2 else 2] * 4]
  loss, _, _ = make_train_step(make_strategy('one_device'), learning, 4)(tf.zeros((4, 32, 32, 1)), tf.constant(right))
  assert float(loss) == pytest.approx(300, rel=0.01)
  assert float(bias[0]) == pytest.approx(299)


def test_an_unknown_strategy_is_refused() -> None:
  with pytest.raises(ValueError, match="strategy is 'tpu'; it must be one of auto, one_device, mirrored, multi_worker"):
    make_strategy('tpu')  # type: ignore[arg-type]
