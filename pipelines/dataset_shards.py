"""One shard of a dataset: its images as TFRecords by split, its rows as Parquet, its pictures for the report."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

import numpy as np
import tensorflow as tf

from pipelines.crosswalk import stage_crosswalk, staging_folder
from pipelines.schemas import INDEX, SCHEMA_VERSION, write_table
from pipelines.staging import RowCounts, ShardResult, StagedFile, StagedWriter, counted
from transforms import storage
from transforms.decode import DecodeOptions
from transforms.elements import Frame, Histogram, Pixels, Source
from transforms.errors import InputError
from transforms.identifiers import Pseudonyms
from transforms.label_names import names_patient
from transforms.labels import NO_LABEL, LabelError, LabelRow, LabelTable, folder_label
from transforms.raster import encode_png
from transforms.read import ReadSource
from transforms.read_beam import read_shard
from transforms.rows import CrosswalkRow, ImageRow, columns_of, crosswalk_row, image_row
from transforms.shards import Shard
from transforms.splits import SPLITS, PatientRule, Split, SplitSpec, bucket_of, split_of
from transforms.tfrecord import write_record

SAMPLES_PER_SHARD = 6
_LEVELS = np.arange(256)
_NAMES_PATIENT: Final = (
  'found a label that is the name or an id of its patient, study or series, as are folders of a PACS export; expected '
  'classes, since labels are published: give --labels as a CSV, or folders of classes, or call a class otherwise'
)


@dataclass(frozen=True, slots=True)
class DatasetSpec:
  """What decides the content of a dataset, inputs apart; part of every shard's fingerprint.

  Attributes:
    labels: `folder`, `none`, or the path of a CSV.
    crosswalk: folder for the crosswalk; '' for none.
  """

  decode: DecodeOptions
  labels: str
  patient: PatientRule
  split: SplitSpec
  crosswalk: str = ''


@dataclass(frozen=True, slots=True)
class Annotated:
  """A frame with its label, its split, and the bucket of its patient, where one is known."""

  frame: Frame
  label: str | None = None
  split: Split | None = None
  bucket: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Annotator:
  """Finds label and patient of an image."""

  spec: DatasetSpec
  table: LabelTable | None

  def annotate(self, source: Source, frame: Frame) -> Annotated:
    """What belongs to a frame; a frame that lacks what it needs loses its pixels instead.

    Raises:
      LabelError: if the label names the patient, the study or the series.
    """
    if frame.error:
      return Annotated(frame)
    row = self._label_row(source, frame)
    if row.label is None and self.spec.labels != 'none':
      return Annotated(_without_pixels(frame, InputError('label-missing')))
    patient = self.spec.patient.patient(source, frame.facts, row.patient)
    if row.label is not None and names_patient(row.label, frame.facts, row.patient or patient):
      raise LabelError(_NAMES_PATIENT)
    if patient is not None:
      return Annotated(frame, row.label, split_of(patient, self.spec.split), bucket_of(patient, self.spec.split))
    if self.spec.split.needs_patient:
      return Annotated(_without_pixels(frame, InputError('patient-missing')), row.label)
    return Annotated(frame, row.label, 'train')

  def _label_row(self, source: Source, frame: Frame) -> LabelRow:
    if self.table is not None:
      return self.table.find(source, frame.facts)
    return LabelRow(folder_label(source)) if self.spec.labels == 'folder' else NO_LABEL


def _without_pixels(frame: Frame, error: InputError) -> Frame:
  return replace(frame, pixels=None, original=None, error=error)


class ShardWriter:
  """Writes one shard's files as its sources come in; `finish` closes and describes them."""

  def __init__(self, folder: str, number: int, annotator: Annotator, pseudonyms: Pseudonyms) -> None:
    self._staged = StagedWriter(folder, number)
    self._folder = folder
    self._annotator = annotator
    self._pseudonyms = pseudonyms
    self._rows: list[dict[str, Any]] = []
    self._crosswalk: list[CrosswalkRow] = []
    self._samples: list[str] = []
    self._number = number
    self._closing = ExitStack()
    self._examples: dict[str, BinaryIO] = {
      split: self._closing.enter_context(storage.open_write(self._staged.path(f'examples/{split}'))) for split in SPLITS
    }

  def __enter__(self) -> 'ShardWriter':
    return self

  def __exit__(self, *_: object) -> None:
    self._closing.close()

  def add(self, read: ReadSource) -> None:
    """Writes what came of one source."""
    for frame in read.frames:
      annotated = self._annotator.annotate(read.source, frame)
      row = image_row(read.source, read.content_sha256, annotated.frame, self._pseudonyms)
      self._rows.append(_index_row(row, annotated))
      if self._annotator.spec.crosswalk:
        self._crosswalk.append(crosswalk_row(read.source, annotated.frame, row))
      if annotated.frame.pixels is not None and annotated.split is not None:
        example = encode_example(row.image_id or '', annotated.frame.pixels, annotated.label, annotated.bucket)
        write_record(self._examples[annotated.split], example)
        self._keep_sample(row, annotated.frame.original)

  def _keep_sample(self, row: ImageRow, original: Pixels | None) -> None:
    if original is None or row.image_id is None:
      return
    role = f'samples/{row.image_id}.png'
    if role not in self._samples:
      self._samples.append(role)
      with storage.open_write(self._staged.path(role)) as file:
        file.write(encode_png(original))

  def finish(self, fingerprint: str, listed: int) -> ShardResult:
    """Closes the files; the result is not a marker yet."""
    self._closing.close()
    counts: RowCounts = Counter()
    with storage.open_write(self._staged.path('index')) as file:
      write_table(file, counted(self._rows, counts), INDEX)
    roles = [*(f'examples/{split}' for split in SPLITS), 'index', *self._samples]
    files = tuple(self._staged.describe(role) for role in roles) + self._stage_crosswalk()
    written = len({row['source_id'] for row in self._rows})
    return ShardResult(self._number, fingerprint, files, listed, written, tuple(sorted(counts.items())))

  def _stage_crosswalk(self) -> tuple[StagedFile, ...]:
    folder = self._annotator.spec.crosswalk
    if not folder:
      return ()
    return (stage_crosswalk(staging_folder(folder, self._folder), self._number, self._crosswalk),)


