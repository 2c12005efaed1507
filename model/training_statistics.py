"""What a bundle remembers of its training, for nights to be compared with: sketches of inputs and of scores."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow.dataset

from model.dataset import Dataset, Split, rows_of
from model.drift import Training, to_statistics
from model.input_data import read_examples
from model.metrics import Scored
from transforms.quality import histogram_of
from transforms.statistics import Sketch, Statistics, grey_counts, input_bins, reported, score_bin


def training_statistics(dataset: Dataset, validation: Scored, held_out: Sequence[Dataset] = ()) -> dict[str, Any]:
  """The content of a bundle's statistics; `model.drift.read_training` reads it.

  Inputs are those of the train split, which is what the network knows. Scores
  are those of the validation split: on images that it has learnt from a
  network is more certain than on any that will come.

  Args:
    dataset: whose index tells the header facts.
    validation: the scores of the validation split, in the order of its examples.
    held_out: where parts of an ensemble held out different folds, the dataset as each was trained on it, in the order
      of the scores; else it is `dataset`.

  Returns:
    Plain JSON; also `counts`: images by split and label.
  """
  counts = {split: dict(labels) for split, labels in dataset.counts.items()}
  inputs, scores = reported(_inputs(dataset)), reported(_scores(held_out or [dataset], validation))
  return to_statistics(Training(inputs, scores, dataset.pseudonym_key_fingerprint)) | {'counts': counts}


def _inputs(dataset: Dataset) -> Statistics:
  facts = _Facts(dataset, 'train')
  sketch = Sketch()
  for example in read_examples(dataset, 'train').as_numpy_iterator():
    row = facts.of(example['image_id'].decode())
    sketch.add(row, input_bins(row), grey_counts(histogram_of(np.frombuffer(example['image'], np.uint8))))
  return sketch.to_json()


def _scores(views: Sequence[Dataset], validation: Scored) -> Statistics:
  rows = (row for view in views for row in _held_out_rows(view))
  sketch = Sketch()
  for row, probability in zip(rows, _probabilities(validation), strict=True):
    sketch.add(row, score_bin(probability))
  return sketch.to_json()


def _held_out_rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
  facts = _Facts(dataset, 'val')
  yield from (facts.of(image_id) for image_id in _labelled(dataset, 'val'))


def _probabilities(scored: Scored) -> list[float]:
  """As `Bundle.decide` has them: of the positive label, or of the likeliest of more than two."""
  scores = scored.scores
  chosen = scores.max(axis=1) if scored.positive is None else scores[:, scored.positive]
  return [float(probability) for probability in chosen]


def _labelled(dataset: Dataset, split: Split) -> Iterator[str]:
  """The ids of the images that have a score, in the order of the scores."""
  for example in read_examples(dataset, split).as_numpy_iterator():
    if example['label']:
      yield example['image_id'].decode()


class _Facts:
  """The rows of a split's images, in Arrow's memory: as dicts they would need ten times as much."""

  def __init__(self, dataset: Dataset, split: Split) -> None:
    index = pyarrow.dataset.dataset(dataset.path / 'index', format='parquet')
    self._table = index.to_table(filter=rows_of(dataset, split))
    self._positions = {image_id: position for position, image_id in enumerate(self._table['image_id'].to_pylist())}

  def of(self, image_id: str) -> dict[str, Any]:
    row: dict[str, Any] = self._table.slice(self._positions[image_id], 1).to_pylist()[0]
    return row
