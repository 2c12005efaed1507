"""`radbeam demo`: ingest, train, evaluate and score on a small synthetic export.

The pictures are drawn, not taken: what the figures say is that the parts work
together, and nothing about radiographs.
"""

import json
import logging
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.dataset as ds

from pipelines import evaluate, ingest, score, train
from pipelines.exits import Exit, UsageError
from pipelines.options import DemoOptions, EvaluateOptions, IngestOptions, ScoreOptions
from pipelines.synthetic import SyntheticExport, SyntheticOptions, write_synthetic_export
from pipelines.train_options import TrainJobOptions
from transforms.identifiers import create_key

_LOG: Final = logging.getLogger('radbeam.demo')
IMAGE_SIZE_PX: Final = 96
_EPOCHS: Final = 25
_MAX_REJECT_RATIO: Final = 0.25
_SHOWN_COLUMNS: Final = ('image_id', 'frame', 'status', 'reason', 'predicted_label', 'probability', 'modality')
_SHOWN_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class Places:
  """Where the demo puts what."""

  root: str

  @property
  def key(self) -> str:
    """The pseudonym key of this demo alone."""
    return f'{self.root}/pseudonym.key'

  @property
  def dataset(self) -> str:
    """What `ingest` writes."""
    return f'{self.root}/dataset'

  @property
  def bundle(self) -> str:
    """What `train` writes."""
    return f'{self.root}/bundle'

  @property
  def evaluation(self) -> str:
    """What `evaluate` writes."""
    return f'{self.root}/evaluation'

  @property
  def scores(self) -> str:
    """What `score` writes."""
    return f'{self.root}/scores'


def run(options: DemoOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the whole chain.

  Raises:
    UsageError: if the output exists and --overwrite is not given.
  """
  root = pathlib.Path(options.output)
  if options.dry_run:
    _LOG.info(
      'would draw %d synthetic patients and run ingest, train, evaluate and score below %s', options.patients, root
    )
    return Exit.DONE
  _make_room(root, options.overwrite)
  _LOG.info('drawing a synthetic export of %d patients', options.patients)
  export = write_synthetic_export(root, SyntheticOptions(patients=options.patients, seed=options.seed))
  places = Places(str(root))
  create_key(places.key)
  code = _run_jobs(export, places, options, beam_args)
  print(summary(places))
  return code


def _make_room(root: pathlib.Path, overwrite: bool) -> None:
  """An earlier demo may be replaced; nothing else is deleted."""
  if not root.exists() or not any(root.iterdir()):
    return
  if not overwrite:
    raise UsageError(f'{root} exists already; give another --output, or --overwrite to replace an earlier demo')
  if not (root / 'labels.csv').exists():
    raise UsageError(f'{root} holds something that is no demo; give another --output')
  shutil.rmtree(root)


def _run_jobs(export: SyntheticExport, places: Places, options: DemoOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the jobs; the worst of their exits."""
  inbox = (str(export.inbox),)
  ingested = ingest.run(
    IngestOptions(
      input=inbox,
      output=places.dataset,
      labels=str(export.labels),
      image_size=IMAGE_SIZE_PX,
      val_fraction=0.2,
      test_fraction=0.25,
      pseudonym_key_file=places.key,
      max_reject_ratio=_MAX_REJECT_RATIO,
    ),
    beam_args,
    synthetic=True,
  )
  train.run(TrainJobOptions(dataset=places.dataset, bundle=places.bundle, epochs=_EPOCHS, seed=options.seed), ())
  evaluate.run(EvaluateOptions(dataset=places.dataset, bundle=places.bundle, output=places.evaluation), ())
  scored = score.run(
    ScoreOptions(
      input=inbox,
      bundle=(places.bundle,),
      output=places.scores,
      pseudonym_key_file=places.key,
      max_reject_ratio=_MAX_REJECT_RATIO,
    ),
    beam_args,
  )
  return max(ingested, scored)


def summary(places: Places) -> str:
  """What came of it, for a person: first rows, counts, places."""
  record = json.loads(next(pathlib.Path(places.scores, 'runs').glob('*.json')).read_text())
  metrics = json.loads(pathlib.Path(places.evaluation, evaluate.METRICS).read_text())['metrics']
  predictions = f'{places.scores}/{record["predictions"]}'
  rows = ds.dataset(predictions, format='parquet', partitioning=None).head(_SHOWN_ROWS, columns=list(_SHOWN_COLUMNS))
  return '\n'.join(
    [
      'SYNTHETIC data: drawn pictures, no patients. The figures show that the parts work together, nothing more.',
      '',
      *table_lines(rows.to_pylist()),
      '',
      f'sources: {record["sources"]["listed"]} listed, {record["sources"]["written"]} in the table; rows:',
      *(f'  {rows:5} {status}' for status, rows in record['rows'].items()),
      'of those without a score, by reason:',
      *(f'  {rows:5} {reason}' for reason, rows in record['reasons'].items()),
      f'test split: AUC {metrics["summary"]["roc_auc"]:.3f}, accuracy {metrics["accuracy"]:.3f}',
      '',
      f'dataset      {places.dataset}',
      f'model        {places.bundle}',
      f'report       {places.evaluation}/{evaluate.REPORT}',
      f'predictions  {predictions}',
    ]
  )


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Rows as aligned columns; long ids are shortened."""
  cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  return ['  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _cell(value: object) -> str:
  if isinstance(value, float):
    return f'{value:.3f}'
  return '' if value is None else str(value)[:18]
