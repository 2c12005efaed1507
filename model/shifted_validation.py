"""The validation split under the frozen set of changes: scored by whatever scores pixels, a network or an ensemble."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model.dataset import Dataset, DatasetError, Split
from model.input_data import labelled_images
from model.shifted_table import Shifted
from model.shifts import Pixels, Variant, apply, draw
from model.signatures import PixelModel

PixelScorer = Callable[[Pixels], NDArray[np.float32]]  # uint8 [N, height, width, channels] to float32 [N, K]

BATCH: Final = 64


def pixel_scorer(model: PixelModel) -> PixelScorer:
  """Compiles what a model answers to pixels."""
  function = model.signatures()['pixels']
  return lambda pixels: np.asarray(function(tf.constant(pixels))['scores'].numpy(), np.float32)


def score_shifted(score: PixelScorer, dataset: Dataset, split: Split = 'val') -> Shifted:
  """Scores every labelled image of a split in each of the variants that it draws from `model.shifts`.

  Args:
    score: what is measured.
    dataset: whose images are changed as they are stored, before the transform graph.
    split: of the dataset.

  Raises:
    DatasetError: if the split has no labelled image.
  """
  seen: list[_Seen] = []
  scores: list[NDArray[np.float32]] = []
  changed = _changed_images(dataset, split)
  while batch := list(itertools.islice(changed, BATCH)):
    seen.extend(one for one, _ in batch)
    scores.append(score(np.stack([pixels for _, pixels in batch])))
  if not seen:
    raise DatasetError(f'the {split} split has no labelled image, expected at least one; choose another split')
  truth, images = (np.array([getattr(one, name) for one in seen], np.int64) for name in ('truth', 'image'))
  return Shifted(truth, np.concatenate(scores), tuple(one.variant for one in seen), images)


@dataclass(frozen=True, slots=True)
class _Seen:
  """What was scored: the number of the image, its class, what was done to it."""

  image: int
  truth: int
  variant: Variant


def _changed_images(dataset: Dataset, split: Split) -> Iterator[tuple[_Seen, Pixels]]:
  for number, image in enumerate(labelled_images(dataset, split)):
    truth = dataset.labels.index(image.label)
    for variant in draw(image.pixels):
      yield _Seen(number, truth, variant), apply(variant, image.pixels)
