import cv2
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from model.bundle import Bundle
from model.dataset import Dataset
from model.input_data import read_examples
from model.signatures import ServingModel
from model.training import Trained
from tests.model.datasets import draw_items, encode
from transforms.preprocess import PreprocessSpec, Resize, preprocess

ITEMS = draw_items({'test': 8}, ['NORMAL', 'PNEUMONIA'], seed=9)


@pytest.fixture(scope='module')
def saved(bundle: Bundle) -> tf.Module:
  return tf.saved_model.load(str(bundle.path / 'saved_model'))


def _scores(saved: tf.Module, name: str, values: object) -> NDArray[np.float32]:
  scores: NDArray[np.float32] = saved.signatures[name](**{name: tf.constant(values)})['scores'].numpy()
  return scores


def test_all_signatures_give_the_same_scores_for_the_same_pixels(saved: tf.Module) -> None:
  pixels = np.stack([item.pixels for item in ITEMS])
  by_pixels = _scores(saved, 'pixels', pixels)
  assert by_pixels.shape == (8, 2)
  np.testing.assert_allclose(by_pixels.sum(axis=1), 1, atol=1e-6)
  np.testing.assert_array_equal(_scores(saved, 'examples', [encode(item) for item in ITEMS]), by_pixels)
  pngs = [cv2.imencode('.png', item.pixels)[1].tobytes() for item in ITEMS]
  np.testing.assert_array_equal(_scores(saved, 'raw_images', pngs), by_pixels)
  default = saved.signatures['serving_default'](pixels=tf.constant(pixels))['scores']
  np.testing.assert_array_equal(default, by_pixels)


def test_serving_sees_what_training_saw(saved: tf.Module, trained: Trained, dataset: Dataset) -> None:
  rows = list(read_examples(dataset, 'val').as_numpy_iterator())
  pixels = np.stack([np.frombuffer(row['image'], np.uint8).reshape(dataset.spec.shape) for row in rows])
  np.testing.assert_array_equal([dataset.labels.index(row['label'].decode()) for row in rows], trained.validation.truth)
  np.testing.assert_allclose(_scores(saved, 'pixels', pixels), trained.validation.scores, atol=1e-6)


@pytest.mark.parametrize('resize', ['pad', 'crop', 'stretch'])
@pytest.mark.parametrize(('size', 'most'), [((96, 70), 1), ((20, 24), 1), ((50, 131), 13)])
def test_raw_images_are_fitted_nearly_as_by_preprocess(
  trained: Trained, dataset: Dataset, resize: Resize, size: tuple[int, int], most: int
) -> None:
  spec = PreprocessSpec(image_size=32, resize=resize)
  noise = np.random.default_rng(2).integers(0, 256, size, np.uint8)
  image = cv2.GaussianBlur(noise, (9, 9), 0)
  model = ServingModel(trained.network, dataset.transform_graph, spec)
  fitted = model._decode(tf.constant(cv2.imencode('.png', image)[1].tobytes())).numpy()[..., 0]
  print(
    resize,
    size,
    np.abs(fitted.astype(int) - preprocess(image, spec)).max(),
    np.abs(fitted.astype(int) - preprocess(image, spec)).mean(),
  )
  difference = np.abs(fitted.astype(int) - preprocess(image, spec))
  assert difference.max() <= most
  assert difference.mean() < 1
