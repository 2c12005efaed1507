"""One tiny dataset, one training and one bundle for all tests of model/ that only read them."""

import pathlib

import pytest

from model.bundle import Bundle
from model.dataset import Dataset, open_dataset
from model.export import BundleOptions, write_bundle
from model.recipe import Recipe
from model.training import Trained, train
from tests.model.datasets import draw_items, write_dataset

OPTIONS = Recipe(epochs=3, batch_size=16, learning_rate=3e-3, strategy='one_device')


@pytest.fixture(scope='session')
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  items = draw_items({'train': 96, 'val': 32, 'test': 20}, ['NORMAL', 'PNEUMONIA'])
  return write_dataset(tmp_path_factory.mktemp('data') / 'dataset', items)


@pytest.fixture(scope='session')
def dataset(dataset_dir: pathlib.Path) -> Dataset:
  return open_dataset(dataset_dir)


@pytest.fixture(scope='session')
def trained(dataset: Dataset) -> Trained:
  return train(dataset, OPTIONS)


@pytest.fixture(scope='session')
def bundle(trained: Trained, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
  return write_bundle(trained, dataset, tmp_path_factory.mktemp('models') / 'bundle', BundleOptions('quadrants'))
