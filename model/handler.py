"""The Beam model handler: batches of pixels through a bundle's SavedModel."""

import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler
from numpy.typing import NDArray

from model.bundle import Bundle
from transforms.local_copies import local_folder

Image = NDArray[np.uint8]
Scores = NDArray[np.float32]

_KEPT: Final = 4  # models in a process, those of other bundles are loaded again


@dataclass(frozen=True, slots=True)
class InferenceFailure:
  """The model failed on one image, also when it was alone in its batch.

  Attributes:
    detail: the kind of error. TensorFlow's own message may repeat the input, so it stays out.
  """

  detail: str


Prediction = Scores | InferenceFailure


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class LoadedModel:
  """A SavedModel's `pixels` signature, and what keeps its variables alive."""

  saved_model: Any
  score: Callable[..., dict[str, tf.Tensor]]
  shape: tuple[int, int, int]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class LoadedModels:
  """Several, in the order of their bundles."""

  models: tuple[LoadedModel, ...]


@dataclass(frozen=True, slots=True)
class HandlerOptions:
  """How a worker scores.

  Attributes:
    max_batch_size: images in one call of the model.
    deterministic: pads every batch to `max_batch_size`, so that the score of
      an image never depends on its neighbours; without it batches are padded
      to the next power of two and scores agree to 1e-6.
    threads: of TensorFlow, for one operation; None leaves it to TensorFlow.
      It takes effect only in a process that has not run TensorFlow yet.
  """

  max_batch_size: int = 64
  deterministic: bool = False
  threads: int | None = None


# What scores the images of a run, from its bundles. It goes to the workers: a function of a module, or a class method.
MakeHandler = Callable[[Sequence[Bundle], HandlerOptions], ModelHandler[Image, tuple[Prediction, ...], Any]]


class _OfImages:
  """What the handlers here say of batches of images, whatever they make of them."""

  def get_num_bytes(self, batch: Sequence[Image]) -> int:
    """Bytes of the pixels; Beam's own way would pickle them."""
    return sum(image.nbytes for image in batch)

  def get_metrics_namespace(self) -> str:
    """Under which Beam counts inferences."""
    return 'BundleModelHandler'

  def share_model_across_processes(self) -> bool:
    """No: the threads of a process share a model anyway, and pixels would be pickled on their way to another."""
    return False


class BundleModelHandler(_OfImages, ModelHandler[Image, Prediction, LoadedModel]):
  """uint8 [H, W] or [H, W, C] → float32 [K], the scores in the order of the labels, or `InferenceFailure`.

  Results hold no reference to the pixels. A batch that fails with an error of
  TensorFlow's runtime is run again image by image; anything else is a bug and
  propagates.
  """

  def __init__(self, bundle_dir: str, options: HandlerOptions | None = None, digest: str | None = None) -> None:
    self._bundle_dir = bundle_dir
    self._options = options or HandlerOptions()
    self._digest = digest
    super().__init__(min_batch_size=1, max_batch_size=self._options.max_batch_size)

  @classmethod
  def of(cls, bundle: Bundle, options: HandlerOptions | None = None) -> 'BundleModelHandler':
    """The handler of a bundle that was loaded, and verified, by the launcher."""
    return cls(bundle.origin or str(bundle.path), options, bundle.model_digest)

  def load_model(self) -> LoadedModel:
    """Takes what this process has loaded of the bundle, as for an earlier slice of the night, or loads the SavedModel.

    A bundle of an object store is copied to this worker first. Without a digest of the model nothing is kept.

    Raises:
      FileNotFoundError: if there is none: the bundle was not copied to this worker.
    """
    if self._digest is None:
      return _load_model(self._bundle_dir, self._options)
    return _kept_model(self._digest, self._bundle_dir, self._options)

  def run_inference(
    self, batch: Sequence[Image], model: LoadedModel, inference_args: dict[str, Any] | None = None
  ) -> Iterable[Prediction]:
    """Scores a batch; one result per image, in order."""
    images = [_with_channels(image, model.shape) for image in batch]
    try:
      return list(self._score(images, model))
    except tf.errors.OpError:
      return [self._score_alone(image, model) for image in images]

  def _score_alone(self, image: Image, model: LoadedModel) -> Prediction:
    try:
      return self._score([image], model)[0]
    except tf.errors.OpError as error:
      return InferenceFailure(type(error).__name__)

  def _score(self, images: Sequence[Image], model: LoadedModel) -> Scores:
    padded = np.zeros((self._padded_size(len(images)), *model.shape), np.uint8)
    np.stack(images, out=padded[: len(images)])
    scores: Scores = model.score(pixels=tf.constant(padded))['scores'].numpy()
    return scores[: len(images)]

  def _padded_size(self, size: int) -> int:
    """Few sizes, so that TensorFlow plans its memory once for each."""
    if self._options.deterministic:
      return max(size, self._options.max_batch_size)
    return 1 << (size - 1).bit_length()


