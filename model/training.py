"""Training: read, step, validate, keep the best.

Reads the dataset directory, writes at most checkpoints; `model.export` makes
a bundle of the result.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import pathlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.bundle import file_digest
from model.checkpoints import Checkpoints, TrainingState, decode
from model.dataset import Dataset, DatasetError, read_rows
from model.distribution import Learning, TrainStep, collect, distribute, make_train_step
from model.input_data import WHOLE, InputOptions, InputPipeline, Share, class_weights
from model.metrics import mean_auc
from model.networks.options import NetworkOptions
from model.networks.registry import build_network
from model.optimization import WeightAverage, make_head_optimizer, make_optimizer
from model.predictions import Predictions, make_scorer, predict_together
from model.recipe import Recipe
from model.signatures import both_columns
from model.soft_targets import Teacher
from model.watching import EpochRow, Unwatched, Watcher
from model.workers import Workers

Weights = list[NDArray[Any]]


class TrainingError(RuntimeError):
  """A training that cannot go on."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
  """The network that is kept, how it came about, and its scores on the validation split."""

  network: keras.Model
  recipe: Recipe
  history: tuple[EpochRow, ...]
  best_epoch: int
  validation: Predictions
  taught_by: Mapping[str, Any] | None = None


def train(
  dataset: Dataset,
  recipe: Recipe,
  watcher: Watcher | None = None,
  checkpoints: pathlib.Path | None = None,
  workers: Workers | None = None,
  teacher: Teacher | None = None,
) -> Trained:
  """Trains a classifier.

  Args:
    dataset: with labelled images of every class in the train split.
    recipe: how.
    watcher: is told how it goes.
    checkpoints: a folder for the state after each epoch. A state of the same
      recipe and dataset that is there already is gone on from; with
      `deterministic` the weights are those of a training that never stopped.
      Of several workers the chief's folder counts.
    workers: that train together, by the strategy of the recipe; each returns
      the same. None: this process alone.
    teacher: whose soft targets are learnt beside the labels, where the recipe gives them a weight.

  Raises:
    DatasetError: if the train or validation split lacks images.
    NetworkError, WeightsError: as `check_training` does.
    ClusterError: if the workers have different recipes or datasets.
    TrainingError: if the loss, or a score, becomes infinite or not a number; it names the step.
    WorkerLostError: if another worker is gone.
  """
  _check_splits(dataset)
  _set_seeds(recipe)
  workers = workers or Workers('one_device' if recipe.deterministic else recipe.strategy)
  with workers.needed():
    batch_size = _batch_size(recipe.batch_size, dataset, workers.strategy.num_replicas_in_sync)
    digest = training_digest(dataset, dataclasses.replace(recipe, batch_size=batch_size), teacher)
    workers.check_same('recipe or dataset', digest)  # before they make networks together
    return _train(_Run(dataset, recipe, batch_size, watcher or Unwatched(), workers, teacher), checkpoints, digest)


def check_training(dataset: Dataset, recipe: Recipe) -> None:
  """Finds out what keeps a training from beginning: images, network and initial weights; no step is taken.

  Raises:
    DatasetError: if the train or validation split lacks images.
    NetworkError: if the network cannot be built as the recipe wants it.
    WeightsError: if initial weights are not there, or not what they should be.
  """
  _check_splits(dataset)
  options = network_options(recipe, InputPipeline(dataset, input_options(recipe, recipe.batch_size)))
  build_network(recipe.architecture, dataset.spec.shape, len(dataset.labels), options)


def _train(run: '_Run', checkpoints: pathlib.Path | None, digest: str) -> Trained:
  saved = Checkpoints(checkpoints, digest) if checkpoints and run.workers.is_chief else None
  if state := decode(run.workers.bytes_from_chief(saved.read() if saved else b''), digest):
    run.restore(state)
  run.watcher.on_start(run.step, run.steps)
  while not run.is_over():
    run.epoch()
    if saved:
      saved.save(run.state())
  return run.result()


def training_digest(dataset: Dataset, recipe: Recipe, teacher: Teacher | None = None) -> str:
  """Identifies a training: SHA-256 over recipe, dataset and teacher; it may go on with another strategy."""
  weights = pathlib.Path(recipe.initial_weights)
  facts = {
    'recipe': {**recipe.to_facts(), 'strategy': None},
    'initial_weights': file_digest(weights) if weights.is_file() else None,
    'dataset': dataset.digest,
    'labels': list(dataset.labels),
    'scaling': dataset.scaling,
    **({'held_out': _held_out(dataset)} if dataset.fold else {}),
    **({'teacher': dict(teacher.facts)} if teacher else {}),
  }
  return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _held_out(dataset: Dataset) -> str:
  """Which images a fold holds out: that depends on who their patients are, which the dataset's digest does not say."""
  images = sorted(row['image_id'] for row in read_rows(dataset, ('image_id',), 'val'))
  return hashlib.sha256('\n'.join(images).encode()).hexdigest()


