"""Soft targets against a mixture that is taken by hand, and a student that learns what its teacher says."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.augmentation import STRENGTHS
from model.bundle import Bundle
from model.dataset import Dataset, DatasetError
from model.export import BundleOptions, write_bundle
from model.input_data import InputOptions, InputPipeline
from model.metrics import mean_auc
from model.recipe import Recipe, TeacherSees
from model.soft_targets import Pixels, Teacher
from model.teacher import has_seen, open_teacher
from model.training import Trained, train, training_digest
from tests.model.conftest import OPTIONS
from tests.model.test_ensemble import pixels_of, saved_scores

INPUTS = InputOptions(batch_size=8, seed=3, deterministic=True, cache_bytes=1 << 30)
VARIED = dataclasses.replace(INPUTS, augmentation=STRENGTHS['standard'])


def brightness(pixels: Pixels) -> NDArray[np.float32]:
  """A teacher whose word can be computed: the mean grey level is the probability of the second label."""
  second = pixels.mean(axis=(1, 2, 3)) / 255
  return np.stack([1 - second, second], axis=1).astype(np.float32)


def teacher(sees: TeacherSees, weight: float = 0.25, calls: list[int] | None = None) -> Teacher:
  def score(pixels: Pixels) -> NDArray[np.float32]:
    if calls is not None:
      calls.append(len(pixels))
    return brightness(pixels)

  return Teacher(score, weight, sees, {'model_digest': sees})


def batches(dataset: Dataset, options: InputOptions, given: Teacher | None) -> list[tuple[Pixels, NDArray[np.float32]]]:
  """Twelve batches: stored grey levels, and targets."""
  inputs = InputPipeline(dataset, options, given)
  levels = inputs.levels.numpy()
  taken = inputs.training_batches().take(12)
  return [
    (np.abs(images.numpy()[..., np.newaxis] - levels).argmin(axis=-1).astype(np.uint8), targets.numpy())
    for images, targets in taken
  ]


@pytest.mark.parametrize('options', [INPUTS, VARIED], ids=['stored', 'varied'])
def test_a_teacher_is_asked_of_the_images_that_the_network_sees(dataset: Dataset, options: InputOptions) -> None:
  alone, taught = batches(dataset, options, None), batches(dataset, options, teacher('varied'))
  for (images, labels), (same, targets) in zip(alone, taught, strict=True):
    np.testing.assert_array_equal(same, images)
    np.testing.assert_allclose(targets, 0.75 * labels + 0.25 * brightness(images), atol=1e-6)


def test_a_teacher_of_plain_images_scores_each_once(dataset: Dataset) -> None:
  calls: list[int] = []
  stored, labels = zip(*batches(dataset, INPUTS, None), strict=True)
  targets = [targets for _, targets in batches(dataset, VARIED, teacher('plain', calls=calls))]
  for images, label, target in zip(stored, labels, targets, strict=True):
    np.testing.assert_allclose(target, 0.75 * label + 0.25 * brightness(images), atol=1e-6)
  once = teacher('plain', calls=calls)
  calls.clear()
  for _ in range(3):
    once.on_plain(stored[0], labels[0])
  assert calls == [8]


def test_what_is_said_of_plain_images_depends_on_no_other_image() -> None:
  sizes: list[int] = []
  once, random = teacher('plain', calls=sizes), np.random.default_rng(0)
  images, targets = random.integers(0, 256, (8, 4, 4, 1), np.uint8), np.zeros((8, 2), np.float32)
  once.on_plain(images[[0, 1, 2, 3]], targets[:4])
  found = once.on_plain(images[[3, 4, 0, 5]], targets[:4])
  np.testing.assert_allclose(found, 0.25 * brightness(images[[3, 4, 0, 5]]), atol=1e-6)
  assert sizes == [4, 4]


def test_a_student_learns_what_its_teacher_says(dataset: Dataset) -> None:
  """The teacher says the opposite of all labels: by the side that is bright."""

  def contrary(pixels: Pixels) -> NDArray[np.float32]:
    half = pixels.shape[2] // 2
    top = pixels[:, : pixels.shape[1] // 2, :, 0]
    left, right = top[:, :, :half].mean(axis=(1, 2)), top[:, :, half:].mean(axis=(1, 2))
    return np.stack([right > left, left > right], axis=1).astype(np.float32)

  recipe = dataclasses.replace(OPTIONS, teacher_weight=1.0)
  found = train(dataset, recipe, teacher=Teacher(contrary, 1.0, 'varied', {'model_digest': 'x'}))
  area = mean_auc(found.validation.truth, found.validation.scores)
  assert area is not None
  assert area < 0.1
  assert found.taught_by == {'model_digest': 'x'}


def test_another_teacher_is_another_training(dataset: Dataset) -> None:
  given: list[Teacher | None] = [None, teacher('plain'), teacher('varied')]
  assert len({training_digest(dataset, OPTIONS, one) for one in given}) == 3


def test_a_bundle_says_what_taught_it(
  trained: Trained, bundle: Bundle, dataset: Dataset, tmp_path: pathlib.Path
) -> None:
  opened = open_teacher(bundle.path, dataset, 0.5, 'plain')
  pixels = pixels_of(dataset)
  np.testing.assert_allclose(opened.score(pixels), saved_scores(bundle, pixels), atol=1e-6)
  taught = dataclasses.replace(trained, taught_by=opened.facts)
  found = write_bundle(taught, dataset, tmp_path / 'student', BundleOptions('student')).recipe['taught_by']
  expected = {'name': bundle.name, 'version': bundle.version, 'model_digest': bundle.model_digest}
  assert found == expected | {'has_seen_val': False}
  assert 'taught_by' not in bundle.recipe


def test_a_teacher_of_other_labels_is_refused(bundle: Bundle, dataset: Dataset) -> None:
  changed = dataclasses.replace(dataset, labels=('HEALTHY', 'SICK'))
  with pytest.raises(DatasetError, match='the dataset has 2 labels, quadrants 2, and they are not the same'):
    open_teacher(bundle.path, changed, 0.5, 'plain')


@pytest.mark.parametrize(
  ('recipe', 'digest', 'expected'),
  [
    ({}, 'd', False),
    ({'fold': 1, 'folds': 5}, 'd', True),
    ({'members': [{'dataset_digest': 64 * 'd', 'recipe': {'fold': 1, 'folds': 5}}]}, 'e', True),
    ({'members': [{'dataset_digest': 64 * 'e', 'recipe': {'fold': 1, 'folds': 5}}]}, 'd', False),
    ({'members': [{'dataset_digest': 64 * 'd', 'recipe': {}}]}, 'd', False),
  ],
)
def test_when_a_teacher_may_tell_of_the_validation_split(
  bundle: Bundle, dataset: Dataset, recipe: dict[str, Any], digest: str, expected: bool
) -> None:
  said = dataclasses.replace(bundle, recipe=recipe, dataset_digest=digest * 64)
  assert has_seen(said, dataset) is expected


def test_weights_are_shares() -> None:
  with pytest.raises(ValueError, match=r'teacher_weight is 1\.5; it must be at least 0\.0 and at most 1\.0'):
    Recipe(teacher_weight=1.5)
