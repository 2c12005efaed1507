import dataclasses
import pathlib

import numpy as np
import pytest

from model import training
from model.dataset import Dataset, DatasetError, Fold, open_dataset
from model.folds import select_fold
from model.predictions import Predictions
from model.recipe import Recipe
from model.training import Trained, TrainingError, train, training_digest
from model.watching import EpochRow, Unwatched
from tests.model.conftest import OPTIONS
from tests.model.datasets import draw_items, write_dataset


def test_the_quadrants_are_learned(trained: Trained) -> None:
  assert trained.history[trained.best_epoch - 1].val_auc > 0.95
  assert [row.epoch for row in trained.history] == [1, 2, 3]
  assert [row.step for row in trained.history] == [6, 12, 18]
  assert trained.history[-1].learning_rate == pytest.approx(0, abs=1e-9)
  assert trained.validation.scores.shape == (32, 2)


class Seen(Unwatched):
  def __init__(self, rows: list[EpochRow]) -> None:
    self._rows = rows

  def on_epoch(self, row: EpochRow) -> None:
    self._rows.append(row)


def test_the_scores_are_those_of_the_best_epoch(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
  figures = iter([0.5, 0.4, 0.9, 0.4, 0.8, 0.3, 0.2, 0.1])  # val and train, epoch after epoch
  monkeypatch.setattr(training, 'mean_auc', lambda truth, scores: next(figures))
  seen: list[EpochRow] = []
  stopped = train(dataset, dataclasses.replace(OPTIONS, epochs=9, patience=2, learning_rate=1e-4), Seen(seen))
  assert [row.val_auc for row in seen] == [0.5, 0.9, 0.8, 0.2]
  assert stopped.best_epoch == 2
  loss = training._cross_entropy(stopped.validation)
  assert loss == pytest.approx(seen[stopped.best_epoch - 1].val_loss, abs=1e-5)
  assert loss != pytest.approx(seen[-1].val_loss, abs=1e-5)


def test_several_classes(tmp_path: pathlib.Path) -> None:
  items = draw_items({'train': 60, 'val': 30}, ['a', 'b', 'c'])
  trained = train(open_dataset(write_dataset(tmp_path / 'd', items)), dataclasses.replace(OPTIONS, epochs=1))
  assert trained.validation.scores.shape == (30, 3)
  np.testing.assert_allclose(trained.validation.scores.sum(axis=1), 1, atol=1e-5)


def test_a_loss_that_is_no_number_names_its_step(dataset: Dataset) -> None:
  with pytest.raises(TrainingError, match=r'the loss at step \d+ is (nan|inf), expected a finite number'):
    train(dataset, dataclasses.replace(OPTIONS, learning_rate=1e38))


def test_a_score_that_is_no_number_names_its_step(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
  broken = Predictions(np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 0.5]], np.float32))
  monkeypatch.setattr(training, 'predict_together', lambda *_: broken)
  with pytest.raises(TrainingError, match='a score of a validation image at step 6 is nan, expected a finite number'):
    train(dataset, OPTIONS)


def test_the_rate_falls_to_its_end_after_steps_of_the_head_alone(dataset: Dataset) -> None:
  head_first = dataclasses.replace(OPTIONS, head_steps=8, final_rate=0.25)
  rates = [row.learning_rate for row in train(dataset, head_first).history]
  assert rates[0] == pytest.approx(OPTIONS.learning_rate)
  assert rates[-1] == pytest.approx(0.25 * OPTIONS.learning_rate)


def test_what_decides_the_weights_makes_another_training(dataset: Dataset, tmp_path: pathlib.Path) -> None:
  weights = tmp_path / 'weights.keras'
  weights.write_bytes(b'one')
  recipe = dataclasses.replace(OPTIONS, initial_weights=str(weights))
  first = training_digest(dataset, recipe)
  assert training_digest(dataset, dataclasses.replace(recipe, strategy='mirrored')) == first
  weights.write_bytes(b'other')
  digests = {first, training_digest(dataset, recipe), training_digest(dataset, OPTIONS)}
  digests |= {training_digest(dataclasses.replace(dataset, scaling='unit'), OPTIONS)}
  assert len(digests) == 4


def test_other_patients_in_a_fold_are_another_training(tmp_path: pathlib.Path) -> None:
  items = draw_items({'train': 8, 'val': 8}, ['NORMAL', 'PNEUMONIA'])
  digests = set()
  for shift in (0, 1):
    known = [dataclasses.replace(item, bucket=30 * ((number + shift) % 2)) for number, item in enumerate(items)]
    pool = open_dataset(write_dataset(tmp_path / f'{shift}', known))
    digests.add(training_digest(select_fold(dataclasses.replace(pool, digest='same'), Fold(1, 2)), OPTIONS))
  assert len(digests) == 2


def test_fewer_images_than_devices_are_refused(dataset: Dataset) -> None:
  few = dataclasses.replace(dataset, counts={**dataset.counts, 'train': {'NORMAL': 1, 'PNEUMONIA': 1}})
  with pytest.raises(DatasetError, match='2 labelled images for 3 devices, expected one for each at least'):
    training._batch_size(32, few, 3)
  assert [training._batch_size(32, few, devices) for devices in (1, 2)] == [2, 2]


@pytest.mark.parametrize(
  ('counts', 'message'),
  [
    ({'train': {'NORMAL': 9}, 'val': {'NORMAL': 1, 'PNEUMONIA': 1}}, '1 classes with images of 2'),
    ({'train': {'NORMAL': 9, 'PNEUMONIA': 9}, 'val': {'NORMAL': 1}}, 'labelled images of fewer than two classes'),
  ],
)
def test_splits_without_enough_classes_are_refused(
  dataset: Dataset, counts: dict[str, dict[str, int]], message: str
) -> None:
  with pytest.raises(DatasetError, match=message):
    train(dataclasses.replace(dataset, counts=counts), OPTIONS)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'epochs': 0}, 'epochs is 0; it must be at least 1'),
    ({'frozen_share': 2.0}, 'frozen_share is 2.0; it must be at least 0.0 and at most 1.0'),
    ({'optimizer': 'lion'}, "optimizer is 'lion'; expected one of adam, adamw, sgd"),
    ({'weight_decay': 0.1}, 'only adamw decays weights'),
    ({'augment_without': ('fog',)}, "augment_without is 'fog'; expected one of mirror, rotation_degrees"),
    ({'dropout': 1.0}, 'dropout is 1.0'),
    ({'learning_rate': 0.0}, 'learning_rate is 0.0'),
    ({'batch_norm': 'frozen'}, 'batch_norm is frozen, but initial_weights is none'),
    ({'deterministic': True, 'strategy': 'mirrored'}, 'deterministic training takes one device'),
  ],
)
def test_a_recipe_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
  with pytest.raises(ValueError, match=message):
    Recipe(**changes)  # type: ignore[arg-type]
