"""Patient-grouped folds: train and validation images dealt anew, so that each is held out once.

The pool is what `ingest` put into train and val; the test split stays as it
is. A fold is made of whole buckets of patients (`transforms.splits`), so no
patient is on both sides, and it needs no table. The statistics of the
transform graph, one mean and one deviation, stay those of the train split.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow.dataset

from model.bundle import Bundle
from model.dataset import BUCKET, Dataset, DatasetError, Fold


def select_fold(dataset: Dataset, fold: Fold) -> Dataset:
  """A dataset whose val split is one fold of the pool, and whose train split is the rest of it.

  Args:
    dataset: as `open_dataset` gives it.
    fold: which.

  Raises:
    DatasetError: if the patients of its images are not known.
  """
  index = pyarrow.dataset.dataset(dataset.path / 'index', format='parquet')
  if BUCKET not in index.schema.names:
    raise DatasetError(
      f'the index has no column {BUCKET}, which folds are made of: an older version wrote it; run ingest again'
    )
  field = pyarrow.dataset.field
  pool = (field('status') == 'ok') & field('split').isin(['train', 'val']) & field('label').is_valid()
  rows = index.to_table(columns=['label', BUCKET], filter=pool)
  if unknown := rows[BUCKET].null_count:
    raise DatasetError(
      f'the patients of {unknown} of {len(rows)} images are not known, and folds are made of patients; run ingest '
      'again with --patient_from or --patient_pattern'
    )
  held_out: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
  for label, bucket in zip(rows['label'].to_pylist(), rows[BUCKET].to_pylist(), strict=True):
    held_out[bucket in fold.buckets][label] += 1
  return replace(dataset, fold=fold, counts={**dataset.counts, 'train': held_out[False], 'val': held_out[True]})


def fold_facts(dataset: Dataset) -> dict[str, Any]:
  """What a recipe says of the fold: nothing where there is none."""
  return {} if dataset.fold is None else {'fold': dataset.fold.number, 'folds': dataset.fold.of}


def folds_held_out(dataset: Dataset, bundle: Bundle) -> frozenset[Fold | None]:
  """What the networks of a bundle have not seen of a dataset.

  Returns:
    The fold of each network that was trained on the dataset, None for its val split; empty if none was. Where there are
    several, each image was seen by some network.
  """
  return frozenset(_folds_of(dataset.digest, {'dataset_digest': bundle.dataset_digest, 'recipe': bundle.recipe}))


def _folds_of(digest: str, trained: Mapping[str, Any]) -> Iterator[Fold | None]:
  """Of what has a dataset and a recipe: a bundle, or a member in the recipe of an ensemble."""
  recipe = trained['recipe']
  if members := recipe.get('members'):
    for member in members:
      yield from _folds_of(digest, member)
  elif digest == trained['dataset_digest']:
    yield Fold(recipe['fold'], recipe['folds']) if recipe.get('folds') else None


def as_trained(dataset: Dataset, bundle: Bundle) -> Dataset:
  """The dataset as a bundle was trained on it: what its fold held out must not be taken for the val split.

  Args:
    dataset: as `open_dataset` gives it.
    bundle: if it was trained on another dataset, or its networks on several folds, the dataset stays as it is.
  """
  folds = folds_held_out(dataset, bundle)
  fold = next(iter(folds)) if len(folds) == 1 else None
  return dataset if fold is None else select_fold(dataset, fold)
