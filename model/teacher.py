"""From a bundle to the teacher of a training; what it is for stands in `model.soft_targets`."""

import pathlib

from model.bundle import Bundle, load_bundle
from model.dataset import Dataset
from model.ensemble_scores import SavedMember, check_dataset, mean_scorer
from model.folds import folds_held_out
from model.recipe import TeacherSees
from model.soft_targets import Teacher


def open_teacher(path: str | pathlib.Path, dataset: Dataset, weight: float, sees: TeacherSees) -> Teacher:
  """Loads the teacher of a training.

  Raises:
    BundleError: if it cannot be used.
    DatasetError: if it takes other images than those of the dataset, or tells apart other labels.
  """
  bundle = load_bundle(path)
  bundle.verify()
  check_dataset([bundle], dataset)
  facts = {'name': bundle.name, 'version': bundle.version, 'model_digest': bundle.model_digest}
  return Teacher(
    mean_scorer([SavedMember(bundle.path)]), weight, sees, facts | {'has_seen_val': has_seen(bundle, dataset)}
  )


def has_seen(bundle: Bundle, dataset: Dataset) -> bool:
  """Whether a bundle was trained on images that the dataset holds out: it may then tell a student of them."""
  return any(fold != dataset.fold for fold in folds_held_out(dataset, bundle))
