"""Several networks under one head: their embeddings side by side, and one linear layer over all of them.

The networks stay as they are; only the head is learnt, by logistic regression
with weight decay, which has one best answer and so needs neither steps nor a
seed. The embeddings are computed once, of the train split without augmentation
(features of several networks, concatenated: Nanni et al., Pattern Recognition
2017). Members have seen that split, so that what they say of it is cleaner
than what they will say of others: the decay is strong by default, and how well
it does is told by the validation split alone.
"""

import pathlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from model import bundle as layout
from model.bundle import Bundle, BundleError
from model.dataset import Dataset, DatasetError
from model.ensemble import Ensemble, JoinedModel, Made, called, put_ensemble
from model.ensemble_scores import held_out, labelled_pixels, validate
from model.export import BundleOptions, check_target
from model.recipe import Views
from model.shifted_validation import pixel_scorer
from model.signatures import both_columns, grey_levels, load_transform, with_views
from transforms.preprocess import PreprocessSpec

FEATURES: Final = 'features'  # the layer that gives the embedding
HEAD: Final = 'head'
_MOST_ITERATIONS: Final = 10_000


class Embedding(tf.Module):
  """What a bundle's network makes of an image before its head."""

  def __init__(self, bundle: Bundle) -> None:
    super().__init__()
    self.views: Views = bundle.recipe.get('views', 'one')
    network = _load_network(bundle)
    self.network = keras.Model(network.input, network.get_layer(FEATURES).output)
    transform = load_transform(bundle.path / layout.TRANSFORM_GRAPH)
    self.levels = tf.constant(grey_levels(transform, bundle.spec.shape).numpy())

  @property
  def size(self) -> int:
    """Features of an image."""
    return int(self.network.output_shape[-1])

  def of_pixels(self, pixels: tf.Tensor) -> tf.Tensor:
    """The mean over the views of the network: uint8 [N, height, width, channels] → float32 [N, size]."""
    return with_views(self._of_view, tf.gather(self.levels, tf.cast(pixels, tf.int32)), self.views)

  def _of_view(self, images: tf.Tensor) -> tf.Tensor:
    return tf.cast(self.network(images, training=False), tf.float32)


def _load_network(bundle: Bundle) -> keras.Model:
  path = bundle.path / layout.NETWORK_FILE
  if 'members' in bundle.recipe or not path.is_file():
    what = 'is an ensemble' if 'members' in bundle.recipe else f'holds no {layout.NETWORK_FILE}'
    raise BundleError(
      f'{called(bundle)} {what}, and fusion needs the one network of each member; name its members, or take '
      '--method mean'
    )
  network = keras.models.load_model(path, compile=False)
  if FEATURES not in [layer.name for layer in network.layers]:
    raise BundleError(
      f'the network of {called(bundle)} has no layer {FEATURES!r}, which gives its embedding; train it again'
    )
  return network


class FusedModel(JoinedModel):
  """Embeddings, and the head over them."""

  def __init__(self, embeddings: Sequence[Embedding], head: keras.Model, spec: PreprocessSpec) -> None:
    super().__init__(spec)
    self.embeddings = list(embeddings)
    self.head = head

  def join(self, pixels: tf.Tensor) -> tf.Tensor:
    """uint8 [N, height, width, channels] → float32 [N, K]."""
    features = tf.concat([embedding.of_pixels(pixels) for embedding in self.embeddings], axis=1)
    return both_columns(self.head(features, training=False))


@dataclass(frozen=True, slots=True)
class FusionOptions:
  """How the head is learnt.

  Attributes:
    weight_decay: half of it times the squared weights, of standardised features, is added to the mean cross-entropy.
  """

  weight_decay: float = 0.1


def write_fusion(
  ensemble: Ensemble, path: str | pathlib.Path, options: BundleOptions, fusion: FusionOptions = FusionOptions()
) -> Bundle:
  """Trains a head over the members' embeddings, and writes it with them as a bundle.

  Args:
    ensemble: of `open_members`, with a dataset: its train split teaches the head, its validation split decides.
    path: of the new bundle.
    options: its name, and how it decides; the positive label is the members'.
    fusion: how the head is learnt.

  Raises:
    BundleError: if the path exists and is not to be overwritten, or a member has no network or no embedding.
    DatasetError: if there is no dataset, or one of its splits lacks images.
  """
  check_target(path, options.overwrite)
  dataset = ensemble.dataset
  if dataset is None:
    raise DatasetError('fusion trains a head, and there is no dataset to train it on; give --dataset')
  view = _one_view(ensemble, dataset)
  embeddings = [Embedding(bundle) for bundle in ensemble.bundles]
  features, truth = _features_of(embeddings, view)
  head = fit_head(features, truth, len(view.labels), fusion.weight_decay)
  model = FusedModel(embeddings, head, ensemble.spec)
  recipe = {'method': 'fusion', **asdict(fusion), 'features': [embedding.size for embedding in embeddings]}
  return put_ensemble(path, ensemble, Made(model, recipe, head), validate(pixel_scorer(model), view), options)


def _one_view(ensemble: Ensemble, dataset: Dataset) -> Dataset:
  """The dataset as all members were trained on it: what none of them has seen must be left to choose by."""
  views, _ = held_out(ensemble.bundles, dataset)
  if len(views) > 1:
    raise DatasetError(
      f'the members held out {len(views)} different folds, so that no image is new to all of them, and fusion needs '
      'some; take --method mean, or members of one fold'
    )
  return views[0]


def fit_head(features: NDArray[np.float32], truth: NDArray[np.int64], classes: int, weight_decay: float) -> keras.Model:
  """The linear layer with the least cross-entropy and weight decay.

  Args:
    features: [N, F]; they are standardised for this, and the layer takes them as they come.
    truth: class indices, int [N], some of each class.
    classes: two or more.
    weight_decay: see `FusionOptions`.

  Returns:
    float32 [N, F] → [N, 1] by a sigmoid for two classes, else [N, classes] by a softmax.
  """
  mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
  deviation[deviation == 0] = 1.0
  line = LogisticRegression(C=1 / (weight_decay * len(truth)), max_iter=_MOST_ITERATIONS)
  line.fit((features - mean) / deviation, truth)
  kernel = line.coef_ / deviation
  head = _empty_head(features.shape[1], classes)
  head.get_layer(HEAD).set_weights([kernel.T, line.intercept_ - kernel @ mean])
  return head


def _empty_head(features: int, classes: int) -> keras.Model:
  units, activation = (1, 'sigmoid') if classes == 2 else (classes, 'softmax')
  dense = keras.layers.Dense(units, activation=activation, dtype='float32', name=HEAD)
  return keras.Sequential([keras.Input([features]), dense], name='fusion')


def _features_of(embeddings: Sequence[Embedding], dataset: Dataset) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
  compute = tf.function(lambda pixels: tf.concat([one.of_pixels(pixels) for one in embeddings], axis=1))
  batches = [(compute(pixels).numpy(), labels) for labels, pixels in labelled_pixels(dataset, 'train')]
  truth = np.concatenate([labels for _, labels in batches] or [np.zeros(0, np.int64)])
  if len(set(truth.tolist())) < len(dataset.labels):
    raise DatasetError(
      f'the train split has labelled images of {len(set(truth.tolist()))} of {len(dataset.labels)} classes, expected '
      'some of each; ingest more images'
    )
  return np.concatenate([features for features, _ in batches]), truth
