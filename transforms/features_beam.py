"""The Beam side of the features: the full pass over the train split's sums."""

import pathlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_transform import TFTransformOutput
from tensorflow_transform.beam.tft_beam_io import beam_metadata_io
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from transforms.features import SUMS, Scaling, feature_spec, make_preprocessing_fn

Row = dict[str, Any]
Sums = tuple[int, ...]

_ANALYSIS: Final = 'analysis'  # tf.Transform's own files, below the output


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


def _gather(saved_model: str, metadata: str, output_dir: str) -> str:
  """Puts graph and metadata together, in a folder of this attempt: an engine may make several, also at once."""
  target = f'{output_dir.rstrip("/")}/{uuid.uuid4().hex}'
  _copy_tree(metadata, f'{target}/{TFTransformOutput.TRANSFORMED_METADATA_DIR}')
  _copy_tree(saved_model, f'{target}/{TFTransformOutput.TRANSFORM_FN_DIR}')
  return target


def _copy_tree(source: str, target: str) -> None:
  """By TensorFlow's file layer, which tf.Transform wrote it through."""
  for folder, _, names in tf.io.gfile.walk(source):
    copies = f'{target}{folder.rstrip("/").removeprefix(source.rstrip("/"))}'
    tf.io.gfile.makedirs(copies)
    for name in names:
      tf.io.gfile.copy(f'{folder.rstrip("/")}/{name}', f'{copies}/{name}')


def gathered(output_dir: str | pathlib.Path) -> pathlib.Path:
  """The graph below the `output_dir` of a pipeline that made one, on this machine."""
  (graph,) = (folder for folder in pathlib.Path(output_dir).iterdir() if folder.name != _ANALYSIS)
  return graph


@dataclass(eq=False)
class AnalyzeFeatures(beam.PTransform):
  """PCollection[dict] → PCollection[str], the path of the written transform graph.

  The rows are those of the train split: `pixel_sum`, `pixel_sumsq` and
  `pixel_count` (int, over all values of one image) and `label` (str or None).
  They are added up per label before tf.Transform sees them: it then analyses
  one row per class, whatever the number of images, and the sums are integers,
  hence exact. The one element arrives when the graph is complete on disk; it
  names a folder below `output_dir`, where tf.Transform's own files stay as
  well: whoever repeats a step finds what it reads.
  """

  shape: tuple[int, int, int]
  scaling: Scaling
  labelled: bool
  output_dir: str

  def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[str]:
    """Adds up, analyses, writes."""
    totals = (
      rows
      | 'KeyByLabel' >> beam.Map(key_by_label)
      | 'AddSums' >> beam.CombinePerKey(add_sums)
      | 'ToFeatures' >> beam.Map(_to_features, self.labelled)
    )
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(feature_spec(self.labelled)))
    preprocessing_fn = make_preprocessing_fn(self.shape, self.scaling, self.labelled)
    temp_dir = f'{self.output_dir.rstrip("/")}/{_ANALYSIS}'  # with the output: every worker can reach it
    with tft_beam.Context(temp_dir=temp_dir, force_tf_compat_v1=False):
      saved_model, analysed = (totals, metadata) | 'Analyze' >> tft_beam.AnalyzeDataset(preprocessing_fn)
    # Not tf.Transform's WriteTransformFn: it moves what it wrote, and fails when it is repeated.
    written = analysed | 'WriteMetadata' >> beam_metadata_io.WriteMetadata(
      f'{temp_dir}/metadata', rows.pipeline, write_to_unique_subdirectory=True
    )
    return saved_model | 'Gather' >> beam.Map(_gather, beam.pvalue.AsSingleton(written), self.output_dir)
