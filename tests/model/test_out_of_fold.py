"""An ensemble of folds decides on images of the whole pool, each scored by those that have not seen it."""

import dataclasses
import json
import pathlib
from collections import defaultdict

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from model.bundle import Bundle
from model.dataset import Dataset, DatasetError, Fold, open_dataset
from model.drift import read_training
from model.ensemble import open_members, write_mean
from model.ensemble_scores import held_out
from model.evaluation import evaluate
from model.export import BundleOptions, write_bundle
from model.folds import select_fold
from model.fusion import write_fusion
from model.input_data import InputPipeline
from model.metrics import Scored, compute_metrics
from model.predictions import make_scorer, predict
from model.shifts import VIEWS
from model.teacher import has_seen
from model.thresholds import YOUDEN, choose_threshold
from model.training import Trained
from tests.model.datasets import Item, draw_items, write_dataset
from tests.model.test_ensemble import saved_scores
from tests.model.test_input_data import OPTIONS
from transforms.splits import BUCKETS, fold_of

LABELS = ['NORMAL', 'PNEUMONIA']
FOLDS = 3
PLAIN = BundleOptions('folds', threshold_on='plain')


@pytest.fixture(scope='module')
def items() -> list[Item]:
  """Images of many patients; every fifth of the pool has the wrong label."""
  random = np.random.default_rng(5)
  drawn = draw_items({'train': 50, 'val': 16, 'test': 8}, LABELS)
  known = [dataclasses.replace(item, bucket=int(random.integers(BUCKETS))) for item in drawn]
  return [
    dataclasses.replace(item, label=LABELS[item.label == LABELS[0]]) if number % 5 == 0 else item
    for number, item in enumerate(known)
  ]


