"""A bundle whose scores can be computed by hand: from the pixel at the upper left."""

import datetime
import pathlib

import tensorflow as tf

from model.bundle import Bundle
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
  @tf.function(input_signature=[tf.TensorSpec([None, *SPEC.shape], tf.uint8, 'pixels')])
  def pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    corner = tf.cast(pixels[:, 0, 0, 0], tf.float32)
    with tf.control_dependencies([tf.debugging.assert_less(corner, float(FAILS_AT))]):
      sick = corner / 256
      return {'scores': tf.stack([1 - sick, sick], axis=1)}


def make_bundle(path: pathlib.Path) -> Bundle:
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
    intended_use={},
    recipe={},
    metrics={},
    versions={},
    synthetic=True,
    model_digest='d' * 64,
    files={},
  )


def save_bundle(path: pathlib.Path) -> Bundle:
  """A bundle with its SavedModel."""
  module = _Tiny()
  tf.saved_model.save(module, str(path / 'saved_model'), signatures={'pixels': module.pixels})
  return make_bundle(path)
