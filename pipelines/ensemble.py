"""`radbeam ensemble`: several bundles become one."""

import logging
from collections.abc import Sequence
from typing import Final

from model.bundle import BUNDLE_FILE, Bundle
from model.dataset import open_dataset
from model.ensemble import Ensemble, called, open_members, write_mean
from model.ensemble_scores import are_of
from model.export import BundleOptions, check_target
from model.fusion import FusionOptions, write_fusion
from model.thresholds import YOUDEN
from pipelines.decisions import checked_calibration, threshold_rule
from pipelines.ensemble_options import EnsembleOptions
from pipelines.exits import Exit
from transforms.local_copies import written_folder

_LOG: Final = logging.getLogger('radbeam.ensemble')


def run(options: EnsembleOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job; the bundle's `bundle.json` is its record.

  Raises:
    DatasetError, BundleError, UsageError: if members, dataset and options do not fit together.
  """
  check_target(options.output, options.overwrite)
  ensemble = open_members(options.bundle, open_dataset(options.dataset) if options.dataset else None)
  decides = _bundle_options(options, ensemble)
  members = ', '.join(called(bundle) for bundle in ensemble.bundles)
  if options.dry_run:
    _LOG.info('would join %s by %s; nothing was written', members, options.method)
    return Exit.DONE
  _warn(ensemble)
  with written_folder(options.output, BUNDLE_FILE) as folder:
    if options.method == 'fusion':
      bundle = write_fusion(ensemble, folder, decides, FusionOptions(options.weight_decay))
    else:
      bundle = write_mean(ensemble, folder, decides)
  _LOG.info('%s of %s: %s -> %s', options.method, members, _figures(bundle), options.output)
  return Exit.DONE


def _bundle_options(options: EnsembleOptions, ensemble: Ensemble) -> BundleOptions:
  first = ensemble.bundles[0]
  return BundleOptions(
    options.name,
    options.model_version,
    options.overwrite,
    positive_label=first.positive_label,
    calibration=checked_calibration(options.calibration or 'temperature', len(first.labels)),
    threshold_rule=threshold_rule(options.threshold_rule) if options.threshold_rule else YOUDEN,
    threshold_on=options.threshold_on or 'shifted',
  )


def _warn(ensemble: Ensemble) -> None:
  if ensemble.dataset is None:
    _LOG.warning(
      'without --dataset the mean is not calibrated, its threshold is the mean of theirs, and it is not measured'
    )
  elif not are_of(ensemble.bundles, ensemble.dataset):
    _LOG.warning(
      'some member was trained on another dataset: whether it has seen images of the validation split is not known, '
      'and figures may be too good'
    )


def _figures(bundle: Bundle) -> str:
  threshold = '' if bundle.threshold is None else f', threshold {bundle.threshold:.3f}'
  area = bundle.metrics.get('summary', {}).get('roc_auc')
  return f'validation AUC {area:.4f}{threshold}' if area is not None else f'not measured{threshold}'
