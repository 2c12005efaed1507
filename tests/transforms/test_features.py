import pathlib

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from numpy.typing import NDArray

from transforms.features import LABEL_VOCABULARY, Scaling, make_preprocessing_fn
from transforms.features_alone_beam import AnalyzeFeaturesAlone
from transforms.features_beam import AnalyzeFeatures, gathered
from transforms.local_copies import local_folder

SHAPE = (16, 24, 1)
LABELS = ['viral', 'normal', 'viral', 'bacterial', 'viral', 'normal']


def _images(count: int = len(LABELS)) -> NDArray[np.uint8]:
  return np.random.default_rng(1).integers(0, 256, (count, *SHAPE), np.uint8)


def _analyze(
  folder: pathlib.Path,
  labels: list[str | None],
  runner: FnApiRunner,
  scaling: Scaling = 'standard',
  labelled: bool = True,
  bucket: str = '',
) -> tft.TFTransformOutput:
  images = _images(len(labels)).astype(np.int64)
  rows = [
    {'pixel_sum': int(i.sum()), 'pixel_sumsq': int((i**2).sum()), 'pixel_count': i.size, 'label': label}
    for i, label in zip(images, labels, strict=True)
  ]
  path = f'{bucket}/graph' if bucket else str(folder / 'graph')
  analyze = AnalyzeFeaturesAlone if bucket else AnalyzeFeatures
  with beam.Pipeline(runner=runner) as pipeline:
    written = pipeline | beam.Create(rows) | analyze(SHAPE, scaling, labelled, path)
    assert_that(written | beam.Map(lambda graph: graph.rpartition('/')[0]), equal_to([path]))
  return tft.TFTransformOutput(str(gathered(local_folder(path))))


def _network_input(output: tft.TFTransformOutput, images: NDArray[np.uint8]) -> NDArray[np.float32]:
  layer = output.transform_features_layer()
  scaled: NDArray[np.float32] = layer({'image': tf.constant([image.tobytes() for image in images])})['image'].numpy()
  return scaled


def test_standard_scaling_is_the_z_score_over_all_pixels(tmp_path: pathlib.Path, runner: FnApiRunner) -> None:
  images = _images()
  scaled = _network_input(_analyze(tmp_path, list(LABELS), runner), images)
  pixels = images.astype(np.float64)
  assert scaled.shape == images.shape
  np.testing.assert_allclose(scaled, (pixels - pixels.mean()) / pixels.std(), atol=1e-6)


def test_unit_scaling_ends_at_one(tmp_path: pathlib.Path, runner: FnApiRunner) -> None:
  images = _images()
  scaled = _network_input(_analyze(tmp_path, list(LABELS), runner, scaling='unit'), images)
  np.testing.assert_allclose(scaled, images / 255.0, atol=1e-7)


def test_labels_become_indices_of_the_vocabulary_and_strangers_minus_one(
  tmp_path: pathlib.Path, runner: FnApiRunner
) -> None:
  output = _analyze(tmp_path, [*LABELS, None], runner)
  vocabulary = [word.decode() for word in output.vocabulary_by_name(LABEL_VOCABULARY)]
  assert sorted(vocabulary) == ['bacterial', 'normal', 'viral']
  asked = [*vocabulary, 'unheard of', '']
  features = {'image': tf.constant([_images(1).tobytes()] * len(asked)), 'label': tf.constant(asked)}
  assert output.transform_features_layer()(features)['label'].numpy().tolist() == [0, 1, 2, -1, -1]


@pytest.mark.parametrize('labelled', [True, False])
def test_a_dataset_without_labels_is_scaled_all_the_same(
  tmp_path: pathlib.Path, runner: FnApiRunner, labelled: bool
) -> None:
  output = _analyze(tmp_path, [None] * 3, runner, labelled=labelled)
  assert abs(_network_input(output, _images(3)).mean()) < 1e-6


def test_a_graph_that_was_made_apart_and_copied_to_a_bucket_is_the_same(
  tmp_path: pathlib.Path, runner: FnApiRunner, bucket: str
) -> None:
  apart, here = (_analyze(tmp_path, list(LABELS), runner, bucket=to) for to in (bucket, ''))
  assert np.array_equal(_network_input(apart, _images()), _network_input(here, _images()))
  assert apart.vocabulary_by_name(LABEL_VOCABULARY) == here.vocabulary_by_name(LABEL_VOCABULARY)


def test_images_of_one_grey_level_do_not_divide_by_zero(tmp_path: pathlib.Path, runner: FnApiRunner) -> None:
  size = int(np.prod(SHAPE))
  row = {'pixel_sum': 9 * size, 'pixel_sumsq': 81 * size, 'pixel_count': size, 'label': None}
  with beam.Pipeline(runner=runner) as pipeline:
    _ = pipeline | beam.Create([row]) | AnalyzeFeatures(SHAPE, 'standard', False, str(tmp_path / 'graph'))
  scaled = _network_input(tft.TFTransformOutput(str(gathered(tmp_path / 'graph'))), np.full((1, *SHAPE), 9, np.uint8))
  assert np.all(scaled == 0)


def test_an_empty_train_split_gives_finite_floats(tmp_path: pathlib.Path, runner: FnApiRunner) -> None:
  output = _analyze(tmp_path, [], runner)
  assert np.all(np.isfinite(_network_input(output, _images(2))))


def test_the_graph_names_no_path_and_leaves_nothing_beside_it(tmp_path: pathlib.Path, runner: FnApiRunner) -> None:
  _analyze(tmp_path, list(LABELS), runner)
  assert [path.name for path in tmp_path.iterdir()] == ['graph']
  files = [path for path in gathered(tmp_path / 'graph').rglob('*') if path.is_file()]
  assert files
  assert not [path for path in files if tmp_path.name.encode() in path.read_bytes()]


def test_an_unknown_scaling_is_refused() -> None:
  with pytest.raises(ValueError, match="scaling is 'robust'; it must be one of unit, standard"):
    make_preprocessing_fn(SHAPE, 'robust', True)  # type: ignore[arg-type]
