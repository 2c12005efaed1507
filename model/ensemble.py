"""Several bundles as one: the mean of their calibrated probabilities, in one SavedModel.

The members are taken as they were saved, by their signature `pixels`: each
keeps its network, its table of grey levels, its views and its calibration,
and may be an ensemble itself. The mean of networks that were trained apart
errs less than they do (Hansen and Salamon, IEEE PAMI 1990) and is less sure of
itself (Lakshminarayanan et al., NeurIPS 2017): it is calibrated anew where
there is a dataset for that.
"""

import hashlib
import json
import pathlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import keras
import tensorflow as tf

from model import bundle as layout
from model.bundle import Bundle, BundleError, load_bundle
from model.calibration import IDENTITY
from model.dataset import Dataset
from model.decision import Decision, decide, decided, rules
from model.ensemble_scores import SavedMember, Validation, are_of, check_dataset, validate_members
from model.export import (
  BundleOptions,
  check_target,
  known_of,
  named,
  put_bundle,
  write_measures,
  write_model,
)
from model.folds import fold_facts
from model.intended_use import common_use
from model.signatures import PixelModel, calibrated
from transforms.preprocess import PreprocessSpec

_LEAST: Final = 2
_KEPT_FILES: Final = (layout.BUNDLE_FILE, layout.NETWORK_FILE, layout.HISTORY_FILE)
_KEPT_FOLDERS: Final = (layout.TRANSFORM_GRAPH, layout.MEMBERS)


class JoinedModel(PixelModel):
  """What members say together, and one calibration of it, which is set once it is chosen."""

  def __init__(self, spec: PreprocessSpec) -> None:
    super().__init__(spec)
    self.calibration = IDENTITY

  def score_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scores preprocessed images: uint8 [N, height, width, channels]."""
    return {'scores': calibrated(self.join(pixels), self.calibration)}

  def join(self, pixels: tf.Tensor) -> tf.Tensor:
    """The scores before calibration: float32 [N, K]."""
    raise NotImplementedError


class MeanModel(JoinedModel):
  """The mean of the members' probabilities."""

  def __init__(self, members: Sequence[SavedMember], spec: PreprocessSpec) -> None:
    super().__init__(spec)
    self.members = list(members)

  def join(self, pixels: tf.Tensor) -> tf.Tensor:
    """uint8 [N, height, width, channels] → float32 [N, K]."""
    return tf.add_n([member.score(pixels) for member in self.members]) / len(self.members)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
  """What members were joined into.

  Attributes:
    model: that scores.
    recipe: how they were joined.
    head: what was trained for it, if anything was.
  """

  model: JoinedModel
  recipe: dict[str, Any]
  head: keras.Model | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
  """What an ensemble is made of.

  Attributes:
    bundles: the members, which agree.
    dataset: to choose calibration and threshold on; None where there is none.
  """

  bundles: tuple[Bundle, ...]
  dataset: Dataset | None = None

  @property
  def spec(self) -> PreprocessSpec:
    """The preprocessing that is the same for all."""
    return self.bundles[0].spec


def open_members(paths: Sequence[str | pathlib.Path], dataset: Dataset | None = None) -> Ensemble:
  """Loads and verifies bundles that are to be one.

  Raises:
    BundleError: if there are fewer than two, one is there twice, or they do not agree.
    DatasetError: if the dataset has other labels or another preprocessing.
  """
  bundles = tuple(load_bundle(path) for path in paths)
  for bundle in bundles:
    bundle.verify()
  _check_members(bundles)
  if dataset is not None:
    check_dataset(bundles, dataset)
  return Ensemble(bundles, dataset)


def _check_members(bundles: Sequence[Bundle]) -> None:
  different = len({bundle.model_digest for bundle in bundles})
  if not _LEAST <= len(bundles) == different:
    raise BundleError(
      f'found {len(bundles)} bundles of {different} different models, expected two or more, each of them once; '
      'give the --bundle of several trainings'
    )
  first = bundles[0]
  for other in bundles[1:]:
    for what, one, two in (
      ('labels', first.labels, other.labels),
      ('the positive label', first.positive_label, other.positive_label),
      ('the preprocessing', first.spec.to_json(), other.spec.to_json()),
    ):
      if one != two:
        raise BundleError(
          f'{what} of {called(first)}: {one}, of {called(other)}: {two}; members must agree: '
          'train them on datasets of the same labels and preprocessing'
        )


def called(bundle: Bundle) -> str:
  """Name and version."""
  return f'{bundle.name}-{bundle.version}'


def write_mean(ensemble: Ensemble, path: str | pathlib.Path, options: BundleOptions) -> Bundle:
  """Writes the mean of the members as a bundle.

  With a dataset, calibration and threshold are chosen on images that the
  members have not seen. Without one the mean is left as it is, and its
  threshold is the mean of the members': positive is where they are, together,
  further above their own thresholds than below. How well that does is then
  not known, nor is what drift is measured against.

  Args:
    ensemble: of `open_members`.
    path: of the new bundle.
    options: its name, and how it decides; the positive label is the members'.

  Raises:
    BundleError: if the path exists and is not to be overwritten.
    DatasetError: if the dataset has no validation images, or the members do not agree which they are.
  """
  check_target(path, options.overwrite)
  members = [SavedMember(bundle.path) for bundle in ensemble.bundles]
  dataset = ensemble.dataset
  validation = None if dataset is None else validate_members(ensemble.bundles, members, dataset)
  made = Made(MeanModel(members, ensemble.spec), {'method': 'mean'})
  return put_ensemble(path, ensemble, made, validation, options)


