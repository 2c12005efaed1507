"""The Beam side of the features: the full pass over the train split's sums."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import tensorflow_transform.beam as tft_beam
from apache_beam.io.filesystems import FileSystems
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from transforms.features import SUMS, Scaling, feature_spec, make_preprocessing_fn

Row = dict[str, Any]
Sums = tuple[int, ...]


def key_by_label(row: Row) -> tuple[str, Sums]:
  """A row's sums under its label, '' for none."""
  return row.get('label') or '', tuple(int(row[name]) for name in SUMS)


def add_sums(several: Iterable[Sums]) -> Sums:
  """Sums of sums."""
  return tuple(map(sum, zip(*several, strict=True)))


def _to_features(item: tuple[str, Sums], labelled: bool) -> Row:
  label, sums = item
  row: Row = {'image': b'', **dict(zip(SUMS, sums, strict=True))}  # the image is traced, never evaluated
  return row | {'label': label} if labelled else row


def _remove(_: None, temp_dir: str, output_dir: str) -> str:
  if FileSystems.exists(temp_dir):
    FileSystems.delete([temp_dir])
  return output_dir


@dataclass(eq=False)
class AnalyzeFeatures(beam.PTransform):
  """PCollection[dict] → PCollection[str], the path of the written transform graph.

  The rows are those of the train split: `pixel_sum`, `pixel_sumsq` and
  `pixel_count` (int, over all values of one image) and `label` (str or None).
  They are added up per label before tf.Transform sees them: it then analyses
  one row per class, whatever the number of images, and the sums are integers,
  hence exact. The one element arrives when the graph is complete on disk.
  """

  shape: tuple[int, int, int]
  scaling: Scaling
  labelled: bool
  output_dir: str

  def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[str]:
    """Adds up, analyses, writes, tidies."""
    totals = (
      rows
      | 'KeyByLabel' >> beam.Map(key_by_label)
      | 'AddSums' >> beam.CombinePerKey(add_sums)
      | 'ToFeatures' >> beam.Map(_to_features, self.labelled)
    )
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(feature_spec(self.labelled)))
    preprocessing_fn = make_preprocessing_fn(self.shape, self.scaling, self.labelled)
    temp_dir = f'{self.output_dir.rstrip("/")}.analysis'  # beside the output: every worker can reach it
    with tft_beam.Context(temp_dir=temp_dir, force_tf_compat_v1=False):
      transform_fn = (totals, metadata) | 'Analyze' >> tft_beam.AnalyzeDataset(preprocessing_fn)
      written = transform_fn | 'WriteGraph' >> tft_beam.WriteTransformFn(self.output_dir)
    return written | 'RemoveTemporaries' >> beam.Map(_remove, temp_dir, self.output_dir)
