"""Figures of a training or an evaluation, by Matplotlib without a display."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from model.metrics import Scored, precision_recall_curve, roc_curve

COLOURS: Final = ('#1f4e79', '#b3541e', '#3a7d44', '#7a4b94', '#8a6d1b', '#4b6b8a', '#a23b52', '#5d5d5d')
_SIZE: Final = (4.2, 3.6)  # inches


def history_figure(history: Sequence[Mapping[str, Any]]) -> Figure:
  """Loss and AUC by epoch, training beside validation."""
  figure, (left, right) = _figure(2)
  epochs = [int(row['epoch']) for row in history]
  for axes, figure_of_merit, title in ((left, 'loss', 'Cross-entropy'), (right, 'auc', 'ROC AUC')):
    for split, colour in zip(('train', 'val'), COLOURS, strict=False):
      values = [_number(row[f'{split}_{figure_of_merit}']) for row in history]
      axes.plot(epochs, values, color=colour, marker='o', markersize=3, label=split)
    axes.set(xlabel='epoch', title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
  return figure


def roc_figure(scored: Scored) -> Figure:
  """Sensitivity against 1 - specificity; one curve for two classes, one a class for more."""
  figure, (axes,) = _figure(1)
  axes.plot([0, 1], [0, 1], color='#bbbbbb', linewidth=1, linestyle='--')
  for index in scored.shown:
    curve = roc_curve(scored.truth == index, scored.scores[:, index])
    if curve is not None:
      axes.plot(curve.x, curve.y, color=_colour(index), label=scored.labels[index])
  axes.set(xlabel='1 − specificity', ylabel='sensitivity', title='ROC curve')
  _unit_square(axes)
  return figure


def precision_recall_figure(scored: Scored) -> Figure:
  """Precision against recall, with the share of each class as its baseline."""
  figure, (axes,) = _figure(1)
  for index in scored.shown:
    is_true = scored.truth == index
    curve = precision_recall_curve(is_true, scored.scores[:, index])
    if curve is not None:
      axes.axhline(float(np.mean(is_true)), color=_colour(index), linewidth=1, linestyle=':')
      axes.step(curve.x, curve.y, color=_colour(index), where='post', label=scored.labels[index])
  axes.set(xlabel='recall (sensitivity)', ylabel='precision', title='Precision and recall')
  _unit_square(axes)
  return figure


def score_figure(scored: Scored) -> Figure:
  """How the scores of each true class are spread; for more than two classes the score of the true class."""
  figure, (axes,) = _figure(1)
  bins = [step / 25 for step in range(26)]
  for index, label in enumerate(scored.labels):
    rows = scored.truth == index
    values = scored.scores[rows, index if scored.positive is None else scored.positive]
    axes.hist(values, bins, alpha=0.55, color=_colour(index), label=label)
  if scored.threshold is not None:
    axes.axvline(scored.threshold, color='#222222', linewidth=1, label=f'threshold {scored.threshold:.3f}')
  of = 'the true class' if scored.positive is None else scored.labels[scored.positive]
  axes.set(xlabel=f'score of {of}', ylabel='images', title='Scores', xlim=(0, 1))
  axes.legend(frameon=False, fontsize=8)
  return figure


def to_svg(figure: Figure) -> str:
  """The figure as an SVG element, without a date and without random ids."""
  buffer = io.StringIO()
  figure.savefig(buffer, format='svg', metadata={'Date': None, 'Creator': None})
  text = buffer.getvalue()
  return text[text.index('<svg') :]


def to_png(figure: Figure) -> bytes:
  """The figure as a PNG of 150 dots an inch, without a software tag."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format='png', dpi=150, metadata={'Software': None})
  return buffer.getvalue()


def data_uri(png: bytes) -> str:
  """A PNG for an `src` attribute."""
  return f'data:image/png;base64,{base64.b64encode(png).decode()}'


def stretch_to_grey(image: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
  """Floats of any range, from their least to their greatest, as 0 to 255."""
  low, high = float(image.min()), float(image.max())
  return np.round((image - low) * (255.0 / (high - low if high > low else 1.0))).astype(np.uint8)


def _figure(columns: int) -> tuple[Figure, Sequence[Axes]]:
  figure = Figure(figsize=(_SIZE[0] * columns, _SIZE[1]), layout='constrained')
  axes: Sequence[Axes] = figure.subplots(1, columns, squeeze=False)[0]
  for each in axes:
    each.spines[['top', 'right']].set_visible(False)
    each.grid(color='#eeeeee')
    each.set_axisbelow(True)
  return figure, axes


def _unit_square(axes: Axes) -> None:
  axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
  if axes.get_legend_handles_labels()[1]:
    axes.legend(frameon=False, fontsize=8, loc='lower right' if 'ROC' in axes.get_title() else 'lower left')


def _colour(index: int) -> str:
  return COLOURS[index % len(COLOURS)]


def _number(value: Any) -> float:
  return float('nan') if value in (None, '') else float(value)