def write_dataset_shard(
  shard: Shard, fingerprint: str, folder: str, annotator: Annotator, pseudonyms: Pseudonyms, *, careful: bool = False
) -> ShardResult:
  """Reads, decodes, labels, splits and writes one shard under unique names.

  With `careful`, each source is decoded in another process, since an earlier attempt was killed.
  """
  listed = 0
  with ShardWriter(folder, shard.number, annotator, pseudonyms) as writer:
    for batch in read_shard(shard, annotator.spec.decode, SAMPLES_PER_SHARD, careful=careful):
      listed += batch.listed
      for source in batch.sources:
        writer.add(source)
    return writer.finish(fingerprint, listed)


def encode_example(image_id: str, pixels: Pixels, label: str | None, bucket: int | None = None) -> bytes:
  """A serialised tf.train.Example: the raw pixels, row-major, and what belongs to them."""
  features = {
    'image_id': _bytes_feature(image_id.encode()),
    'image': _bytes_feature(pixels.tobytes()),
    'height': _int_feature(pixels.shape[0]),
    'width': _int_feature(pixels.shape[1]),
  }
  if label is not None:
    features['label'] = _bytes_feature(label.encode())
  if bucket is not None:
    features['patient_bucket'] = _int_feature(bucket)
  return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _bytes_feature(value: bytes) -> tf.train.Feature:
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int_feature(value: int) -> tf.train.Feature:
  return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _index_row(row: ImageRow, annotated: Annotated) -> dict[str, Any]:
  frame = annotated.frame
  return {
    'schema_version': SCHEMA_VERSION,
    **columns_of(row),
    'split': annotated.split,
    'label': annotated.label,
    'patient_bucket': annotated.bucket,
    **({} if frame.pixels is None or frame.histogram is None else _sums(frame.histogram)),
  }


def _sums(histogram: Histogram) -> dict[str, int]:
  """Exact sums over all values of an image: what mean and variance of the split are made of."""
  return {
    'pixel_sum': int(histogram @ _LEVELS),
    'pixel_sumsq': int(histogram @ (_LEVELS * _LEVELS)),
    'pixel_count': int(histogram.sum()),
  }
