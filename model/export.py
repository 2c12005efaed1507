"""From a training to a bundle: written beside its place, then renamed into it."""

import csv
import io
import json
import pathlib
import platform
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from typing import Any, Final

import tensorflow as tf

from model import bundle as layout
from model.bundle import Bundle, BundleError, decision_facts, file_digests, model_digest, to_json
from model.dataset import Dataset, read_rows
from model.decision import Decision, DecisionOptions, decide, decided, rules
from model.folds import fold_facts
from model.intended_use import COLUMNS, intended_use_of
from model.metrics import Scored, compute_metrics
from model.model_card import model_card
from model.report.plots import history_figure, to_png
from model.shifted_table import SHIFTED_FILE, Shifted, shifted_table
from model.shifted_validation import pixel_scorer, score_shifted
from model.signatures import PixelModel, ServingModel
from model.training import Trained
from model.training_statistics import training_statistics
from model.watching import EpochRow
from transforms import storage

_DISTRIBUTIONS: Final = ('radbeam', 'tensorflow', 'keras', 'tensorflow-transform', 'numpy', 'scikit-learn')


@dataclass(frozen=True, slots=True)
class BundleOptions(DecisionOptions):
  """How a bundle is named and decides.

  Attributes:
    name: of the model, part of the predictions' paths.
    version: None takes the beginning of the model digest.
    overwrite: whether an existing bundle is replaced.
  """

  name: str
  version: str | None = None
  overwrite: bool = False


def write_bundle(trained: Trained, dataset: Dataset, path: str | pathlib.Path, options: BundleOptions) -> Bundle:
  """Writes the bundle of a training.

  Raises:
    BundleError: if the path exists and is not to be overwritten.
    ValueError: if the positive label is none of the labels.
  """
  check_target(path, options.overwrite)
  views = trained.recipe.views
  serving = ServingModel(trained.network, dataset.transform_graph, dataset.spec, views=views)
  shifted = score_shifted(pixel_scorer(serving), dataset)
  decision = decide(trained.validation, shifted, dataset.labels, options)
  facts = {
    **named(options),
    **decided(decision.scored, decision.calibration),
    **known_of(dataset),
    'recipe': _recipe(trained) | fold_facts(dataset) | rules(options),
  }
  return put_bundle(path, facts, lambda root: _write_files(root, trained, dataset, decision))


def _recipe(trained: Trained) -> dict[str, Any]:
  teacher = {} if trained.taught_by is None else {'taught_by': dict(trained.taught_by)}
  return trained.recipe.to_facts() | {'best_epoch': trained.best_epoch} | teacher


def put_bundle(
  path: str | pathlib.Path, facts: Mapping[str, Any], write_files: Callable[[pathlib.Path], None]
) -> Bundle:
  """Writes a bundle directory; it appears under its name only when it is complete.

  Args:
    path: of the directory; what is there is replaced.
    facts: of `Bundle`, but path, digests and files.
    write_files: writes all but the model card and `bundle.json` into the folder that it is given.
  """
  target = pathlib.Path(path)
  staging = target.with_name(f'.{target.name}-{uuid.uuid4().hex}')
  staging.mkdir(parents=True)
  try:
    write_files(staging)
    _write_text(staging / layout.BUNDLE_FILE, to_json(_with_digests(staging, facts)))
    _put_in_place(staging, target)
  finally:
    shutil.rmtree(staging, ignore_errors=True)
  return layout.load_bundle(target)


def check_target(target: str | pathlib.Path, overwrite: bool) -> None:
  """Refuses a place that is taken; callable before a training of hours.

  Raises:
    BundleError: if the path exists and is not to be overwritten.
  """
  if storage.exists(str(target)) and not overwrite:
    name = str(target).rstrip('/').rpartition('/')[2]
    raise BundleError(f'{name!r} exists already; give another --output, or --overwrite to replace it')


