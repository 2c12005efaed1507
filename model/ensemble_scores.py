"""What ensembles say of a dataset's images, for calibration and threshold to be chosen on.

Where the members were trained on folds of one dataset, each image is scored
by the mean of those that did not see it: calibration and threshold then rest on
all images, though on the scores of few members, which vary more than those of
all.
"""

import itertools
import pathlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model import bundle as layout
from model.bundle import Bundle
from model.dataset import Dataset, DatasetError, Fold, Split, check_preprocessing
from model.folds import as_trained, folds_held_out
from model.input_data import labelled_images
from model.predictions import Predictions
from model.shifted_table import Shifted
from model.shifted_validation import PixelScorer, score_shifted
from model.shifts import Pixels

_BATCH: Final = 64


class SavedMember(tf.Module):
  """The signature `pixels` of a bundle, with the weights that it needs."""

  def __init__(self, bundle_dir: pathlib.Path) -> None:
    super().__init__()
    saved_model = tf.saved_model.load(str(bundle_dir / layout.SAVED_MODEL))
    self.signature = saved_model.signatures['pixels']
    self.weights = list(self.signature.variables)  # a function alone does not keep them alive

  def score(self, pixels: tf.Tensor) -> tf.Tensor:
    """Calibrated probabilities: uint8 [N, height, width, channels] → float32 [N, K]."""
    return self.signature(pixels=pixels)['scores']


def mean_scorer(members: Sequence[SavedMember]) -> PixelScorer:
  """The mean of what members say."""

  def score(pixels: Pixels) -> NDArray[np.float32]:
    fed = tf.constant(pixels)
    return np.mean([member.score(fed).numpy() for member in members], axis=0, dtype=np.float32)

  return score


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
  """Scores of images that whoever scored them has not seen.

  Attributes:
    plain: of the images as they are.
    shifted: of the same images under the changes of `model.shifts`.
    views: the dataset as those members were trained on it that scored; the images are those of its val split, of
      several views one after the other.
  """

  plain: Predictions
  shifted: Shifted
  views: tuple[Dataset, ...]


def validate(score: PixelScorer, view: Dataset) -> Validation:
  """Scores the labelled images of a val split, as they are and under shift.

  Raises:
    DatasetError: if there is none.
  """
  batches = list(labelled_pixels(view, 'val'))
  if not batches:
    raise DatasetError('the val split has no labelled image, expected some of two classes; ingest more images')
  truth = np.concatenate([labels for labels, _ in batches])
  scores = np.concatenate([score(pixels) for _, pixels in batches])
  return Validation(Predictions(truth, scores), score_shifted(score, view), (view,))


def validate_members(bundles: Sequence[Bundle], members: Sequence[SavedMember], dataset: Dataset) -> Validation:
  """The mean of the members that have not seen an image, for each image that somebody has not.

  Args:
    bundles: the members' facts.
    members: what scores.
    dataset: as `open_dataset` gives it.

  Raises:
    DatasetError: if some members were trained on folds and others were not, or on folds of other sizes.
  """
  groups = zip(*held_out(bundles, dataset), strict=True)
  return joined([validate(mean_scorer([members[number] for number in numbers]), view) for view, numbers in groups])


def held_out(bundles: Sequence[Bundle], dataset: Dataset) -> tuple[list[Dataset], list[list[int]]]:
  """The dataset as the members were trained on it: each way once, with the numbers of the members that it was.

  Raises:
    DatasetError: if one image would be held out in two ways, a member's own networks have together seen all, or all
      images are of one class.
  """
  views: dict[Fold | None, Dataset] = {}
  numbers: defaultdict[Fold | None, list[int]] = defaultdict(list)
  for number, bundle in enumerate(bundles):
    if len(folds_held_out(dataset, bundle)) > 1:
      raise DatasetError(
        f'{bundle.name} is of networks that were trained on different folds: there is no image that none of them has '
        'seen; name its members instead, or leave out --dataset'
      )
    view = as_trained(dataset, bundle)
    views.setdefault(view.fold, view)
    numbers[view.fold].append(number)
  kinds = {None if fold is None else fold.of for fold in views}
  if len(kinds) > 1:
    said = ', '.join(sorted('no folds' if kind is None else f'{kind} folds' for kind in kinds))
    raise DatasetError(
      f'the members were trained on {said}, expected the same of all, so that every image is held out once; '
      'leave some of them out, or --dataset'
    )
  _check_classes(views.values())
  return list(views.values()), [numbers[fold] for fold in views]


def _check_classes(views: Collection[Dataset]) -> None:
  """Looked at before anything is scored; where there is no image at all, that is said by who reads them."""
  counts = [view.class_counts('val') for view in views]
  if sum(any(column) for column in zip(*(one.values() for one in counts), strict=True)) == 1:
    raise DatasetError(
      'the val split has labelled images of one class, and calibration and threshold need two; ingest more images, or '
      'leave out --dataset'
    )


def joined(parts: Sequence[Validation]) -> Validation:
  """Validations of different images as one."""
  plain = [part.plain for part in parts]
  shifted = [part.shifted for part in parts]
  firsts = itertools.accumulate((len(part.truth) for part in plain), initial=0)
  return Validation(
    Predictions(np.concatenate([one.truth for one in plain]), np.concatenate([one.scores for one in plain])),
    Shifted(
      np.concatenate([one.truth for one in shifted]),
      np.concatenate([one.scores for one in shifted]),
      tuple(itertools.chain.from_iterable(one.variants for one in shifted)),
      np.concatenate([one.images + first for one, first in zip(shifted, firsts, strict=False)]),
    ),
    tuple(itertools.chain.from_iterable(part.views for part in parts)),
  )


def check_dataset(bundles: Sequence[Bundle], dataset: Dataset) -> None:
  """Refuses a dataset that the members cannot be tried on.

  Raises:
    DatasetError: if its labels or its preprocessing are not theirs.
  """
  first = bundles[0]
  if dataset.labels != first.labels:
    raise DatasetError(
      f'the dataset has {len(dataset.labels)} labels, {first.name} {len(first.labels)}, and they are not the same; '
      'give the dataset that it was trained on'
    )
  check_preprocessing(dataset, first.spec, first.name)


def are_of(bundles: Sequence[Bundle], dataset: Dataset) -> bool:
  """Whether all were trained on this dataset: then it is known which images they have not seen."""
  return all(bundle.dataset_digest == dataset.digest for bundle in bundles)


def labelled_pixels(dataset: Dataset, split: Split) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
  """Batches of the labelled images of a split: class indices [N], and uint8 [N, height, width, channels]."""
  images = labelled_images(dataset, split)
  while batch := list(itertools.islice(images, _BATCH)):
    truth = np.array([dataset.labels.index(image.label) for image in batch])
    yield truth, np.stack([image.pixels for image in batch])
