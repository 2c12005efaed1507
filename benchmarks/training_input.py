"""What the strong augmentation costs: steps fed by the pipeline against steps that take one batch again and again.

`python -m benchmarks.training_input --dataset DIR` trains EfficientNet-Lite0
by the recipe for chest radiographs, but with all parts of the augmentation, in
turns of some steps of either kind, and prints the ratio of their times: 1.05 is
the most that is wanted.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator

import tensorflow as tf

from benchmarks.jobs import ALL_PARTS, RECIPE
from model.dataset import Dataset, open_dataset
from model.distribution import Learning, TrainStep, make_strategy, make_train_step
from model.input_data import InputPipeline, class_weights
from model.networks.registry import build_network
from model.optimization import make_optimizer
from model.training import input_options, network_options
from pipelines.arguments import parse
from pipelines.train_options import TrainJobOptions

Batch = tuple[tf.Tensor, tf.Tensor]

_FILLING = 4  # steps


def prepared(dataset: Dataset) -> tuple[TrainStep, InputPipeline]:
  """The training step of the recipe, and what makes its batches."""
  target = ['--dataset', str(dataset.path), '--bundle', 'none']
  options, _ = parse('train', [*target, '--config', str(RECIPE), *ALL_PARTS])
  assert isinstance(options, TrainJobOptions)
  recipe = options.recipe()
  inputs = InputPipeline(dataset, input_options(recipe, recipe.batch_size))
  classes = len(dataset.labels)
  network = build_network(recipe.architecture, dataset.spec.shape, classes, network_options(recipe, inputs))
  variables = network.trainable_variables
  optimizer = make_optimizer(recipe, recipe.steps or 1, variables)
  learning = Learning(network, optimizer, variables, class_weights(dataset, recipe.balance), recipe.clip_norm)
  return make_train_step(make_strategy('one_device'), learning, recipe.batch_size), inputs


def seconds(step: TrainStep, batches: Iterator[Batch], count: int) -> float:
  """Of so many steps."""
  started = time.perf_counter()
  for batch in itertools.islice(batches, count):
    float(step(*batch)[0])
  return time.perf_counter() - started


def seconds_fed(step: TrainStep, inputs: InputPipeline, count: int) -> float:
  """Of steps whose batches are made meanwhile; afterwards nothing makes any more.

  The first steps are not counted: buffers fill, and go on being filled.
  """
  batches = iter(inputs.training_batches())
  seconds(step, batches, _FILLING)
  return seconds(step, batches, count)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--dataset', required=True, help='of `radbeam ingest --image_size 160`')
  parser.add_argument('--steps', type=int, default=10, help='of a turn')
  parser.add_argument('--turns', type=int, default=7)
  given = parser.parse_args()
  step, inputs = prepared(open_dataset(given.dataset))
  cached = itertools.repeat(next(iter(inputs.training_batches())))
  seconds(step, cached, 3)
  ratios = []
  for _ in range(given.turns):
    fed = seconds_fed(step, inputs, given.steps)
    ratios.append(fed / seconds(step, cached, given.steps))
    print(f'{fed / given.steps:.3f} s a step, ratio {ratios[-1]:.3f}', flush=True)
  print(f'median ratio {statistics.median(ratios):.3f} of {given.turns} turns ({min(ratios):.3f} to {max(ratios):.3f})')


if __name__ == '__main__':
  main()
