"""`radbeam train`: a dataset becomes a model bundle."""

import contextlib
import logging
import os
import pathlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Final

from model.bundle import BUNDLE_FILE
from model.checkpoints import remove_checkpoints
from model.cluster import Cluster, find_cluster
from model.dataset import Dataset, Fold, open_dataset
from model.decision import choose_positive
from model.export import BundleOptions, check_target, write_bundle
from model.folds import select_fold
from model.networks.weights import WeightsError
from model.soft_targets import Teacher
from model.teacher import open_teacher
from model.tensorboard import TensorBoardLog
from model.training import Trained, check_training, train
from model.watching import Watcher
from model.workers import Workers
from pipelines.decisions import checked_calibration, threshold_rule
from pipelines.exits import Exit, UsageError
from pipelines.lock import held_work, lock_beside
from pipelines.run_record import new_run_id, now
from pipelines.train_options import TrainJobOptions
from pipelines.train_progress import Lines, Several, at_terminal
from transforms import storage
from transforms.local_copies import written_folder

_LOG: Final = logging.getLogger('radbeam.train')


def run(options: TrainJobOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job; the bundle's `bundle.json` is its record.

  Raises:
    DatasetError, BundleError, ClusterError, UsageError: if dataset, bundle, workers and options do not fit together.
    Locked: if another training writes this bundle.
  """
  check_target(options.bundle, options.overwrite)
  dataset = _dataset(options)
  _check_positive(dataset, options.positive_label)
  named = _bundle_options(options, len(dataset.labels))
  recipe, cluster = options.recipe(), _cluster(options)
  _check_teacher(options)
  if cluster and not cluster.is_chief:
    _LOG.info('worker %d of %d; the chief says how it goes, and writes', cluster.index, len(cluster.workers))
  else:
    _LOG.info('%s on %s', recipe.architecture, _counts(dataset))
  if options.dry_run:
    with _weights_named():
      check_training(dataset, recipe)
    _LOG.info('would train for %s; nothing was written', _length(options))
    return Exit.DONE
  with _alone(options) if not cluster or cluster.is_chief else contextlib.nullcontext():
    workers = Workers(recipe.strategy, cluster) if cluster else None
    trained = _train(dataset, options, workers)
    if not workers or workers.is_chief:
      _write(trained, dataset, options, named)
    if workers:
      workers.wait()  # a worker is done when the bundle is there
  return Exit.DONE


@contextlib.contextmanager
def _alone(options: TrainJobOptions) -> Iterator[None]:
  """Keeps off another training of this bundle: its checkpoints would be of both."""
  run_id = new_run_id(now(), secrets.token_hex())
  with held_work(lock_beside(options.bundle), run_id, 'this bundle'):
    check_target(options.bundle, options.overwrite)  # again: it may have been written meanwhile
    yield


def _cluster(options: TrainJobOptions) -> Cluster | None:
  if options.strategy != 'multi_worker':
    return None
  return find_cluster(options.workers, options.worker_index, os.environ)


def _write(trained: Trained, dataset: Dataset, options: TrainJobOptions, named: BundleOptions) -> None:
  with written_folder(options.bundle, BUNDLE_FILE) as folder:
    bundle = write_bundle(trained, dataset, folder, named)
  if checkpoints := checkpoint_folder(options):
    remove_checkpoints(checkpoints)
  best = trained.history[trained.best_epoch - 1]
  threshold = '' if bundle.threshold is None else f', threshold {bundle.threshold:.3f}'
  _LOG.info('epoch %d is kept: validation AUC %.4f%s -> %s', best.epoch, best.val_auc, threshold, options.bundle)


def _dataset(options: TrainJobOptions) -> Dataset:
  dataset = open_dataset(options.dataset)
  if options.fold is None or options.folds is None:
    return dataset
  return select_fold(dataset, Fold(options.fold, options.folds))


def _train(dataset: Dataset, options: TrainJobOptions, workers: Workers | None) -> Trained:
  watchers = _watchers(options) if not workers or workers.is_chief else []
  teacher = _teacher(dataset, options)
  with _weights_named():
    return train(dataset, options.recipe(), Several(*watchers), checkpoint_folder(options), workers, teacher)


@contextlib.contextmanager
def _weights_named() -> Iterator[None]:
  """Inside, what is wrong with initial weights is said of their flag."""
  try:
    yield
  except WeightsError as error:
    raise UsageError(f'--initial_weights: {error}') from error


def _check_teacher(options: TrainJobOptions) -> None:
  if bool(options.teacher) != bool(options.teacher_weight):
    raise UsageError(
      f'--teacher is {options.teacher or "not given"}, --teacher_weight is {options.teacher_weight}; expected both: '
      'a bundle, and the share of the targets that is what it says'
    )


def _teacher(dataset: Dataset, options: TrainJobOptions) -> Teacher | None:
  if not options.teacher:
    return None
  teacher = open_teacher(options.teacher, dataset, options.teacher_weight, options.teacher_sees)
  if teacher.facts['has_seen_val']:
    _LOG.warning('the teacher was trained on images of the validation split: validation may look too good')
  return teacher


def _watchers(options: TrainJobOptions) -> list[Watcher]:
  watchers: list[Watcher] = [*at_terminal(options.quiet), Lines()]
  return [*watchers, TensorBoardLog(options.tensorboard)] if options.tensorboard else watchers


def checkpoint_folder(options: TrainJobOptions) -> pathlib.Path | None:
  """Where the state of the training is kept; without a flag only beside a bundle of this machine."""
  if options.checkpoints:
    return pathlib.Path(options.checkpoints)
  if not storage.is_local(options.bundle):
    return None
  bundle = pathlib.Path(options.bundle)
  return bundle.with_name(f'.{bundle.name}-training')


def _length(options: TrainJobOptions) -> str:
  return f'{options.steps} steps' if options.steps else f'at most {options.epochs} epochs'


def _bundle_options(options: TrainJobOptions, classes: int) -> BundleOptions:
  """How the bundle is named and decides; looked at before hours of training."""
  return BundleOptions(
    options.model_name,
    options.model_version,
    options.overwrite,
    positive_label=options.positive_label,
    calibration=checked_calibration(options.calibration, classes),
    threshold_rule=threshold_rule(options.threshold_rule),
    threshold_on=options.threshold_on,
  )


def _check_positive(dataset: Dataset, wanted: str | None) -> None:
  try:
    choose_positive(dataset.labels, wanted)
  except ValueError as error:
    raise UsageError(str(error)) from error


def _counts(dataset: Dataset) -> str:
  return '; '.join(f'{split}: {dataset.outline(split)}' for split in ('train', 'val', 'test'))
