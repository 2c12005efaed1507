"""The evaluation report: one HTML file that needs nothing else, not even a network."""

import csv
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import jinja2
import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.bundle import HISTORY_FILE, TRANSFORM_GRAPH
from model.evaluation import Evaluation
from model.input_data import labelled_images
from model.model_card import NOT_A_DEVICE
from model.report.plots import (
  data_uri,
  history_figure,
  precision_recall_figure,
  roc_figure,
  score_figure,
  stretch_to_grey,
  to_svg,
)
from model.shifted_table import read_shifted_table
from model.signatures import grey_levels, load_transform

SAMPLES: Final = 6
SHORT_ID: Final = 12  # characters of an image id that are shown
SUMMARY: Final = ('accuracy', 'roc_auc', 'average_precision', 'recall', 'specificity', 'precision', 'f1')
NAMES: Final = {
  'accuracy': 'Accuracy',
  'roc_auc': 'ROC AUC',
  'average_precision': 'Average precision',
  'recall': 'Sensitivity (recall)',
  'specificity': 'Specificity',
  'precision': 'Precision',
  'f1': 'F1',
}


@dataclass(frozen=True, slots=True)
class Sample:
  """One image on the sheet: data URIs, `before` only if ingest kept the picture."""

  short_id: str
  label: str
  predicted_label: str
  score: float
  before: str | None
  after: str
  network_input: str


def render_report(evaluation: Evaluation) -> str:
  """The report as HTML."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['figure'] = _number
  return environment.get_template('evaluation.html.j2').render(_content(evaluation))


def write_report(evaluation: Evaluation, path: str | pathlib.Path) -> None:
  """Writes the report."""
  pathlib.Path(path).write_text(render_report(evaluation), encoding='utf-8')


def _content(evaluation: Evaluation) -> dict[str, Any]:
  metrics = evaluation.metrics
  return {
    'evaluation': evaluation,
    'bundle': evaluation.bundle,
    'not_a_device': NOT_A_DEVICE,
    'synthetic': evaluation.dataset.synthetic or evaluation.bundle.synthetic,
    'metrics': metrics,
    'outside': [(flag.replace('-', ' '), images) for flag, images in evaluation.outside.items()],
    'summary': [(NAMES[name], _summary_figure(metrics, name)) for name in SUMMARY],
    'names': NAMES,
    'matrix_shares': _row_shares(metrics['confusion_matrix']),
    'figures': _figures(evaluation),
    'history': _history(evaluation),
    'shifted': read_shifted_table(evaluation.bundle.path),
    'samples': samples(evaluation),
  }


def _summary_figure(metrics: Mapping[str, Any], name: str) -> float | None:
  value: float | None = metrics[name] if name in metrics else metrics['summary'][name]
  return value


def _row_shares(matrix: Sequence[Sequence[int]]) -> list[list[float]]:
  return [[count / max(sum(row), 1) for count in row] for row in matrix]


def _figures(evaluation: Evaluation) -> list[Markup]:
  scored = evaluation.scored
  return [_inline(draw(scored)) for draw in (roc_figure, precision_recall_figure, score_figure)]


def _history(evaluation: Evaluation) -> Markup | None:
  path = evaluation.bundle.path / HISTORY_FILE
  if not path.is_file():
    return None
  with path.open(encoding='utf-8', newline='') as file:
    rows = list(csv.DictReader(file))
  return _inline(history_figure(rows)) if rows else None


def _inline(figure: Figure) -> Markup:
  with mpl.rc_context({'svg.hashsalt': 'radbeam', 'font.size': 9}):
    return Markup(to_svg(figure))  # our own drawing; Matplotlib escapes the labels in it


def samples(evaluation: Evaluation) -> list[Sample]:
  """A few images of the split before and after preprocessing; those whose source picture was kept come first."""
  dataset = evaluation.dataset
  rows = sorted(evaluation.rows, key=lambda row: (dataset.sample(row.image_id) is None, row.image_id))[:SAMPLES]
  chosen = {row.image_id: row for row in rows}
  levels = _levels(evaluation)
  stored = {
    image.image_id: image.pixels for image in labelled_images(dataset, evaluation.split) if image.image_id in chosen
  }
  return [_sample(evaluation, image_id, stored[image_id], levels) for image_id in chosen]


def _sample(evaluation: Evaluation, image_id: str, image: NDArray[np.uint8], levels: NDArray[np.float32]) -> Sample:
  row = next(row for row in evaluation.rows if row.image_id == image_id)
  before = evaluation.dataset.sample(image_id)
  return Sample(
    short_id=image_id[:SHORT_ID],
    label=row.label,
    predicted_label=row.predicted_label,
    score=row.scores[evaluation.bundle.labels.index(row.predicted_label)],
    before=data_uri(before.read_bytes()) if before else None,
    after=data_uri(_png(image)),
    network_input=data_uri(_png(stretch_to_grey(levels[image]))),
  )


def _levels(evaluation: Evaluation) -> NDArray[np.float32]:
  transform = load_transform(evaluation.bundle.path / TRANSFORM_GRAPH)
  levels: NDArray[np.float32] = grey_levels(transform, evaluation.bundle.spec.shape).numpy()
  return levels


def _png(image: NDArray[np.uint8]) -> bytes:
  return bytes(cv2.imencode('.png', image[..., ::-1] if image.shape[-1] == 3 else image)[1].tobytes())


def _number(value: float | None) -> str:
  return '–' if value is None else f'{value:.4f}'
