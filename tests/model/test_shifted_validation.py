import dataclasses
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from model.dataset import Dataset, DatasetError, Fold, open_dataset
from model.folds import select_fold
from model.input_data import read_examples
from model.shifted_validation import BATCH, score_shifted
from model.shifts import VIEWS, Pixels, apply, draw
from tests.model.datasets import Item, draw_items, write_dataset

IMAGES = 21  # times five variants: no whole number of batches


@pytest.fixture(scope='module')
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
  items = draw_items({'train': 8, 'val': IMAGES}, ['a', 'b'])
  known = [dataclasses.replace(item, bucket=number * 2) for number, item in enumerate(items)]
  unlabelled = Item('u' * 32, 'val', None, items[0].pixels)
  return open_dataset(write_dataset(tmp_path_factory.mktemp('shifted') / 'd', [*known, unlabelled]))


def brightness(pixels: Pixels) -> NDArray[np.float32]:
  """Scores that tell which image it was."""
  assert len(pixels) <= BATCH
  share = pixels.mean(axis=(1, 2, 3)) / 255
  return np.stack([1 - share, share], axis=1).astype(np.float32)


def test_every_labelled_image_is_scored_in_each_of_its_variants_as_it_was_changed(drawn: Dataset) -> None:
  found = score_shifted(brightness, drawn)
  rows = [row for row in read_examples(drawn, 'val').as_numpy_iterator() if row['label']]
  images = [np.frombuffer(row['image'], np.uint8).reshape(drawn.spec.shape) for row in rows]
  assert len(rows) == IMAGES
  expected = [(number, variant) for number, image in enumerate(images) for variant in draw(image)]
  assert list(zip(found.images.tolist(), found.variants, strict=True)) == expected
  assert [drawn.labels[index] for index in found.truth] == [rows[number]['label'].decode() for number, _ in expected]
  scores = brightness(np.stack([apply(variant, images[number]) for number, variant in expected])[:BATCH])
  np.testing.assert_array_equal(found.scores[:BATCH], scores)
  assert found.scores.shape == (IMAGES * VIEWS, 2)


def test_the_scores_are_those_of_changed_images(drawn: Dataset) -> None:
  found = score_shifted(brightness, drawn)
  spread = [np.ptp(found.scores[found.images == number, 1]) for number in range(IMAGES)]
  assert np.mean(spread) > 0.02


def test_a_fold_has_its_own_images(drawn: Dataset) -> None:
  folds = [score_shifted(brightness, select_fold(drawn, Fold(number, 2))) for number in (1, 2)]
  counts = [len(np.unique(fold.images)) for fold in folds]
  assert sum(counts) == IMAGES + 8
  of_labels = [Counter(fold.truth.tolist()) for fold in folds]
  assert sum(of_labels, Counter()) == {0: VIEWS * 15, 1: VIEWS * 14}


def test_a_split_without_labelled_images_is_named(drawn: Dataset) -> None:
  with pytest.raises(DatasetError, match='the test split has no labelled image'):
    score_shifted(brightness, drawn, 'test')


def test_scoring_again_gives_the_same(drawn: Dataset) -> None:
  first, second = score_shifted(brightness, drawn), score_shifted(brightness, drawn)
  np.testing.assert_array_equal(first.scores, second.scores)
  assert first.variants == second.variants