def put_ensemble(
  path: str | pathlib.Path, ensemble: Ensemble, made: Made, validation: Validation | None, options: BundleOptions
) -> Bundle:
  """Decides, and writes the bundle of an ensemble, whatever joins its members.

  Args:
    path: of the new bundle.
    ensemble: its members.
    made: of them.
    validation: what it says of images that it has not seen, before calibration; None where there are none.
    options: its name, and how it decides.
  """
  first = ensemble.bundles[0]
  if validation is None:
    decision, facts, rule = None, _undecided(ensemble), {'threshold_rule': None, 'threshold_on': None}
  else:
    options = replace(options, positive_label=first.positive_label)
    decision = decide(validation.plain, validation.shifted, first.labels, options)
    made.model.calibration = decision.calibration
    facts, rule = decided(decision.scored, decision.calibration), rules(options)
  views = () if validation is None else validation.views
  provenance = {**_tuned_on(ensemble, views), 'members': list(map(_member_facts, ensemble.bundles))}
  facts = {**named(options), **_known(ensemble, views), **facts, 'recipe': made.recipe | rule | provenance}
  return put_bundle(path, facts, lambda root: _write_files(root, ensemble, made, decision, views))


def _undecided(ensemble: Ensemble) -> dict[str, Any]:
  first = ensemble.bundles[0]
  thresholds = [bundle.threshold for bundle in ensemble.bundles if bundle.threshold is not None]
  return {
    'labels': first.labels,
    'positive_label': first.positive_label,
    'threshold': sum(thresholds) / len(thresholds) if thresholds else None,
    'calibration': IDENTITY.to_facts(),
    'metrics': {},
  }


def _tuned_on(ensemble: Ensemble, views: Sequence[Dataset]) -> dict[str, Any]:
  """Which images decided, and whether it is known that they were scored by members that have not seen them."""
  dataset = ensemble.dataset
  if dataset is None:
    return {'tuned_on': None}
  facts: dict[str, Any] = {'tuned_on': dataset.digest, 'unseen_by_members': are_of(ensemble.bundles, dataset)}
  if len(views) == 1:
    return facts | fold_facts(views[0])
  return facts | {'out_of_fold': [fold_facts(view) for view in views]}


def _member_facts(bundle: Bundle) -> dict[str, Any]:
  names = ('name', 'version', 'model_digest', 'dataset_digest', 'threshold', 'calibration', 'recipe')
  return {name: getattr(bundle, name) for name in names}


def _known(ensemble: Ensemble, views: Sequence[Dataset]) -> dict[str, Any]:
  """The facts of the training data: of the dataset if it is that of all members, else what they have in common."""
  bundles, dataset = ensemble.bundles, ensemble.dataset
  if dataset is not None and are_of(bundles, dataset):
    return known_of(views[0] if len(views) == 1 else dataset)
  digests = sorted({bundle.dataset_digest for bundle in bundles})
  keys = {bundle.pseudonym_key_fingerprint for bundle in bundles}
  return {
    'spec': ensemble.spec,
    'dataset_digest': digests[0] if len(digests) == 1 else hashlib.sha256(json.dumps(digests).encode()).hexdigest(),
    'pseudonym_key_fingerprint': keys.pop() if len(keys) == 1 else None,
    'intended_use': common_use([bundle.intended_use for bundle in bundles]),
    'synthetic': any(bundle.synthetic for bundle in bundles),
  }


def _write_files(
  root: pathlib.Path, ensemble: Ensemble, made: Made, decision: Decision | None, views: Sequence[Dataset]
) -> None:
  write_model(root, made.model)
  if made.head is not None:
    made.head.save(root / layout.NETWORK_FILE)
  for number, bundle in enumerate(ensemble.bundles, 1):
    _keep_member(bundle.path, root / layout.MEMBERS / f'{number:02d}')
  dataset = ensemble.dataset
  graph = ensemble.bundles[0].path / layout.TRANSFORM_GRAPH if dataset is None else dataset.transform_graph
  shutil.copytree(graph, root / layout.TRANSFORM_GRAPH)
  if dataset is not None and decision is not None:
    write_measures(root, dataset, decision.scored, decision.shifted, views)


def _keep_member(bundle_dir: pathlib.Path, target: pathlib.Path) -> None:
  """What is needed to go on with a member; its SavedModel is in that of the ensemble."""
  target.mkdir(parents=True)
  for name in _KEPT_FILES:
    if (bundle_dir / name).is_file():
      shutil.copyfile(bundle_dir / name, target / name)
  for name in _KEPT_FOLDERS:
    if (bundle_dir / name).is_dir():
      shutil.copytree(bundle_dir / name, target / name)
