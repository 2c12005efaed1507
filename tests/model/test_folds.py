import dataclasses
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bundle import Bundle
from model.dataset import Dataset, DatasetError, Fold, Split, open_dataset, read_rows
from model.folds import as_trained, fold_facts, select_fold
from model.input_data import read_examples
from tests.model.datasets import Item, draw_items, write_dataset
from transforms.splits import BUCKETS, fold_of


def items(seed: int = 0) -> list[Item]:
  """Images of patients in many buckets, and one without a label."""
  random = np.random.default_rng(seed)
  drawn = draw_items({'train': 40, 'val': 12, 'test': 8}, ['a', 'b'])
  known = [
    dataclasses.replace(item, bucket=int(bucket))
    for item, bucket in zip(drawn, random.integers(0, BUCKETS, 60), strict=True)
  ]
  return [*known, dataclasses.replace(known[0], image_id='u' * 32, label=None)]


@pytest.fixture(scope='module')
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
  return open_dataset(write_dataset(tmp_path_factory.mktemp('pool') / 'd', items()))


def ids(dataset: Dataset, split: Split) -> Counter[str]:
  return Counter(row['image_id'].decode() for row in read_examples(dataset, split).as_numpy_iterator())


@pytest.mark.parametrize('folds', [2, 5, 7])
def test_every_image_of_the_pool_is_held_out_once_and_trained_on_otherwise(pooled: Dataset, folds: int) -> None:
  pool = ids(pooled, 'train') + ids(pooled, 'val')
  parts = [select_fold(pooled, Fold(number, folds)) for number in range(1, folds + 1)]
  held_out = [ids(part, 'val') for part in parts]
  assert sum(held_out, Counter()) == pool
  assert all(ids(part, 'train') == pool - out for part, out in zip(parts, held_out, strict=True))
  assert all(ids(part, 'test') == ids(pooled, 'test') for part in parts[:2])


@pytest.mark.parametrize(('number', 'folds'), [(1, 2), (3, 5), (60, 60)])
def test_counts_and_rows_are_those_of_the_examples(pooled: Dataset, number: int, folds: int) -> None:
  fold = select_fold(pooled, Fold(number, folds))
  for split in get_args(Split):
    examples = list(read_examples(fold, split).as_numpy_iterator())
    labels = Counter(row['label'].decode() for row in examples if row['label'])
    assert fold.class_counts(split) == {label: labels[label] for label in fold.labels}
    found = {row['image_id'] for row in read_rows(fold, ['image_id'], split)}
    assert found == {row['image_id'].decode() for row in examples}


def test_buckets_stay_whole(pooled: Dataset) -> None:
  of_image = {item.image_id: item.bucket for item in items()}
  for number in range(1, 6):
    out = {of_image[name] for name in ids(select_fold(pooled, Fold(number, 5)), 'val')}
    kept = {of_image[name] for name in ids(select_fold(pooled, Fold(number, 5)), 'train')}
    assert not out & kept


@pytest.mark.parametrize('folds', range(2, BUCKETS + 1))
def test_the_buckets_of_a_fold_are_those_that_belong_to_it(folds: int) -> None:
  for number in range(1, folds + 1):
    assert [bucket for bucket in range(BUCKETS) if fold_of(bucket, folds) == number] == list(
      Fold(number, folds).buckets
    )


@pytest.mark.parametrize(('number', 'folds'), [(0, 5), (6, 5), (1, 1), (1, 61)])
def test_a_fold_that_is_none_is_refused(number: int, folds: int) -> None:
  with pytest.raises(ValueError, match=f'fold is {number} of {folds}; expected 2 to 60 folds'):
    Fold(number, folds)


def _with_index(pooled: Dataset, tmp_path: pathlib.Path, rows: Sequence[dict[str, str | int | None]]) -> Dataset:
  (tmp_path / 'index').mkdir()
  pq.write_table(pa.Table.from_pylist(list(rows)), tmp_path / 'index' / 'part-00000.parquet')
  return dataclasses.replace(pooled, path=tmp_path)


ROW: dict[str, str | int | None] = {'image_id': 'i', 'status': 'ok', 'split': 'train', 'label': 'a'}


@pytest.mark.parametrize(
  ('rows', 'message'),
  [
    ([ROW], 'no column patient_bucket, .* run ingest again'),
    ([ROW | {'patient_bucket': 3}, ROW | {'patient_bucket': None}], 'the patients of 1 of 2 images are not known'),
  ],
)
def test_a_dataset_whose_patients_are_not_known_has_no_folds(
  pooled: Dataset, tmp_path: pathlib.Path, rows: list[dict[str, str | int | None]], message: str
) -> None:
  with pytest.raises(DatasetError, match=message):
    select_fold(_with_index(pooled, tmp_path, rows), Fold(1, 5))


def test_images_that_are_not_trained_on_need_no_patient(pooled: Dataset, tmp_path: pathlib.Path) -> None:
  others: list[dict[str, str | int | None]] = [
    {'split': 'test'},
    {'label': None},
    {'status': 'rejected', 'split': None},
  ]
  rows = [ROW | {'patient_bucket': 3}, *(ROW | {'patient_bucket': None} | other for other in others)]
  fold = select_fold(_with_index(pooled, tmp_path, rows), Fold(1, 5))
  assert fold.class_counts('val') == {'a': 1, 'b': 0}


def test_a_recipe_says_which_fold_it_was(pooled: Dataset) -> None:
  assert fold_facts(pooled) == {}
  assert fold_facts(select_fold(pooled, Fold(2, 5))) == {'fold': 2, 'folds': 5}


@pytest.mark.parametrize(
  ('digest', 'recipe', 'fold'),
  [
    ('d' * 64, {'fold': 2, 'folds': 5}, Fold(2, 5)),
    ('d' * 64, {}, None),
    ('e' * 64, {'fold': 2, 'folds': 5}, None),
  ],
)
def test_what_a_bundle_was_trained_on_is_not_taken_for_its_validation(
  pooled: Dataset, bundle: Bundle, digest: str, recipe: dict[str, int], fold: Fold | None
) -> None:
  trained = dataclasses.replace(bundle, dataset_digest=digest, recipe=recipe)
  assert as_trained(pooled, trained).fold == fold