class BundlesModelHandler(_OfImages, ModelHandler[Image, tuple[Prediction, ...], LoadedModels]):
  """uint8 [H, W] or [H, W, C] → what each of several bundles says of it, in their order.

  The models share the batches: an image is read and decoded once, however many score it.
  """

  def __init__(self, handlers: Sequence[BundleModelHandler], options: HandlerOptions) -> None:
    self._handlers = tuple(handlers)
    super().__init__(min_batch_size=1, max_batch_size=options.max_batch_size)

  @classmethod
  def of(cls, bundles: Sequence[Bundle], options: HandlerOptions) -> 'BundlesModelHandler':
    """The handler of bundles of the same preprocessing, loaded and verified by the launcher."""
    return cls([BundleModelHandler.of(bundle, options) for bundle in bundles], options)

  def load_model(self) -> LoadedModels:
    """Loads all of them.

    Raises:
      FileNotFoundError: if one of them was not copied to this worker.
    """
    return LoadedModels(tuple(handler.load_model() for handler in self._handlers))

  def run_inference(
    self, batch: Sequence[Image], model: LoadedModels, inference_args: dict[str, Any] | None = None
  ) -> Iterable[tuple[Prediction, ...]]:
    """Scores a batch by each model; one result per image, in order."""
    pairs = zip(self._handlers, model.models, strict=True)
    return list(zip(*(handler.run_inference(batch, loaded) for handler, loaded in pairs), strict=True))


@functools.lru_cache(_KEPT)
def _kept_model(digest: str, bundle_dir: str, options: HandlerOptions) -> LoadedModel:
  return _load_model(bundle_dir, options)


def _load_model(bundle_dir: str, options: HandlerOptions) -> LoadedModel:
  _limit_threads(options.threads)
  path = local_folder(bundle_dir) / 'saved_model'
  if not (path / 'saved_model.pb').is_file():
    raise FileNotFoundError(f'no saved_model.pb in the bundle {path.parent.name!r} on this worker; copy it there')
  saved_model = tf.saved_model.load(str(path))
  score = saved_model.signatures['pixels']
  height, width, channels = score.structured_input_signature[1]['pixels'].shape[1:]
  # The largest batch first: what a worker needs at most is taken before the first image, not somewhere in the night.
  score(pixels=tf.zeros([options.max_batch_size, height, width, channels], tf.uint8))
  return LoadedModel(saved_model, score, (height, width, channels))


def _with_channels(image: Image, shape: tuple[int, int, int]) -> Image:
  with_channels = image[..., np.newaxis] if image.ndim == 2 else image
  if with_channels.shape != shape or image.dtype != np.uint8:
    raise ValueError(f'an image is {image.dtype} {image.shape}, the model takes uint8 {shape}; preprocess it first')
  return with_channels


def _limit_threads(threads: int | None) -> None:
  if threads is None:
    return
  try:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
  except RuntimeError:  # TensorFlow runs already in this process
    logging.getLogger(__name__).warning('TensorFlow runs already; the limit of %d threads has no effect', threads)
