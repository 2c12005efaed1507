"""A bundle against a dataset: every labelled image of a split, scored as in production."""

import itertools
import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from model.bundle import Bundle, load_bundle
from model.dataset import Dataset, DatasetError, Split, check_preprocessing, open_dataset, read_rows
from model.folds import as_trained, folds_held_out
from model.handler import BundleModelHandler, HandlerOptions, InferenceFailure, LoadedModel
from model.input_data import LabelledImage, labelled_images
from model.intended_use import COLUMNS
from model.metrics import Scored, compute_metrics

_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class EvaluationRow:
  """One image: its id, its true and its predicted label, its scores in the order of the labels."""

  image_id: str
  label: str
  predicted_label: str
  scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
  """What was compared, and what came out.

  Attributes:
    bundle: whose scores these are.
    dataset: whose labels these are.
    split: of the dataset.
    rows: one per labelled image, in the order of the files.
    scored: the same as arrays.
    metrics: see `model.metrics.compute_metrics`.
    outside: images by flag of the model's intended use; none where the split is of its kind.
  """

  bundle: Bundle
  dataset: Dataset
  split: Split
  rows: tuple[EvaluationRow, ...]
  scored: Scored
  metrics: dict[str, Any]
  outside: Mapping[str, int]

  def to_dict(self) -> dict[str, Any]:
    """The metrics with what they are about, ready for JSON."""
    return {
      'model_name': self.bundle.name,
      'model_version': self.bundle.version,
      'model_digest': self.bundle.model_digest,
      'dataset_digest': self.dataset.digest,
      'preprocess_digest': self.bundle.preprocess_digest,
      'split': self.split,
      'synthetic': self.dataset.synthetic,
      'metrics': self.metrics,
      'outside': dict(self.outside),
    }

  def rows_as_dicts(self) -> list[dict[str, Any]]:
    """The rows, ready for JSON or Parquet."""
    return [asdict(row) for row in self.rows]


def evaluate(bundle_dir: str | pathlib.Path, dataset_dir: str | pathlib.Path, split: Split = 'test') -> Evaluation:
  """Scores the labelled images of a split through the bundle's `pixels` signature.

  Raises:
    BundleError: if the bundle's digests do not match.
    DatasetError: as `open_unseen` does, or if the split has no labelled image.
  """
  bundle = load_bundle(bundle_dir)
  bundle.verify()
  dataset = open_unseen(dataset_dir, bundle, split)
  scored_rows = list(_score_split(bundle, dataset, split))
  if not scored_rows:
    raise DatasetError(f'the {split} split has no labelled image, expected at least one; choose another split')
  scored = _as_arrays(bundle, scored_rows)
  outside = count_outside(bundle, dataset, split, {row.image_id for row in scored_rows})
  return Evaluation(bundle, dataset, split, tuple(scored_rows), scored, compute_metrics(scored), outside)


def open_unseen(dataset_dir: str | pathlib.Path, bundle: Bundle, split: Split) -> Dataset:
  """Opens the dataset as a bundle was trained on it: val is what it has not seen.

  Raises:
    DatasetError: if the dataset was preprocessed otherwise, has labels that the bundle does not know, or the bundle has
      networks of different folds and has seen all but the test split.
  """
  opened = open_dataset(dataset_dir)
  check_fit(bundle, opened)
  dataset = as_trained(opened, bundle)
  _check_unseen(bundle, dataset, split)
  return dataset


def count_outside(bundle: Bundle, dataset: Dataset, split: Split, image_ids: Set[str]) -> dict[str, int]:
  """How many of these images have each flag of the bundle's intended use, by the index of the dataset."""
  rows = {row['image_id']: row for row in read_rows(dataset, ('image_id', *COLUMNS), split)}
  flags = Counter(flag for image_id in image_ids & rows.keys() for flag in bundle.intended_use.flags(rows[image_id]))
  return dict(sorted(flags.items()))


def check_fit(bundle: Bundle, dataset: Dataset) -> None:
  """Refuses a dataset that the bundle cannot score rightly.

  Raises:
    DatasetError: if preprocessing or labels differ.
  """
  check_preprocessing(dataset, bundle.spec, bundle.name)
  unknown = sorted(set(dataset.labels) - set(bundle.labels))
  if unknown:
    raise DatasetError(
      f'the dataset has {len(unknown)} labels that the bundle does not know, it knows {len(bundle.labels)}; '
      'give the images those that bundle.json names when ingesting'
    )


def _check_unseen(bundle: Bundle, dataset: Dataset, split: Split) -> None:
  if split != 'test' and len(folds_held_out(dataset, bundle)) > 1:
    raise DatasetError(
      f'the members of {bundle.name} were trained on different folds, so that each image of {split} was seen by most '
      'of them; evaluate it on the test split: what it says of the others is in its model card, if it was made with '
      '--dataset, each image by those that have not seen it'
    )


def _score_split(bundle: Bundle, dataset: Dataset, split: Split) -> Iterator[EvaluationRow]:
  handler = BundleModelHandler.of(bundle, HandlerOptions(max_batch_size=_BATCH))
  model = handler.load_model()
  labelled = labelled_images(dataset, split)
  while batch := list(itertools.islice(labelled, _BATCH)):
    yield from _score_batch(bundle, handler, model, batch)


def _score_batch(
  bundle: Bundle, handler: BundleModelHandler, model: LoadedModel, batch: Sequence[LabelledImage]
) -> Iterator[EvaluationRow]:
  pixels = [image.pixels for image in batch]
  for image, scores in zip(batch, handler.run_inference(pixels, model), strict=True):
    if isinstance(scores, InferenceFailure):
      raise RuntimeError(f'the model failed on a stored image ({scores.detail}); its metrics would leave it out')
    predicted, _ = bundle.decide(scores)
    yield EvaluationRow(image.image_id, image.label, predicted, tuple(map(float, scores)))


def _as_arrays(bundle: Bundle, rows: list[EvaluationRow]) -> Scored:
  index = {label: position for position, label in enumerate(bundle.labels)}
  return Scored(
    labels=bundle.labels,
    truth=np.array([index[row.label] for row in rows]),
    scores=np.array([row.scores for row in rows], np.float32),
    positive=None if bundle.positive_label is None else index[bundle.positive_label],
    threshold=bundle.threshold,
  )
