import keras
import numpy as np
import pytest
import tensorflow as tf

from model.optimization import WeightAverage, learning_rate, make_optimizer
from model.recipe import OptimizerName, Recipe


def _rates(recipe: Recipe, steps: int) -> list[float]:
  rate = learning_rate(recipe, steps)
  return [float(rate(step)) if callable(rate) else rate for step in range(steps + 1)]


def test_a_cosine_falls_from_the_highest_rate_to_its_end() -> None:
  rates = _rates(Recipe(learning_rate=0.3, final_rate=0.1), 10)
  expected = [0.03 + 0.27 * (1 + np.cos(np.pi * step / 10)) / 2 for step in range(11)]
  np.testing.assert_allclose(rates, expected, rtol=1e-5)


@pytest.mark.parametrize(('schedule', 'last'), [('cosine', 0.0), ('constant', 0.3)])
def test_a_warm_up_rises_to_the_highest_rate(schedule: str, last: float) -> None:
  rates = _rates(Recipe(learning_rate=0.3, warmup_steps=6, schedule=schedule), 20)  # type: ignore[arg-type]
  np.testing.assert_allclose(np.diff(rates[:7]), (0.3 - 0.01) / 6, rtol=1e-4)
  np.testing.assert_allclose([rates[0], rates[6], rates[20]], [0.01, 0.3, last], atol=1e-6)


def test_a_constant_rate_stays() -> None:
  assert _rates(Recipe(learning_rate=0.3, schedule='constant'), 3) == [0.3] * 4


def _network() -> keras.Model:
  keras.utils.set_random_seed(0)
  layers = [keras.Input((3,)), keras.layers.Dense(2, bias_initializer='ones'), keras.layers.BatchNormalization()]
  return keras.Sequential(layers)


# How far a gradient of 2, and then none, moves a weight, in learning rates. SGD has a momentum of 0.9, by Nesterov:
# 1.9 × 2, then 0.81 × 2. Adam divides the mean of the gradients by their size (Kingma and Ba, ICLR 2015, with 0.9 and
# 0.999): first 1, then (0.18 / 0.19) / √(0.003996 / 0.001999). Of the kernel, which is 1, AdamW takes half in addition.
@pytest.mark.parametrize(
  ('name', 'weight_decay', 'kernel', 'bias'),
  [
    ('sgd', 0.0, [3.8, 1.62], [3.8, 1.62]),
    ('adam', 0.0, [1.0, 0.67006], [1.0, 0.67006]),
    ('adamw', 0.5, [1.5, 1.17006], [1.0, 0.67006]),
  ],
)
def test_an_optimizer_goes_down_the_gradient_as_its_name_says(
  name: OptimizerName, weight_decay: float, kernel: list[float], bias: list[float]
) -> None:
  rate = 1e-3  # so small that the kernel stays 1 but for a thousandth
  shapes = {'kernel': (2, 2), 'bias': (2,)}
  weights = [keras.Variable(np.ones(shape), dtype='float64', name=name) for name, shape in shapes.items()]
  recipe = Recipe(optimizer=name, weight_decay=weight_decay, learning_rate=rate, schedule='constant')
  optimizer = make_optimizer(recipe, 10, weights)
  moved = []
  for gradient in (2.0, 0.0):
    before = [variable.numpy() for variable in weights]
    optimizer.apply([tf.fill(variable.shape, tf.cast(gradient, tf.float64)) for variable in weights], weights)
    moved.append([(old - variable.numpy()).mean() / rate for variable, old in zip(weights, before, strict=True)])
  np.testing.assert_allclose(moved, np.transpose([kernel, bias]), rtol=1e-3)


def test_adamw_decays_kernels_alone() -> None:
  network = _network()
  recipe = Recipe(optimizer='adamw', weight_decay=0.5, learning_rate=0.1, schedule='constant')
  optimizer = make_optimizer(recipe, 10, network.trainable_variables)
  before = {variable.path: variable.numpy() for variable in network.trainable_variables}
  optimizer.apply([tf.zeros_like(variable) for variable in network.trainable_variables], network.trainable_variables)
  for variable in network.trainable_variables:
    share = 0.95 if variable.name == 'kernel' else 1.0
    np.testing.assert_allclose(variable.numpy(), before[variable.path] * share, rtol=1e-6)


def test_the_mean_of_weights_forgets_faster_while_it_is_young() -> None:
  variable = keras.Variable([4.0, 8.0])
  average = WeightAverage([variable], decay=0.9)
  mean = np.array([4.0, 8.0])
  for step in range(1, 200):
    variable.assign([float(step % 5), -float(step)])
    average.update(step)
    decay = min(0.9, (1 + step) / (10 + step))
    mean = decay * mean + (1 - decay) * variable.numpy()
  np.testing.assert_allclose(average.values(), [mean], rtol=1e-5)
