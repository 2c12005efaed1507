"""`radbeam evaluate`: a bundle and a dataset become metrics and a report."""

import logging
import pathlib
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from model.bundle import load_bundle
from model.evaluation import Evaluation, evaluate, open_unseen
from model.report.html import write_report
from pipelines.exits import Exit, UsageError
from pipelines.options import EvaluateOptions
from pipelines.run_record import now, versions, write_record
from transforms import storage
from transforms.local_copies import written_folder

_LOG: Final = logging.getLogger('radbeam.evaluate')
METRICS: Final = 'metrics.json'
REPORT: Final = 'report.html'
ROWS: Final = 'rows.parquet'
_SHOWN: Final = ('roc_auc', 'recall', 'specificity', 'f1')


def run(options: EvaluateOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job; `metrics.json` is its record, and is written last.

  Raises:
    BundleError, DatasetError, UsageError: if bundle, dataset and output do not fit together.
  """
  if storage.exists(storage.join(options.output, METRICS)) and not options.overwrite:
    raise UsageError(
      f'{options.output} holds an evaluation already; give another --output, or --overwrite to replace it'
    )
  if options.dry_run:
    bundle = load_bundle(options.bundle)
    dataset = open_unseen(options.dataset, bundle, options.split)
    _LOG.info('would evaluate %s on %s; nothing was written', bundle.name, dataset.outline(options.split))
    return Exit.DONE
  started = now()
  evaluation = evaluate(options.bundle, options.dataset, options.split)
  with written_folder(options.output, METRICS) as folder:
    _write(evaluation, folder, started.isoformat())
  _LOG.info(
    '%s on %d images of %s: %s', evaluation.bundle.name, len(evaluation.rows), options.split, figures(evaluation)
  )
  _LOG.info('report: %s', storage.join(options.output, REPORT))
  return Exit.DONE


def _write(evaluation: Evaluation, output: pathlib.Path, started: str) -> None:
  output.mkdir(parents=True, exist_ok=True)
  (output / METRICS).unlink(missing_ok=True)
  pq.write_table(pa.Table.from_pylist(evaluation.rows_as_dicts()), output / ROWS)
  write_report(evaluation, output / REPORT)
  record = {'started': started, 'finished': now().isoformat(), 'versions': versions(), **evaluation.to_dict()}
  write_record(str(output / METRICS), record)


def figures(evaluation: Evaluation) -> str:
  """The first figures that a person looks for."""
  metrics = evaluation.metrics
  shown = {'accuracy': metrics['accuracy'], **{name: metrics['summary'][name] for name in _SHOWN}}
  return ', '.join(f'{name} {value:.4f}' for name, value in shown.items() if value is not None)
