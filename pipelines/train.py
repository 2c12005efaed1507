"""`radbeam train`: a dataset becomes a model bundle."""

import logging
from collections.abc import Sequence
from typing import Final

from model.bundle import BUNDLE_FILE
from model.dataset import Dataset, open_dataset
from model.export import BundleOptions, check_target, choose_positive, write_bundle
from model.thresholds import ThresholdRule, parse_rule
from model.training import EpochRow, TrainOptions, train
from pipelines.exits import Exit, UsageError
from pipelines.options import TrainJobOptions
from transforms.local_copies import written_folder

_LOG: Final = logging.getLogger('radbeam.train')


def run(options: TrainJobOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job; the bundle's `bundle.json` is its record.

  Raises:
    DatasetError, BundleError, UsageError: if dataset, bundle and options do not fit together.
  """
  check_target(options.bundle, options.overwrite)
  dataset = open_dataset(options.dataset)
  recipe = train_options(options)
  _check_positive(dataset, options.positive_label)
  named = _bundle_options(options, len(dataset.labels))
  _LOG.info('%s on %s', recipe.architecture, _counts(dataset))
  if options.dry_run:
    _LOG.info('would train for at most %d epochs; nothing was written', recipe.epochs)
    return Exit.DONE
  trained = train(dataset, recipe, _log_epoch)
  with written_folder(options.bundle, BUNDLE_FILE) as folder:
    bundle = write_bundle(trained, dataset, folder, named)
  best = trained.history[trained.best_epoch - 1]
  threshold = '' if bundle.threshold is None else f', threshold {bundle.threshold:.3f}'
  _LOG.info('epoch %d is kept: validation AUC %.4f%s -> %s', best.epoch, best.val_auc, threshold, options.bundle)
  return Exit.DONE


def train_options(options: TrainJobOptions) -> TrainOptions:
  """The flags as the recipe.

  Raises:
    UsageError: if two of them contradict each other.
  """
  try:
    return TrainOptions(
      architecture=options.architecture,
      epochs=options.epochs,
      batch_size=options.batch_size,
      learning_rate=options.learning_rate,
      strategy=options.strategy,
      seed=options.seed,
      augment=options.augment,
      patience=options.patience,
      deterministic=options.deterministic,
    )
  except ValueError as error:
    raise UsageError(str(error)) from error


def _bundle_options(options: TrainJobOptions, classes: int) -> BundleOptions:
  """How the bundle is named and decides; looked at before hours of training."""
  if options.calibration == 'isotonic' and classes != 2:
    raise UsageError(f'--calibration is isotonic, the dataset has {classes} labels; it needs two: take temperature')
  return BundleOptions(
    options.model_name,
    options.model_version,
    options.positive_label,
    options.overwrite,
    options.calibration,
    _threshold_rule(options.threshold_rule),
  )


def _threshold_rule(text: str) -> ThresholdRule:
  try:
    return parse_rule(text)
  except ValueError as error:
    raise UsageError(f'--{error}') from error


def _check_positive(dataset: Dataset, wanted: str | None) -> None:
  try:
    choose_positive(dataset.labels, wanted)
  except ValueError as error:
    raise UsageError(str(error)) from error


def _counts(dataset: Dataset) -> str:
  return '; '.join(f'{split}: {dict(dataset.class_counts(split))}' for split in ('train', 'val', 'test'))


def _log_epoch(row: EpochRow) -> None:
  _LOG.info(
    'epoch %d: loss %.4f, validation loss %.4f, AUC %.4f, %.0f s',
    row.epoch,
    row.train_loss,
    row.val_loss,
    row.val_auc,
    row.seconds,
  )