def named(options: BundleOptions) -> dict[str, Any]:
  """The facts of a bundle that are its name; no version takes the beginning of the model digest."""
  return {'name': options.name, 'version': options.version or '', 'versions': _versions()}


def known_of(dataset: Dataset) -> dict[str, Any]:
  """The facts of a bundle that are those of its training data."""
  return {
    'spec': dataset.spec,
    'dataset_digest': dataset.digest,
    'pseudonym_key_fingerprint': dataset.pseudonym_key_fingerprint,
    'intended_use': intended_use_of(read_rows(dataset, COLUMNS)),
    'synthetic': dataset.synthetic,
  }


def _write_files(root: pathlib.Path, trained: Trained, dataset: Dataset, decision: Decision) -> None:
  views = trained.recipe.views
  write_model(
    root, ServingModel(trained.network, dataset.transform_graph, dataset.spec, decision.calibration, views=views)
  )
  shutil.copytree(dataset.transform_graph, root / layout.TRANSFORM_GRAPH)
  trained.network.save(root / layout.NETWORK_FILE)
  _write_text(root / layout.HISTORY_FILE, history_csv(trained.history))
  (root / layout.HISTORY_FILE).with_suffix('.png').write_bytes(
    to_png(history_figure([asdict(row) for row in trained.history]))
  )
  write_measures(root, dataset, decision.scored, decision.shifted)


def write_model(root: pathlib.Path, model: PixelModel) -> None:
  """Writes the SavedModel into the folder of a bundle."""
  tf.saved_model.save(model, str(root / layout.SAVED_MODEL), signatures=model.signatures())


def write_measures(
  root: pathlib.Path,
  dataset: Dataset,
  scored: Scored,
  shifted: Shifted | None = None,
  held_out: Sequence[Dataset] = (),
) -> None:
  """Writes what nights are compared with, and the metrics on validation, into the folder of a bundle.

  Args:
    root: the folder.
    dataset: that it was trained on.
    scored: the validation images as they are.
    shifted: the same under shift, calibrated; None where nobody looked.
    held_out: see `training_statistics`.
  """
  _write_text(root / layout.STATISTICS_FILE, _json(training_statistics(dataset, scored, held_out)))
  _write_text(root / layout.EVALUATION_FILE, _json(compute_metrics(scored)))
  if shifted is not None:
    _write_text(root / SHIFTED_FILE, _json(shifted_table(scored, shifted)))


def _with_digests(root: pathlib.Path, given: Mapping[str, Any]) -> Bundle:
  """The model card names the version, so the digest of what decides comes before it."""
  facts = {'path': root, **given}
  draft = Bundle(**facts, model_digest='', files={})
  facts['model_digest'] = model_digest(file_digests(root), decision_facts(draft))
  facts['version'] = facts['version'] or facts['model_digest'][:12]
  _write_text(root / layout.MODEL_CARD, model_card(Bundle(**facts, files={})))
  return Bundle(**facts, files=file_digests(root))


def history_csv(history: Sequence[EpochRow]) -> str:
  """One line per epoch, under the names of `EpochRow`."""
  buffer = io.StringIO()
  writer = csv.DictWriter(buffer, [field.name for field in fields(EpochRow)], lineterminator='\n')
  writer.writeheader()
  writer.writerows(asdict(row) for row in history)
  return buffer.getvalue()


def _versions() -> dict[str, str]:
  return {'python': platform.python_version()} | {name: metadata.version(name) for name in _DISTRIBUTIONS}


def _json(values: dict[str, Any]) -> str:
  return json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + '\n'


def _write_text(path: pathlib.Path, text: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text, encoding='utf-8')


def _put_in_place(staging: pathlib.Path, target: pathlib.Path) -> None:
  """An old bundle is moved aside first: at no moment is there half of one."""
  aside = staging.with_name(f'{staging.name}-old')
  if target.exists():
    target.rename(aside)
  staging.rename(target)
  shutil.rmtree(aside, ignore_errors=True)
