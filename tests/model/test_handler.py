import pathlib

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from numpy.typing import NDArray

from model.bundle import Bundle
from model.handler import BundleModelHandler, BundlesModelHandler, HandlerOptions, InferenceFailure, Prediction
from tests.model.datasets import draw_items

IMAGES = [item.pixels for item in draw_items({'test': 11}, ['NORMAL', 'PNEUMONIA'], seed=4)]


class Choosy(tf.Module):
  """Fails at runtime on any image whose first pixel is 255; otherwise scores by the second."""

  @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 1], tf.uint8, name='pixels')])
  def pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    tf.debugging.assert_less(tf.cast(pixels[:, 0, 0, 0], tf.int32), 255)
    score = tf.cast(pixels[:, 0, 1, 0], tf.float32) / 255.0
    return {'scores': tf.stack([1.0 - score, score], axis=1)}


@pytest.fixture(scope='module')
def choosy(tmp_path_factory: pytest.TempPathFactory) -> str:
  path = tmp_path_factory.mktemp('choosy')
  module = Choosy()
  tf.saved_model.save(module, str(path / 'saved_model'), signatures={'pixels': module.pixels})
  return str(path)


def _stack(predictions: list[Prediction]) -> NDArray[np.float32]:
  return np.stack([prediction for prediction in predictions if not isinstance(prediction, InferenceFailure)])


def _run(handler: BundleModelHandler, images: list[NDArray[np.uint8]]) -> list[Prediction]:
  return list(handler.run_inference(images, handler.load_model()))


def test_scores_are_those_of_the_saved_model(bundle: Bundle) -> None:
  saved = tf.saved_model.load(str(bundle.path / 'saved_model'))
  expected = saved.signatures['pixels'](pixels=tf.constant(np.stack(IMAGES)))['scores'].numpy()
  np.testing.assert_allclose(_stack(_run(BundleModelHandler.of(bundle), IMAGES)), expected, atol=1e-6)


def test_two_and_three_dimensions_are_the_same_image(bundle: Bundle) -> None:
  handler = BundleModelHandler.of(bundle)
  flat = [image[..., 0] for image in IMAGES]
  np.testing.assert_array_equal(_stack(_run(handler, flat)), _stack(_run(handler, IMAGES)))


def test_a_fixed_batch_makes_scores_independent_of_their_neighbours(bundle: Bundle) -> None:
  handler = BundleModelHandler.of(bundle, HandlerOptions(max_batch_size=16, deterministic=True))
  together = _stack(_run(handler, IMAGES))
  alone = np.concatenate([_stack(_run(handler, [image])) for image in IMAGES])
  np.testing.assert_array_equal(together, alone)
  np.testing.assert_array_equal(_stack(_run(handler, IMAGES[::-1]))[::-1], together)


@pytest.mark.parametrize(
  ('size', 'deterministic', 'padded'), [(1, False, 1), (5, False, 8), (8, False, 8), (5, True, 64)]
)
def test_batches_have_few_sizes(size: int, deterministic: bool, padded: int) -> None:
  handler = BundleModelHandler('unused', HandlerOptions(deterministic=deterministic))
  assert handler._padded_size(size) == padded


def test_one_poisoned_image_costs_itself_only(choosy: str) -> None:
  poisoned = [image.copy() for image in IMAGES]
  poisoned[3][0, 0, 0] = 255
  results = _run(BundleModelHandler(choosy), poisoned)
  assert results[3] == InferenceFailure('InvalidArgumentError')
  for image, result in zip(IMAGES[:3] + IMAGES[4:], results[:3] + results[4:], strict=True):
    assert isinstance(result, np.ndarray)
    np.testing.assert_allclose(result[1], image[0, 1, 0] / 255, atol=1e-6)


def test_several_models_say_their_own_of_every_image(bundle: Bundle, choosy: str) -> None:
  """One of them fails on one image: the others have scored it all the same."""
  poisoned = IMAGES[0].copy()
  poisoned[0, 0] = 255
  images = [*IMAGES[:3], poisoned]
  options = HandlerOptions(max_batch_size=4)
  alone = BundleModelHandler.of(bundle, options), BundleModelHandler(choosy, options)
  both = BundlesModelHandler(alone, options)
  found = list(both.run_inference(images, both.load_model()))
  assert [len(said) for said in found] == [2, 2, 2, 2]
  first, second = ([said[number] for said in found] for number in (0, 1))
  np.testing.assert_array_equal(_stack(first), _stack(_run(alone[0], images)))
  np.testing.assert_array_equal(_stack(second), _stack(_run(alone[1], images[:3])))
  assert isinstance(second[3], InferenceFailure)
  assert both.get_num_bytes(images) == sum(image.nbytes for image in images)


def test_a_process_keeps_the_models_that_it_loaded_last(choosy: str) -> None:
  few, more = HandlerOptions(max_batch_size=2), HandlerOptions(max_batch_size=4)
  first = BundleModelHandler(choosy, few, 'a').load_model()
  assert BundleModelHandler(choosy, few, 'a').load_model() is first, 'the next slice takes it as it is'
  assert BundleModelHandler(choosy, more, 'a').load_model() is not first
  assert BundleModelHandler(choosy, few, 'b').load_model() is not first, 'another bundle at the same place'
  assert BundleModelHandler(choosy, few).load_model() is not BundleModelHandler(choosy, few).load_model()
  for digest in 'cdef':
    BundleModelHandler(choosy, few, digest).load_model()
  assert BundleModelHandler(choosy, few, 'a').load_model() is not first, 'only so many are kept'


def test_the_handler_of_a_bundle_keeps_its_model(bundle: Bundle) -> None:
  assert BundleModelHandler.of(bundle).load_model() is BundleModelHandler.of(bundle).load_model()


def test_an_image_of_another_size_is_a_bug_and_propagates(bundle: Bundle) -> None:
  with pytest.raises(ValueError, match=r'an image is uint8 \(16, 16, 1\), the model takes uint8 \(32, 32, 1\)'):
    _run(BundleModelHandler.of(bundle), [IMAGES[0], IMAGES[0][:16, :16]])


def test_a_missing_model_is_said(tmp_path: pathlib.Path) -> None:
  with pytest.raises(FileNotFoundError, match='copy it there'):
    BundleModelHandler(str(tmp_path)).load_model()


def test_results_do_not_keep_the_pixels(bundle: Bundle) -> None:
  for result in _run(BundleModelHandler.of(bundle), IMAGES):
    assert isinstance(result, np.ndarray)
    assert (result.base if result.base is not None else result).nbytes < 1000


def _check(results: list[tuple[int, Prediction]]) -> None:
  assert sorted(key for key, _ in results) == list(range(11))
  failed = {key: result for key, result in results if isinstance(result, InferenceFailure)}
  assert failed == {7: InferenceFailure('InvalidArgumentError')}


def test_run_inference_gives_each_key_its_result(choosy: str, runner: FnApiRunner) -> None:
  keyed = [(number, image.copy()) for number, image in enumerate(IMAGES)]
  keyed[7][1][0, 0, 0] = 255
  with beam.Pipeline(runner=runner) as pipeline:
    results = pipeline | beam.Create(keyed) | RunInference(KeyedModelHandler(BundleModelHandler(choosy)))
    assert_that(results, _check)
