"""Scores of images whose truth is known, by a network alone: for validation, before there is a bundle."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.recipe import Views
from model.signatures import both_columns, with_views
from model.workers import Workers

Scorer = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
  """Scores of a split: truth int [N], scores float32 [N, K]."""

  truth: NDArray[np.int64]
  scores: NDArray[np.float32]


def make_scorer(network: keras.Model, views: Views = 'one') -> Scorer:
  """Compiles a network's inference, on one device: scaled images to scores, [N, K]."""

  def score(images: tf.Tensor) -> tf.Tensor:
    return with_views(lambda view: both_columns(network(view, training=False)), images, views)

  return tf.function(score, reduce_retracing=True)


def predict(score: Scorer, batches: tf.data.Dataset) -> Predictions:
  """Scores all batches of images and class indices."""
  pairs = [(labels.numpy(), score(images).numpy()) for images, labels in batches]
  truth, scores = zip(*pairs, strict=True)
  return Predictions(np.concatenate(truth), np.concatenate(scores))


def predict_together(score: Scorer, batches: tf.data.Dataset, shape: tuple[int, int], workers: Workers) -> Predictions:
  """Scores a split; each worker its share, and all know all.

  Args:
    score: the same for all workers.
    batches: of this worker's share.
    shape: images of the whole split, and classes.
    workers: who share it.
  """
  if workers.count == 1:
    return predict(score, batches)
  table = np.zeros((shape[0], 1 + shape[1]), np.float32)
  if mine := workers.share.of_split(shape[0]):
    own = predict(score, batches)
    table[mine] = np.column_stack([own.truth, own.scores])
  table = workers.total(table)
  return Predictions(table[:, 0].astype(np.int64), table[:, 1:])