@pytest.fixture(scope='module')
def pool(items: list[Item], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
  return open_dataset(write_dataset(tmp_path_factory.mktemp('data') / 'pool', items))


@pytest.fixture(scope='module')
def members(trained: Trained, pool: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
  """One of each of three folds, and another of the second: networks that differ, as if each was trained on its fold."""
  return [
    member(trained, select_fold(pool, Fold(fold, FOLDS)), tmp_path_factory.mktemp('models') / 'member', share)
    for fold, share in ((1, 1.0), (2, 0.8), (3, 0.6), (2, 0.5))
  ]


def member(trained: Trained, view: Dataset, path: pathlib.Path, share: float) -> Bundle:
  network = keras.models.clone_model(trained.network)
  network.set_weights([weights * share for weights in trained.network.get_weights()])
  validation = predict(make_scorer(network), InputPipeline(view, OPTIONS).evaluation_batches('val'))
  changed = dataclasses.replace(trained, network=network, validation=validation)
  return write_bundle(changed, view, path, dataclasses.replace(PLAIN, name=f'share{share}'))


@pytest.fixture(scope='module')
def mean(members: list[Bundle], pool: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
  ensemble = open_members([bundle.path for bundle in members], pool)
  return write_mean(ensemble, tmp_path_factory.mktemp('models') / 'mean', PLAIN)


def by_hand(items: list[Item], members: list[Bundle]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
  """Whether each image of the pool is sick, and what those say of it that have not seen it."""
  by_fold: defaultdict[int, list[Bundle]] = defaultdict(list)
  for bundle in members:
    by_fold[bundle.recipe['fold']].append(bundle)
  of_pool = [item for item in items if item.split != 'test']
  sick = np.array([item.label == 'PNEUMONIA' for item in of_pool])
  pixels = np.stack([item.pixels for item in of_pool])
  scores = {fold: np.mean([saved_scores(one, pixels) for one in some], axis=0) for fold, some in by_fold.items()}
  folds = [fold_of(item.bucket or 0, FOLDS) for item in of_pool]
  return sick, np.array([scores[fold][number] for number, fold in enumerate(folds)])


def test_threshold_and_metrics_are_of_those_that_have_not_seen_the_image(
  mean: Bundle, members: list[Bundle], items: list[Item]
) -> None:
  sick, scores = by_hand(items, members)
  threshold = choose_threshold(YOUDEN, sick, scores[:, 1])
  assert mean.threshold == pytest.approx(threshold, abs=1e-6)
  expected = compute_metrics(Scored(tuple(LABELS), sick.astype(np.int64), scores, 1, threshold - 1e-6))
  assert mean.metrics['count'] == 66
  assert mean.metrics['confusion_matrix'] == expected['confusion_matrix']
  assert mean.metrics['summary']['roc_auc'] == pytest.approx(expected['summary']['roc_auc'], abs=1e-6)


def test_what_is_scored_is_the_mean_of_all(mean: Bundle, members: list[Bundle], items: list[Item]) -> None:
  pixels = np.stack([item.pixels for item in items[:8]])
  expected = np.mean([saved_scores(one, pixels) for one in members], axis=0)
  np.testing.assert_allclose(saved_scores(mean, pixels), expected, atol=1e-6)


def test_it_says_which_folds_were_held_out(mean: Bundle) -> None:
  assert mean.recipe['out_of_fold'] == [{'fold': fold, 'folds': FOLDS} for fold in (1, 2, 3)]
  assert [one['recipe']['fold'] for one in mean.recipe['members']] == [1, 2, 3, 2]


def test_the_whole_pool_is_seen_under_shift(mean: Bundle) -> None:
  rows = json.loads((mean.path / 'evaluation/shifted.json').read_text())['rows']
  pooled = next(row for row in rows if row['group'] == 'pooled')
  assert (pooled['images'], pooled['count']) == (66, 66 * VIEWS)


def test_nights_are_compared_with_scores_on_images_not_learnt(mean: Bundle) -> None:
  training = read_training(mean.path / 'training_statistics.json')
  assert training is not None
  assert (training.inputs['all']['images'], training.scores['all']['images']) == (50, 66)


def test_members_of_one_fold_keep_it(members: list[Bundle], pool: Dataset, tmp_path: pathlib.Path) -> None:
  ensemble = open_members([members[1].path, members[3].path], pool)
  mean = write_mean(ensemble, tmp_path / 'mean', PLAIN)
  assert (mean.recipe['fold'], mean.recipe['folds']) == (2, FOLDS)
  assert evaluate(mean.path, pool.path, 'val').metrics['confusion_matrix'] == mean.metrics['confusion_matrix']
  fused = write_fusion(ensemble, tmp_path / 'fused', PLAIN)
  assert fused.metrics['count'] == mean.metrics['count']


@pytest.mark.parametrize('split', ['val', 'train'])
def test_an_ensemble_of_folds_is_evaluated_on_the_test_split_alone(mean: Bundle, pool: Dataset, split: str) -> None:
  with pytest.raises(DatasetError, match=f'each image of {split} was seen by most of them; evaluate it on the test'):
    evaluate(mean.path, pool.path, split)  # type: ignore[arg-type]
  assert evaluate(mean.path, pool.path, 'test').metrics['count'] == 8


def test_folds_are_known_of_an_ensemble_that_was_not_measured(
  members: list[Bundle], pool: Dataset, tmp_path: pathlib.Path
) -> None:
  different = write_mean(open_members([bundle.path for bundle in members[:2]]), tmp_path / 'different', PLAIN)
  with pytest.raises(DatasetError, match='each image of val was seen by most of them'):
    evaluate(different.path, pool.path, 'val')
  assert has_seen(different, select_fold(pool, Fold(1, FOLDS)))
  same = write_mean(open_members([members[1].path, members[3].path]), tmp_path / 'same', PLAIN)
  held_out = select_fold(pool, Fold(2, FOLDS))
  assert evaluate(same.path, pool.path, 'val').metrics['count'] == sum(held_out.class_counts('val').values())
  assert (has_seen(same, held_out), has_seen(same, pool)) == (False, True)


def test_an_ensemble_of_folds_is_no_member_that_has_not_seen_an_image(
  mean: Bundle, members: list[Bundle], pool: Dataset, tmp_path: pathlib.Path
) -> None:
  with pytest.raises(DatasetError, match='folds is of networks that were trained on different folds: there is no'):
    write_mean(open_members([mean.path, members[0].path], pool), tmp_path / 'nested', PLAIN)


def test_folds_cannot_be_fused(members: list[Bundle], pool: Dataset, tmp_path: pathlib.Path) -> None:
  ensemble = open_members([members[0].path, members[1].path], pool)
  with pytest.raises(DatasetError, match='the members held out 2 different folds'):
    write_fusion(ensemble, tmp_path / 'fused', PLAIN)


@pytest.mark.parametrize(
  ('recipes', 'said'),
  [
    ([{}, {'fold': 1, 'folds': 3}], '3 folds, no folds'),
    ([{'fold': 1, 'folds': 3}, {'fold': 1, 'folds': 4}], '3 folds, 4 folds'),
  ],
)
def test_members_that_held_out_other_parts_are_refused(
  members: list[Bundle], pool: Dataset, recipes: list[dict[str, int]], said: str
) -> None:
  bundles = [dataclasses.replace(members[0], recipe=recipe) for recipe in recipes]
  with pytest.raises(DatasetError, match=f'the members were trained on {said}, expected the same of all'):
    held_out(bundles, pool)
