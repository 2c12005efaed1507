"""Training: read, step, validate, keep the best.

Reads nothing but the dataset directory and writes nothing; `model.export`
makes a bundle of the result.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.augmentation import Augment
from model.dataset import Dataset, DatasetError
from model.distribution import StrategyName, TrainStep, collect, make_strategy, make_train_step
from model.input_data import ClassWeights, InputOptions, InputPipeline, class_weights
from model.metrics import mean_auc
from model.networks.options import NetworkOptions
from model.networks.registry import build_network
from model.signatures import both_columns


class TrainingError(RuntimeError):
  """A training that cannot go on."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
  """The recipe; it is stored in the bundle.

  Attributes:
    architecture: of `model.networks.registry`.
    epochs: at most.
    batch_size: images of a step, over all devices.
    learning_rate: of Adam, at the start; it falls to zero along a cosine over all epochs.
    dropout: share of the dense features dropped.
    strategy: devices.
    seed: of weights, order, augmentation and dropout.
    augment: strength of the augmentation.
    class_weights: `balanced` gives each class the same weight in the loss.
    patience: epochs without a better validation AUC until it stops.
    deterministic: the same seed gives the same weights, bit for bit; one device only.
    cache_bytes: a split is kept in memory if its pixels need no more.
  """

  architecture: str = 'cnn'
  epochs: int = 20
  batch_size: int = 32
  learning_rate: float = 1e-3
  dropout: float = 0.3
  strategy: StrategyName = 'auto'
  seed: int = 0
  augment: Augment = 'light'
  class_weights: ClassWeights = 'balanced'
  patience: int = 5
  deterministic: bool = False
  cache_bytes: int = 2 << 30

  def __post_init__(self) -> None:
    for name in ('epochs', 'batch_size', 'patience'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name} is {getattr(self, name)}; it must be at least 1')
    if not 0 <= self.dropout < 1:
      raise ValueError(f'dropout is {self.dropout}; it must be at least 0 and below 1')
    if not self.learning_rate > 0:
      raise ValueError(f'learning_rate is {self.learning_rate}; it must be above 0')
    if self.deterministic and self.strategy == 'mirrored':
      raise ValueError('deterministic training takes one device, strategy is mirrored; choose one of the two')


@dataclass(frozen=True, slots=True)
class EpochRow:
  """One row of the history.

  Attributes:
    epoch: from 1.
    step: steps taken since the start.
    train_loss: mean over the steps of the epoch, weighted by class, while the weights changed.
    train_auc: over the same steps.
    val_loss: mean cross-entropy, not weighted.
    val_auc: one against the rest, averaged over the classes.
    val_accuracy: of the likeliest class.
    learning_rate: after the epoch.
    seconds: of the epoch, validation included.
  """

  epoch: int
  step: int
  train_loss: float
  train_auc: float | None
  val_loss: float
  val_auc: float
  val_accuracy: float
  learning_rate: float
  seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
  """Scores of a split: truth int [N], scores float32 [N, K]."""

  truth: NDArray[np.int64]
  scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
  """The best network, how it came about, and its scores on the validation split."""

  network: keras.Model
  options: TrainOptions
  history: tuple[EpochRow, ...]
  best_epoch: int
  validation: Predictions


Scorer = Callable[[tf.Tensor], tf.Tensor]
OnEpoch = Callable[[EpochRow], None]


def train(dataset: Dataset, options: TrainOptions, on_epoch: OnEpoch = lambda row: None) -> Trained:
  """Trains a classifier.

  Args:
    dataset: with labelled images of every class in the train split.
    options: the recipe.
    on_epoch: called after each epoch.

  Raises:
    DatasetError: if the train or validation split lacks images.
    TrainingError: if the loss becomes infinite or not a number; it names the step.
  """
  _check_splits(dataset)
  _set_seeds(options)
  run = _Run(dataset, options)
  history: list[EpochRow] = []
  best: tuple[EpochRow, list[NDArray[Any]]] | None = None
  for epoch in range(1, options.epochs + 1):
    row = run.epoch(epoch)
    history.append(row)
    on_epoch(row)
    if best is None or row.val_auc > best[0].val_auc:
      best = row, run.network.get_weights()
    elif epoch - best[0].epoch >= options.patience:
      break
  assert best is not None  # epochs is at least 1
  network = _without_strategy(dataset, options, best[1])
  validation = predict(make_scorer(network), run.inputs.evaluation_batches('val'))
  return Trained(network, options, tuple(history), best[0].epoch, validation)


def make_scorer(network: keras.Model) -> Scorer:
  """Compiles a network's inference, on one device: scaled images to scores, [N, K]."""
  return tf.function(lambda images: both_columns(network(images, training=False)), reduce_retracing=True)


