"""A model bundle: everything that decides a score, and what is known about it, in one directory.

  saved_model/               signatures `pixels`, `examples`, `raw_images`
  transform_graph/           uint8 to the network's floats
  model.keras                the network alone, for further training
  history.csv, history.png   one row per epoch
  training_statistics.json   sketches of inputs and scores, to compare later nights with
  evaluation/                metrics on the validation split
  model_card.md
  members/01/ …              of an ensemble: what is left of each member; its own network is a fusion's head, or none
  bundle.json                written last; digests of all of the above

Reading it needs no TensorFlow, so that a launcher can refuse a bundle at once.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.intended_use import IntendedUse, from_facts
from transforms.local_copies import local_folder
from transforms.preprocess import PreprocessSpec

FORMAT_VERSION: Final = 1
BUNDLE_FILE: Final = 'bundle.json'
SAVED_MODEL: Final = 'saved_model'
TRANSFORM_GRAPH: Final = 'transform_graph'
NETWORK_FILE: Final = 'model.keras'
HISTORY_FILE: Final = 'history.csv'
STATISTICS_FILE: Final = 'training_statistics.json'
EVALUATION_FILE: Final = 'evaluation/validation.json'
MODEL_CARD: Final = 'model_card.md'
MEMBERS: Final = 'members'


class BundleError(ValueError):
  """A bundle that must not score: what was found, what was expected, what to do."""


@dataclass(frozen=True, slots=True)
class Bundle:
  """The facts of `bundle.json`.

  Attributes:
    path: of the directory.
    name: given by whoever trained it.
    version: given, or the beginning of the model digest.
    labels: class names; scores come in this order.
    positive_label: for two classes the one that the threshold is about; None for more.
    threshold: the positive label is predicted from this probability up; None for more than two classes.
    calibration: how scores become probabilities; `identity` leaves them.
    spec: the preprocessing that an image must have gone through.
    dataset_digest: of the training data.
    pseudonym_key_fingerprint: of the key behind the ids of the training data.
    intended_use: what kind of images it was trained on; an old bundle knows less.
    recipe: the options of the training.
    metrics: on the validation split.
    versions: of the libraries.
    synthetic: whether it was trained on drawn images.
    model_digest: over what decides a score.
    files: SHA-256 of every file, by its path in the bundle.
    origin: what it was loaded from, for whoever must load it on another machine.
  """

  path: pathlib.Path
  name: str
  version: str
  labels: tuple[str, ...]
  positive_label: str | None
  threshold: float | None
  calibration: Mapping[str, Any]
  spec: PreprocessSpec
  dataset_digest: str
  pseudonym_key_fingerprint: str | None
  intended_use: IntendedUse
  recipe: Mapping[str, Any]
  metrics: Mapping[str, Any]
  versions: Mapping[str, str]
  synthetic: bool
  model_digest: str
  files: Mapping[str, str]
  origin: str = ''

  @property
  def preprocess_digest(self) -> str:
    """Of the preprocessing spec."""
    return self.spec.digest

  def decide(self, scores: NDArray[np.float32]) -> tuple[str, float]:
    """What the bundle says about one image.

    Args:
      scores: [K], in the order of the labels.

    Returns:
      For two classes the predicted label and the probability of the positive
      one; for more the likeliest label and its probability.
    """
    if self.positive_label is None or self.threshold is None:
      best = int(np.argmax(scores))
      return self.labels[best], float(scores[best])
    position = self.labels.index(self.positive_label)
    probability = float(scores[position])
    return self.labels[position if probability >= self.threshold else 1 - position], probability

  def verify(self) -> None:
    """Reads every file and compares its digest.

    Raises:
      BundleError: if a file is missing, differs, or is not listed.
    """
    found = file_digests(self.path)
    for name in sorted(set(found) | set(self.files)):
      if found.get(name) != self.files.get(name):
        raise BundleError(
          f'{name} in the bundle {self.name!r} has the digest {_short(found.get(name))}, {BUNDLE_FILE} says '
          f'{_short(self.files.get(name))}; copy the bundle again, or train it again'
        )


def load_bundle(path: str | pathlib.Path) -> Bundle:
  """Reads `bundle.json`; `verify()` reads the files themselves. A bundle of an object store is copied here first.

  Raises:
    BundleError: if it is missing, of another format, or its digests
      contradict what it says about labels, thresholds and preprocessing.
  """
  root = local_folder(path)
  values = _read_json(root)
  bundle = Bundle(path=root, origin=str(path), spec=_checked_spec(values), **_fields(values))
  expected = model_digest(bundle.files, decision_facts(bundle))
  if bundle.model_digest != expected:
    raise BundleError(
      f'{BUNDLE_FILE} states the model digest {_short(bundle.model_digest)}, its content gives {_short(expected)}; '
      'it was edited: train the bundle again'
    )
  return bundle


def decision_facts(bundle: Bundle) -> dict[str, Any]:
  """What decides a score or a predicted label beside the SavedModel."""
  return {
    'labels': list(bundle.labels),
    'positive_label': bundle.positive_label,
    'threshold': bundle.threshold,
    'calibration': dict(bundle.calibration),
    'preprocess_digest': bundle.preprocess_digest,
  }


def model_digest(files: Mapping[str, str], facts: Mapping[str, Any]) -> str:
  """SHA-256 over the SavedModel's file digests and the decision facts.

  TensorFlow may write the same graph in other bytes: two bundles of the same
  recipe can have the same weights and yet different digests.
  """
  saved_model = {name: digest for name, digest in files.items() if name.startswith(f'{SAVED_MODEL}/')}
  return hashlib.sha256(_canonical({'files': saved_model, **facts})).hexdigest()


def file_digests(root: pathlib.Path) -> dict[str, str]:
  """SHA-256 of every file below a directory but `bundle.json`, by relative path."""
  paths = sorted(path for path in root.rglob('*') if path.is_file() and path != root / BUNDLE_FILE)
  return {path.relative_to(root).as_posix(): file_digest(path) for path in paths}


def file_digest(path: pathlib.Path) -> str:
  """SHA-256 of a file's content."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _canonical(values: Mapping[str, Any]) -> bytes:
  return json.dumps(values, sort_keys=True, separators=(',', ':')).encode()


