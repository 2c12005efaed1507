import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from model.augmentation import STRENGTHS, Augment, Mixing
from model.dataset import Dataset, DatasetError, open_dataset
from model.input_data import InputOptions, InputPipeline, Share, class_weights, read_examples
from model.recipe import Balance
from tests.model.datasets import Item, draw_items, write_dataset

OPTIONS = InputOptions(batch_size=8, seed=3, deterministic=True, cache_bytes=1 << 30)


def test_classes_are_in_the_order_of_their_names_not_of_their_frequency(tmp_path: pathlib.Path) -> None:
  items = draw_items({'train': 20}, ['a', 'b'])
  rarer_first = [
    dataclasses.replace(item, label='z' if number > 5 else item.label) for number, item in enumerate(items)
  ]
  root = write_dataset(tmp_path / 'd', [*rarer_first, *draw_items({'val': 4}, ['a', 'z'])])
  dataset = open_dataset(root)
  assert dataset.labels == ('a', 'b', 'z')
  by_bytes = {row['image']: row['label'].decode() for row in read_examples(dataset, 'train').as_numpy_iterator()}
  mean, deviation = _statistics(list(by_bytes))
  for images, labels in InputPipeline(dataset, OPTIONS).evaluation_batches('train'):
    for image, label in zip(images.numpy(), labels.numpy(), strict=True):
      stored = np.rint(image * deviation + mean).astype(np.uint8).tobytes()
      assert dataset.labels[label] == by_bytes[stored]


def _statistics(images: list[bytes]) -> tuple[float, float]:
  values = np.frombuffer(b''.join(images), np.uint8).astype(np.float64)
  return float(values.mean()), float(values.std())


@pytest.mark.parametrize('cache_bytes', [0, 1 << 30])
def test_an_epoch_holds_each_image_once(dataset: Dataset, cache_bytes: int) -> None:
  options = dataclasses.replace(OPTIONS, cache_bytes=cache_bytes)
  batches = InputPipeline(dataset, options).training_batches().take(12)
  images = np.concatenate([images.numpy() for images, _ in batches])
  assert len({image.tobytes() for image in images}) == len(images) == 96


def test_the_order_depends_on_the_seed_alone(dataset: Dataset) -> None:
  first, again, other = (_labels(dataset, seed) for seed in (3, 3, 4))
  assert first == again != other


def _labels(dataset: Dataset, seed: int) -> list[int]:
  tf.random.set_seed(0)
  options = dataclasses.replace(OPTIONS, seed=seed, augmentation=STRENGTHS['standard'])
  batches = InputPipeline(dataset, options).training_batches().take(12)
  return [int(label) for _, targets in batches for label in targets.numpy().argmax(axis=1)]


@pytest.mark.parametrize('balance', ['loss', 'batches'])
def test_batches_go_on_as_if_those_before_had_been_taken(dataset: Dataset, balance: Balance) -> None:
  options = dataclasses.replace(OPTIONS, augmentation=STRENGTHS['strong'], mixing=Mixing(mixup=0.4), balance=balance)
  whole = list(InputPipeline(dataset, options).training_batches().take(16))
  rest = list(InputPipeline(dataset, options).training_batches(first=13).take(3))
  for (images, targets), (again, targets_again) in zip(whole[13:], rest, strict=True):
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(targets, targets_again)


@pytest.mark.parametrize('mixing', [Mixing(), Mixing(mixup=0.4, cutmix=1.0)])
@pytest.mark.parametrize('strength', ['none', 'strong'])
def test_shares_are_parts_of_the_same_batches(dataset: Dataset, mixing: Mixing, strength: Augment) -> None:
  options = dataclasses.replace(OPTIONS, augmentation=STRENGTHS[strength], mixing=mixing, balance='batches')
  shares = [
    InputPipeline(dataset, dataclasses.replace(options, share=Share(index, 4))).training_batches().take(9)
    for index in range(4)
  ]
  for (images, targets), *parts in zip(
    InputPipeline(dataset, options).training_batches().take(9), *shares, strict=True
  ):
    assert [part[0].shape[0] for part in parts] == [2, 2, 2, 2]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), images)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), targets)


@pytest.mark.parametrize('workers', [2, 3, 40])
def test_shares_of_a_split_hold_each_image_once(dataset: Dataset, workers: int) -> None:
  whole = _validation(dataset, Share())
  together = np.zeros_like(whole)
  for index in range(workers):
    share = Share(index, workers)
    if positions := share.of_split(len(whole)):
      together[positions] = _validation(dataset, share)
    else:
      assert not list(_pipeline(dataset, share).evaluation_batches('val'))
  np.testing.assert_array_equal(together, whole)


def _pipeline(dataset: Dataset, share: Share) -> InputPipeline:
  return InputPipeline(dataset, dataclasses.replace(OPTIONS, share=share))


def _validation(dataset: Dataset, share: Share) -> NDArray[np.float32]:
  return np.concatenate([images.numpy() for images, _ in _pipeline(dataset, share).evaluation_batches('val')])


def test_balanced_batches_draw_the_classes_evenly(tmp_path: pathlib.Path) -> None:
  items = draw_items({'train': 40, 'val': 4}, ['a', 'b'])
  rare = [dataclasses.replace(item, label='a' if number < 6 else 'b') for number, item in enumerate(items[:40])]
  dataset = open_dataset(write_dataset(tmp_path / 'd', [*rare, *items[40:]]))
  pipeline = InputPipeline(dataset, dataclasses.replace(OPTIONS, balance='batches'))
  for _, targets in pipeline.training_batches().take(6):
    np.testing.assert_array_equal(targets.numpy().sum(axis=0), [4, 4])


def test_labels_are_smoothed(dataset: Dataset) -> None:
  (_, targets), *_ = (
    InputPipeline(dataset, dataclasses.replace(OPTIONS, label_smoothing=0.1)).training_batches().take(1)
  )
  assert set(np.round(targets.numpy().ravel(), 6)) == {np.float32(0.05), np.float32(0.95)}


def test_unlabelled_images_are_left_out(tmp_path: pathlib.Path) -> None:
  items = draw_items({'train': 12, 'val': 4}, ['a', 'b'])
  unlabelled = Item('u' * 32, 'train', None, items[0].pixels)
  dataset = open_dataset(write_dataset(tmp_path / 'd', [*items, unlabelled]))
  batches = InputPipeline(dataset, OPTIONS).evaluation_batches('train')
  assert sum(len(labels) for _, labels in batches) == 12


def test_balanced_weights_give_classes_the_same_total(dataset: Dataset) -> None:
  skewed = dataclasses.replace(dataset, counts={'train': {'NORMAL': 10, 'PNEUMONIA': 30}})
  weights = class_weights(skewed, 'loss')
  np.testing.assert_allclose(weights * [10, 30], [20, 20])
  np.testing.assert_array_equal(class_weights(skewed, 'none'), [1, 1])


def test_a_class_that_the_train_split_lacks_is_refused(dataset: Dataset) -> None:
  with pytest.raises(DatasetError, match=r'knows 2 labels of the train split, dataset\.json 3'):
    InputPipeline(dataclasses.replace(dataset, labels=('NORMAL', 'OTHER', 'PNEUMONIA')), OPTIONS)
