"""A dataset directory as `ingest` writes it: opened, checked, never changed.

No TensorFlow here: a dry run reads a dataset's facts without loading it.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pyarrow.dataset

from transforms.local_copies import local_folder
from transforms.preprocess import PreprocessSpec
from transforms.splits import BUCKETS, fold_of

Split = Literal['train', 'val', 'test']

FORMAT_VERSION: Final = 1
BUCKET: Final = 'patient_bucket'  # of the index and of the examples


class DatasetError(ValueError):
  """A dataset that cannot be used as it is: what was found, what was expected, what to do."""


@dataclass(frozen=True, slots=True)
class Fold:
  """One of several equal parts of the patients.

  Attributes:
    number: from 1.
    of: how many parts there are.
  """

  number: int
  of: int

  def __post_init__(self) -> None:
    if not (2 <= self.of <= BUCKETS and 1 <= self.number <= self.of):
      raise ValueError(
        f'fold is {self.number} of {self.of}; expected 2 to {BUCKETS} folds, and one of them, counted from 1'
      )

  @property
  def buckets(self) -> range:
    """Those of the patients in it."""
    held = [bucket for bucket in range(BUCKETS) if fold_of(bucket, self.of) == self.number]
    return range(held[0], held[-1] + 1)


@dataclass(frozen=True, slots=True)
class Dataset:
  """The facts of `dataset.json`.

  Attributes:
    path: of the directory.
    digest: identifies images, splits and labels.
    labels: class names in alphabetic order; their position is the class index everywhere.
    counts: labelled images by split and label.
    spec: the preprocessing every stored image went through.
    pseudonym_key_fingerprint: of the key behind the ids.
    versions: of the libraries that made it.
    synthetic: whether the images are drawn, not taken from patients.
    scaling: how the transform graph makes floats of grey levels.
    fold: which part of the patients is for validation, instead of the val split; see `model.folds`.
  """

  path: pathlib.Path
  digest: str
  labels: tuple[str, ...]
  counts: Mapping[str, Mapping[str, int]]
  spec: PreprocessSpec
  pseudonym_key_fingerprint: str | None = None
  versions: Mapping[str, str] | None = None
  synthetic: bool = False
  scaling: str | None = None
  fold: Fold | None = None

  @property
  def transform_graph(self) -> pathlib.Path:
    """The tf.Transform output."""
    return self.path / 'transform_graph'

  def example_files(self, split: Split) -> list[str]:
    """TFRecord files that hold a split, in the order of their names; with a fold they hold others as well.

    Raises:
      DatasetError: if there are none.
    """
    folders = [self.path / 'examples' / f'split={one}' for one in self.stored_splits(split)]
    files = [str(path) for folder in folders for path in sorted(folder.glob('*.tfrecord*'))]
    if not files:
      raise DatasetError(
        f'the {split} split holds no TFRecord files, expected at least one; '
        f'run ingest with more images, or choose another of the splits {", ".join(get_args(Split))}'
      )
    return files

  def stored_splits(self, split: Split) -> tuple[Split, ...]:
    """The splits of `ingest` that the images of a split come from."""
    return (split,) if self.fold is None or split == 'test' else ('train', 'val')

  def class_counts(self, split: Split) -> dict[str, int]:
    """Labelled images of each class in a split, zero included, in the order of `labels`."""
    found = self.counts.get(split, {})
    return {label: int(found.get(label, 0)) for label in self.labels}

  def outline(self, split: Split) -> str:
    """A split in figures, for lines on a terminal: labels are the site's words, and stay with its data."""
    counts = self.class_counts(split)
    return f'{sum(counts.values())} images of {len(counts)} labels ({"/".join(map(str, counts.values()))})'

  def count(self, split: Split) -> int:
    """Labelled images of a split."""
    return sum(self.class_counts(split).values())

  def sample(self, image_id: str) -> pathlib.Path | None:
    """The picture before preprocessing, if it is one of the few that were kept."""
    path = self.path / 'samples' / f'{image_id}.png'
    return path if path.is_file() else None