def _short(digest: str | None) -> str:
  return digest[:12] if digest else 'none'


_TAKEN_AS_THEY_ARE: Final = (
  'name',
  'version',
  'positive_label',
  'threshold',
  'calibration',
  'dataset_digest',
  'pseudonym_key_fingerprint',
  'recipe',
  'metrics',
  'versions',
  'synthetic',
  'model_digest',
  'files',
)


def to_json(bundle: Bundle) -> str:
  """The content of `bundle.json`; it names no path of the machine."""
  values = {name: getattr(bundle, name) for name in _TAKEN_AS_THEY_ARE}
  values |= {'format_version': FORMAT_VERSION, 'labels': list(bundle.labels)}
  values |= {'intended_use': bundle.intended_use.to_facts()}
  values |= {'preprocess': json.loads(bundle.spec.to_json()), 'preprocess_digest': bundle.preprocess_digest}
  return json.dumps(values, sort_keys=True, indent=2, allow_nan=False) + '\n'


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
  missing = sorted({*_TAKEN_AS_THEY_ARE, 'labels', 'intended_use'} - set(values))
  if missing:
    raise BundleError(f'{BUNDLE_FILE} lacks {", ".join(missing)}; train the bundle again')
  taken = {name: values[name] for name in _TAKEN_AS_THEY_ARE}
  return taken | {'labels': tuple(values['labels']), 'intended_use': _intended_use(values)}


def _intended_use(values: Mapping[str, Any]) -> IntendedUse:
  try:
    return from_facts(values['intended_use'])
  except ValueError as error:
    raise BundleError(
      f'{BUNDLE_FILE} has an intended_use, but {error}; use the version of radbeam that trained it, or train it again'
    ) from None


def _read_json(root: pathlib.Path) -> dict[str, Any]:
  try:
    values: dict[str, Any] = json.loads((root / BUNDLE_FILE).read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise BundleError(
      f'{root.name!r} holds no {BUNDLE_FILE}, which train writes last; give the folder of a finished bundle'
    ) from None
  except ValueError as error:
    raise BundleError(f'{BUNDLE_FILE} is no JSON ({error}); copy the bundle again') from None
  if values.get('format_version') != FORMAT_VERSION:
    raise BundleError(
      f'{BUNDLE_FILE} has format version {values.get("format_version")!r}, expected {FORMAT_VERSION}; '
      'use the version of radbeam that trained it, or train it again'
    )
  return values


def _checked_spec(values: Mapping[str, Any]) -> PreprocessSpec:
  try:
    spec = PreprocessSpec.from_dict(values['preprocess'])
  except (KeyError, ValueError) as error:
    raise BundleError(f'the preprocessing spec cannot be read ({error}); train the bundle again') from None
  if spec.digest != values.get('preprocess_digest'):
    raise BundleError(
      f'the preprocessing spec has the digest {_short(spec.digest)}, {BUNDLE_FILE} says '
      f'{_short(values.get("preprocess_digest"))}; it was edited: train the bundle again'
    )
  return spec
