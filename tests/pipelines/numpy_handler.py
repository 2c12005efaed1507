"""What the bundles of `tiny_bundle` score, without TensorFlow: for tests of all that stands around the model."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from model.bundle import Bundle
from model.handler import HandlerOptions, Image, InferenceFailure, Prediction
from pipelines.night_options import NightlyOptions
from pipelines.options import ScoreOptions
from pipelines.score_run import Scoring, scoring_of
from tests.pipelines.tiny_bundle import FAILS_AT, SPEC, brightest_of


def scoring_by_numpy(options: ScoreOptions | NightlyOptions, bundles: Sequence[Bundle]) -> Scoring:
  """As `scoring_of`, but for who scores."""
  return dataclasses.replace(scoring_of(options, bundles), make_handler=NumpyHandler)


class Brightest:
  """The one figure of each model that there is."""

  def __init__(self, figures: tuple[int, ...]) -> None:
    self.figures = figures


class NumpyHandler(ModelHandler[Image, tuple[Prediction, ...], Brightest]):
  """uint8 [16, 16] or [16, 16, 1] → what each of several tiny bundles says of it, in their order."""

  def __init__(self, bundles: Sequence[Bundle], options: HandlerOptions) -> None:
    self._brightest = tuple(map(brightest_of, bundles))
    super().__init__(min_batch_size=1, max_batch_size=options.max_batch_size)

  def load_model(self) -> Brightest:
    return Brightest(self._brightest)

  def run_inference(
    self, batch: Sequence[Image], model: Brightest, inference_args: dict[str, Any] | None = None
  ) -> Iterable[tuple[Prediction, ...]]:
    return [tuple(score(image, brightest) for brightest in model.figures) for image in batch]


def score(image: Image, brightest: int) -> Prediction:
  """The pixel at the upper left, as a share of the brightest; the tiny model fails on an image that begins with 255."""
  if image.reshape(SPEC.shape)[0, 0, 0] >= FAILS_AT:
    return InferenceFailure('InvalidArgumentError')
  sick = np.float32(image.flat[0]) / np.float32(brightest)
  return np.array([1 - sick, sick], np.float32)