def predict(score: Scorer, batches: tf.data.Dataset) -> Predictions:
  """Scores all batches of images and class indices."""
  pairs = [(labels.numpy(), score(images).numpy()) for images, labels in batches]
  truth, scores = zip(*pairs, strict=True)
  return Predictions(np.concatenate(truth), np.concatenate(scores))


class _Run:
  """What the epochs of one training share."""

  def __init__(self, dataset: Dataset, options: TrainOptions) -> None:
    self.options = options
    self.strategy = make_strategy('one_device' if options.deterministic else options.strategy)
    images = sum(dataset.class_counts('train').values())
    batch_size = _batch_size(options.batch_size, images, self.strategy.num_replicas_in_sync)
    self.steps_per_epoch = images // batch_size
    self.inputs = InputPipeline(dataset, _input_options(options, batch_size))
    self.network, self._step = self._build(dataset, batch_size)
    self._batches = iter(self.strategy.experimental_distribute_dataset(self.inputs.training_batches()))
    self._score = make_scorer(self.network)
    self._validation = self.inputs.evaluation_batches('val')

  def _build(self, dataset: Dataset, batch_size: int) -> tuple[keras.Model, TrainStep]:
    options = self.options
    with self.strategy.scope():
      network = _build_network(dataset, options)
      schedule = keras.optimizers.schedules.CosineDecay(options.learning_rate, options.epochs * self.steps_per_epoch)
      self.optimizer = keras.optimizers.Adam(schedule)
      self.optimizer.build(network.trainable_variables)
    weights = class_weights(dataset, options.class_weights)
    return network, make_train_step(self.strategy, network, self.optimizer, weights, batch_size)

  def epoch(self, epoch: int) -> EpochRow:
    started = time.monotonic()
    losses, seen = self._train_epoch(epoch)
    validation = predict(self._score, self._validation)
    val_auc = mean_auc(validation.truth, validation.scores)
    assert val_auc is not None  # _check_splits: two classes at least
    return EpochRow(
      epoch=epoch,
      step=epoch * self.steps_per_epoch,
      train_loss=float(np.mean(losses)),
      train_auc=mean_auc(seen.truth, seen.scores),
      val_loss=_cross_entropy(validation),
      val_auc=val_auc,
      val_accuracy=float(np.mean(validation.scores.argmax(axis=1) == validation.truth)),
      learning_rate=float(self.optimizer.learning_rate),
      seconds=time.monotonic() - started,
    )

  def _train_epoch(self, epoch: int) -> tuple[list[float], Predictions]:
    first = (epoch - 1) * self.steps_per_epoch + 1
    losses, truth, scores = zip(*self._steps(first), strict=True)
    return list(losses), Predictions(np.concatenate(truth), np.concatenate(scores))

  def _steps(self, first: int) -> Iterator[tuple[float, NDArray[Any], NDArray[Any]]]:
    for step in range(first, first + self.steps_per_epoch):
      loss, outputs, labels = self._step(*next(self._batches))
      if not math.isfinite(float(loss)):
        raise TrainingError(
          f'the loss at step {step} is {float(loss)}, expected a finite number; lower the learning rate '
          f'(now {self.options.learning_rate}), or look for damaged images'
        )
      yield float(loss), collect(self.strategy, labels), np.asarray(both_columns(collect(self.strategy, outputs)))


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


def _set_seeds(options: TrainOptions) -> None:
  keras.utils.set_random_seed(options.seed)
  if options.deterministic:
    tf.config.experimental.enable_op_determinism()


def _batch_size(wanted: int, images: int, devices: int) -> int:
  """The wanted size, but no more than there are images, and the same for every device."""
  return max(devices, min(wanted, images) // devices * devices)


def _input_options(options: TrainOptions, batch_size: int) -> InputOptions:
  return InputOptions(batch_size, options.seed, options.augment, options.deterministic, options.cache_bytes)


def _build_network(dataset: Dataset, options: TrainOptions) -> keras.Model:
  network = NetworkOptions(dropout=options.dropout)
  return build_network(options.architecture, dataset.spec.shape, len(dataset.labels), network)


def _without_strategy(dataset: Dataset, options: TrainOptions, weights: list[NDArray[Any]]) -> keras.Model:
  network = _build_network(dataset, options)
  network.set_weights(weights)
  return network


def _cross_entropy(predictions: Predictions) -> float:
  likelihood = predictions.scores[np.arange(len(predictions.truth)), predictions.truth]
  return 0.0 - float(np.mean(np.log(np.clip(likelihood, 1e-7, 1.0))))  # a sum, so that nought has no sign