def network_options(recipe: Recipe, inputs: InputPipeline) -> NetworkOptions:
  """What the network of a recipe is told."""
  return recipe.network_options(float(inputs.levels[0]), float(inputs.levels[-1]))


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
  """What is kept so far: an epoch, the weights after it, and what they say of the validation split."""

  row: EpochRow
  weights: Weights
  validation: Predictions


class _Run:
  """One training from its first step, or from a state, to its last."""

  def __init__(
    self,
    dataset: Dataset,
    recipe: Recipe,
    batch_size: int,
    watcher: Watcher,
    workers: Workers,
    teacher: Teacher | None,
  ) -> None:
    self.recipe = recipe
    self._taught_by = teacher.facts if teacher else None
    self.watcher = watcher
    self.workers = workers
    self.strategy = workers.strategy
    images = dataset.count('train')
    devices = self.strategy.num_replicas_in_sync
    self.inputs = InputPipeline(dataset, input_options(recipe, batch_size, devices, workers.share), teacher)
    self._per_epoch = recipe.validate_every or images // batch_size
    self.steps = recipe.steps or recipe.epochs * (images // batch_size)
    self.step = 0
    self.history: list[EpochRow] = []
    self._best: _Best | None = None
    self._batches: Iterator[tuple[tf.Tensor, tf.Tensor]] | None = None
    self._build(dataset, batch_size)

  def _build(self, dataset: Dataset, batch_size: int) -> None:
    recipe, options = self.recipe, network_options(self.recipe, self.inputs)
    shape, classes = dataset.spec.shape, len(dataset.labels)
    with self.strategy.scope(), _precision(recipe):
      self.network = build_network(recipe.architecture, shape, classes, options)
      variables = self.network.trainable_variables
      head = [variable for layer in _head(self.network) for variable in layer.trainable_variables]
      self.optimizer = make_optimizer(recipe, max(1, self.steps - recipe.head_steps), variables)
      self._head_optimizer = make_head_optimizer(recipe, head)
      self._average = WeightAverage(variables, recipe.average) if recipe.average else None
    self._kept = build_network(recipe.architecture, shape, classes, options)  # of no strategy, and in float32
    self._score = make_scorer(self._kept, recipe.views)
    self._validation = self.inputs.evaluation_batches('val')
    self._validation_shape = dataset.count('val'), classes
    weights = class_weights(dataset, recipe.balance)
    everything = Learning(self.network, self.optimizer, variables, weights, recipe.clip_norm)
    head_alone = Learning(self.network, self._head_optimizer, head, weights, recipe.clip_norm)
    self._train_step = make_train_step(self.strategy, everything, batch_size)
    self._head_step = make_train_step(self.strategy, head_alone, batch_size)

  def is_over(self) -> bool:
    """Whether all steps are taken, or the last epochs brought nothing better."""
    if self.step >= self.steps:
      return True
    waited = self.history[-1].epoch - self._best.row.epoch if self._best else 0
    return self.recipe.keep == 'best' and waited >= self.recipe.patience

  def epoch(self) -> None:
    """Takes the steps up to the next validation, and validates."""
    started = time.monotonic()
    last = min(self.steps, (self.step // self._per_epoch + 1) * self._per_epoch)
    losses, truth, scores = zip(*self._steps_to(last), strict=True)
    weights = self._weights()
    self._kept.set_weights(weights)
    validation = predict_together(self._score, self._validation, self._validation_shape, self.workers)
    self._check('a score of a validation image', float(validation.scores.sum()))
    val_auc = mean_auc(validation.truth, validation.scores)
    assert val_auc is not None  # _check_splits: two classes at least
    val_auc = float(self.workers.from_chief(np.array(val_auc)))  # it decides on the end, hence it is the same for all
    row = EpochRow(
      epoch=len(self.history) + 1,
      step=self.step,
      train_loss=float(np.mean(losses)),
      train_auc=mean_auc(*(self.workers.joined(np.concatenate(parts)) for parts in (truth, scores))),
      val_loss=_cross_entropy(validation),
      val_auc=val_auc,
      val_accuracy=float(np.mean(validation.scores.argmax(axis=1) == validation.truth)),
      learning_rate=float(self.optimizer.learning_rate.numpy()),
      seconds=time.monotonic() - started,
    )
    self._take(_Best(row, weights, validation))

  def _take(self, latest: _Best) -> None:
    self.history.append(latest.row)
    if self.recipe.keep == 'last' or self._best is None or latest.row.val_auc > self._best.row.val_auc:
      self._best = latest
    self.watcher.on_epoch(latest.row)

  def _steps_to(self, last: int) -> Iterator[tuple[float, NDArray[Any], NDArray[Any]]]:
    """Loss, true classes and scores of each step."""
    if self._batches is None:
      batches = self.inputs.training_batches(self.step)
      self._batches = iter(distribute(self.strategy, batches, self.workers.count))
    while self.step < last:
      take: TrainStep = self._head_step if self.step < self.recipe.head_steps else self._train_step
      loss, outputs, targets = take(*next(self._batches))
      self.step += 1
      self._check('the loss', float(loss))
      if self._average:
        self._average.update(self.step)
      self.watcher.on_step(self.step, float(loss))
      scores = np.asarray(both_columns(collect(self.strategy, outputs)))
      yield float(loss), collect(self.strategy, targets).argmax(axis=1), scores

  def _check(self, what: str, value: float) -> None:
    if not math.isfinite(value):
      raise TrainingError(
        f'{what} at step {self.step} is {value}, expected a finite number; lower the learning rate '
        f'(now {self.recipe.learning_rate}), or look for damaged images'
      )

  def _weights(self) -> Weights:
    """What is to be kept: the averages of trained weights, and the others as they are."""
    means = self._average.values() if self._average else []
    averaged = {id(variable): mean for variable, mean in zip(self.network.trainable_variables, means, strict=False)}
    return [averaged.get(id(weight), np.asarray(weight.numpy())) for weight in self.network.weights]

  def state(self) -> TrainingState:
    """What the next step depends on."""
    assert self._best is not None
    best = self._best
    facts = {'history': [dataclasses.asdict(row) for row in self.history], 'best_epoch': best.row.epoch}
    arrays = {name: [variable.numpy() for variable in group] for name, group in self._changing().items()}
    validation = [best.validation.truth, best.validation.scores]
    return TrainingState(self.step, facts, arrays | {'best': best.weights, 'best_validation': validation})

  def restore(self, state: TrainingState) -> None:
    """Goes on from a state of the same training."""
    with self.strategy.scope():
      for name, group in self._changing().items():
        for variable, value in zip(group, state.arrays.get(name, ()), strict=True):
          variable.assign(value)
    self.step = state.step
    self.history = [EpochRow(**row) for row in state.facts['history']]
    row, validation = self.history[state.facts['best_epoch'] - 1], Predictions(*state.arrays['best_validation'])
    self._best = _Best(row, list(state.arrays['best']), validation)

  def _changing(self) -> dict[str, list[Any]]:
    """All variables that a step changes, states of chance among them."""
    means = self._average.means if self._average else []
    return {
      'network': list(self.network.variables),
      'optimizer': list(self.optimizer.variables),
      'head_optimizer': list(self._head_optimizer.variables),
      'average': list(means),
    }

  def result(self) -> Trained:
    """The network that is kept, and its validation."""
    assert self._best is not None  # there is at least one epoch
    best = self._best
    self._kept.set_weights(best.weights)
    return Trained(self._kept, self.recipe, tuple(self.history), best.row.epoch, best.validation, self._taught_by)


def _head(network: keras.Model) -> list[keras.layers.Layer]:
  return [layer for layer in network.layers if layer.name.startswith('head')]


@contextlib.contextmanager
def _precision(recipe: Recipe) -> Iterator[None]:
  """What layers compute in, while they are made."""
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy('float32' if recipe.precision == 'float32' else f'mixed_{recipe.precision}')
  try:
    yield
  finally:
    keras.config.set_dtype_policy(before)


def _check_splits(dataset: Dataset) -> None:
  train_counts, val_counts = dataset.class_counts('train'), dataset.class_counts('val')
  empty = [label for label, count in train_counts.items() if count == 0]
  if empty or len(train_counts) < 2:
    raise DatasetError(
      f'the train split has {len(train_counts) - len(empty)} classes with images of {len(train_counts)}, expected all '
      'of at least two; ingest more images, or give another split ratio'
    )
  if sum(count > 0 for count in val_counts.values()) < 2:
    raise DatasetError(
      'the val split has labelled images of fewer than two classes, and early stopping needs two; '
      'ingest more images, or give the val split a larger share'
    )


def _set_seeds(recipe: Recipe) -> None:
  keras.utils.set_random_seed(recipe.seed)
  if recipe.deterministic:
    tf.config.experimental.enable_op_determinism()


def _batch_size(wanted: int, dataset: Dataset, devices: int) -> int:
  """The wanted size, but no more than there are images, and the same for every device; at least one."""
  images = dataset.count('train')
  if images < devices:
    raise DatasetError(
      f'the train split has {images} labelled images for {devices} devices, expected one for each at least; '
      'ingest more images, or train with --strategy one_device'
    )
  return max(devices, min(wanted, images) // devices * devices)


def input_options(recipe: Recipe, batch_size: int, devices: int = 1, share: Share = WHOLE) -> InputOptions:
  """How the batches of a recipe are made; for several devices in the order that one has with `deterministic`."""
  return InputOptions(
    batch_size=batch_size,
    seed=recipe.seed,
    deterministic=recipe.deterministic or devices > 1,
    cache_bytes=recipe.cache_bytes,
    augmentation=recipe.augmentation(),
    mixing=recipe.mixing(),
    balance=recipe.balance,
    label_smoothing=recipe.label_smoothing,
    share=share,
  )


def _cross_entropy(predictions: Predictions) -> float:
  likelihood = predictions.scores[np.arange(len(predictions.truth)), predictions.truth]
  return 0.0 - float(np.mean(np.log(np.clip(likelihood, 1e-7, 1.0))))  # a sum, so that nought has no sign
