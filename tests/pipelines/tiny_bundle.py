"""A bundle whose scores can be computed by hand: from the pixel at the upper left."""

import dataclasses
import datetime
import pathlib

import tensorflow as tf

from model.bundle import BUNDLE_FILE, Bundle, decision_facts, file_digests, load_bundle, model_digest, to_json
from model.intended_use import IntendedUse
from pipelines.score_rows import RunColumns
from transforms.preprocess import PreprocessSpec

SPEC = PreprocessSpec(16)
FAILS_AT = 255  # an image with this value at the upper left cannot be scored

COLUMNS = RunColumns(
  run_id='run7',
  scored_at=datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
  model_name='tiny',
  model_version='1',
  model_digest='d' * 64,
  preprocess_digest=SPEC.digest,
  config_digest='c' * 64,
  code_version='0',
  supersedes_run_id=None,
)


class _Tiny(tf.Module):
  def __init__(self, brightest: int = 256) -> None:
    super().__init__()
    self._brightest = brightest

  @tf.function(input_signature=[tf.TensorSpec([None, *SPEC.shape], tf.uint8, 'pixels')])
  def pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    corner = tf.cast(pixels[:, 0, 0, 0], tf.float32)
    with tf.control_dependencies([tf.debugging.assert_less(corner, float(FAILS_AT))]):
      sick = corner / self._brightest
      return {'scores': tf.stack([1 - sick, sick], axis=1)}


def make_bundle(path: pathlib.Path, brightest: int = 256) -> Bundle:
  """The facts without files: for what never loads the model."""
  return Bundle(
    path=path,
    name='tiny',
    version='1',
    labels=('healthy', 'sick'),
    positive_label='sick',
    threshold=0.5,
    calibration={'method': 'identity'},
    spec=SPEC,
    dataset_digest='d' * 64,
    pseudonym_key_fingerprint=None,
    intended_use=IntendedUse(),
    recipe={'brightest': brightest},
    metrics={},
    versions={},
    synthetic=True,
    model_digest='d' * 64,
    files={},
  )


def brightest_of(bundle: Bundle) -> int:
  """What is pure white to a model."""
  return int(bundle.recipe['brightest'])


def save_bundle(path: pathlib.Path) -> Bundle:
  """A bundle with its SavedModel."""
  module = _Tiny()
  tf.saved_model.save(module, str(path / 'saved_model'), signatures={'pixels': module.pixels})
  return make_bundle(path)


def write_bundle(path: pathlib.Path, version: str = '1', brightest: int = 256) -> Bundle:
  """A whole bundle, as `load_bundle` takes it: the pixel at the upper left over `brightest` is the score of `sick`."""
  module = _Tiny(brightest)
  tf.saved_model.save(module, str(path / 'saved_model'), signatures={'pixels': module.pixels})
  bundle = dataclasses.replace(make_bundle(path, brightest), version=version, files=file_digests(path))
  bundle = dataclasses.replace(bundle, model_digest=model_digest(bundle.files, decision_facts(bundle)))
  (path / BUNDLE_FILE).write_text(to_json(bundle))
  return load_bundle(path)