def open_dataset(path: str | pathlib.Path) -> Dataset:
  """Opens a dataset directory; one of an object store is copied here first.

  Raises:
    DatasetError: if `dataset.json` is missing (ingest did not finish), of
      another format, or contradicts its own preprocessing digest.
  """
  root = local_folder(path)
  values = _read_json(root)
  _check_format(values)
  return Dataset(
    path=root,
    digest=values['digest'],
    labels=tuple(sorted(values['labels'])),
    counts=values['counts'],
    spec=_checked_spec(values),
    pseudonym_key_fingerprint=values.get('pseudonym_key_fingerprint'),
    versions=values.get('versions'),
    synthetic=bool(values.get('synthetic', False)),
    scaling=values.get('scaling'),
  )


def rows_of(dataset: Dataset, split: Split) -> pyarrow.dataset.Expression:
  """What is true of the good rows of a split, in the index."""
  field = pyarrow.dataset.field
  good = (field('status') == 'ok') & field('split').isin(dataset.stored_splits(split))
  if dataset.fold is None or split == 'test':
    return good
  held_out = field(BUCKET).isin(list(dataset.fold.buckets))
  return good & (held_out if split == 'val' else ~held_out)


def read_rows(dataset: Dataset, columns: Sequence[str], split: Split = 'train') -> Iterator[dict[str, Any]]:
  """The good rows of a split.

  Args:
    dataset: whose index is read.
    columns: of the index; those it does not have are left out.
    split: whose rows they are.

  Yields:
    For each row, its value in each of the columns.
  """
  index = dataset.path / 'index'
  if not index.is_dir():
    return
  rows = pyarrow.dataset.dataset(index, format='parquet')
  present = [column for column in columns if column in rows.schema.names]
  for batch in rows.to_batches(columns=present, filter=rows_of(dataset, split)):
    yield from batch.to_pylist()


def check_preprocessing(dataset: Dataset, expected: PreprocessSpec, whose: str) -> None:
  """Refuses a dataset whose images look other than those that a bundle was made for.

  Args:
    dataset: that is to be scored.
    expected: the bundle's.
    whose: the bundle, as the error calls it.

  Raises:
    DatasetError: if they differ.
  """
  if dataset.spec != expected:
    raise DatasetError(
      f'the dataset was preprocessed by {dataset.spec.to_json()}, {whose} expects {expected.to_json()}; '
      'ingest the images again with the options of the bundle'
    )


def _read_json(root: pathlib.Path) -> dict[str, Any]:
  try:
    values: dict[str, Any] = json.loads((root / 'dataset.json').read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise DatasetError(
      f'{root.name!r} holds no dataset.json, which ingest writes last; run ingest to its end, or give another folder'
    ) from None
  except ValueError as error:
    raise DatasetError(f'dataset.json is no JSON ({error}); run ingest again') from None
  return values


def _check_format(values: Mapping[str, Any]) -> None:
  if values.get('format_version') != FORMAT_VERSION:
    raise DatasetError(
      f'dataset.json has format version {values.get("format_version")!r}, expected {FORMAT_VERSION}; run ingest again'
    )
  missing = sorted({'digest', 'labels', 'counts', 'preprocess', 'preprocess_digest'} - set(values))
  if missing:
    raise DatasetError(f'dataset.json lacks {", ".join(missing)}; run ingest again')


def _checked_spec(values: Mapping[str, Any]) -> PreprocessSpec:
  try:
    spec = PreprocessSpec.from_dict(values['preprocess'])
  except ValueError as error:
    raise DatasetError(f'{error}; run ingest again with this version') from None
  if spec.digest != values['preprocess_digest']:
    raise DatasetError(
      f'the preprocessing spec has the digest {spec.digest[:12]}, dataset.json says '
      f'{str(values["preprocess_digest"])[:12]}; the file was edited: run ingest again'
    )
  return spec
