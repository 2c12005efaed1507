"""`radbeam ingest`: archives and labels become a dataset."""

import contextlib
import hashlib
import json
import logging
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq

from pipelines.alarms import end_of_run
from pipelines.beam_options import make_runner, pipeline_options, runs_here, waits
from pipelines.crosswalk import remove_staged
from pipelines.dataset_ids import rename_images
from pipelines.dataset_publish import RECORD, DatasetRun, committed_run, publish_dataset
from pipelines.dataset_shards import Annotator, DatasetSpec, write_dataset_shard
from pipelines.duplicates import FlagDuplicates, table_of
from pipelines.exits import Exit, UsageError, is_caused_by
from pipelines.keys import key_path, read_site_key
from pipelines.label_guard import add_counts, check_labels, label_counts
from pipelines.launch import check_rejects, config_of, decode_options, inputs_or_record, report_listing
from pipelines.lock import held_work
from pipelines.near_duplicates import FindNearDuplicates
from pipelines.options import IngestOptions
from pipelines.progress import shard_progress
from pipelines.run_record import code_version, new_run_id, now
from pipelines.schemas import INDEX
from pipelines.staging import ShardResult, digest_of, find_finished, start_shard, write_marker
from transforms import storage
from transforms.concurrency import usable_cores
from transforms.features_alone_beam import AnalyzeFeaturesAlone
from transforms.features_beam import AnalyzeFeatures
from transforms.identifiers import Pseudonyms
from transforms.inputs import Input
from transforms.labels import LabelError, LabelTable, parse_label_csv, read_label_csv
from transforms.preprocess import PreprocessSpec
from transforms.read_beam import ListShards
from transforms.shards import Shard
from transforms.splits import PatientRule, SplitSpec

_LOG = logging.getLogger('radbeam.ingest')
_SUMS = ('pixel_sum', 'pixel_sumsq', 'pixel_count')


def run(options: IngestOptions, beam_args: Sequence[str], *, synthetic: bool = False) -> Exit:
  """Runs the job.

  Args:
    options: the flags.
    beam_args: flags for Beam.
    synthetic: whether the images are drawn; the dataset and all that is made of it say so.

  Raises:
    UsageError, LabelError, Locked, NothingToDo, TooManyRejects: as their docstrings say.
  """
  _check_output(options)
  inputs = inputs_or_record(options, 'ingest')
  spec = dataset_spec(options)
  if options.dry_run:
    report_listing(inputs, spec.decode.limits, _LOG)
    return Exit.DONE
  key = key_path(options.pseudonym_key_file)
  dataset = replace(_dataset_run(options, spec, key), synthetic=synthetic)
  with held_work(storage.join(options.output, '.lock'), dataset.run_id, 'this dataset'):
    dataset = replace(dataset, gives_up=_given_up(options))  # again: it may have been published meanwhile
    with _nothing_left_if_refused(dataset):
      return _run(options, beam_args, inputs, spec, dataset, key)


def _run(
  options: IngestOptions,
  beam_args: Sequence[str],
  inputs: Sequence[Input],
  spec: DatasetSpec,
  dataset: DatasetRun,
  key: str,
) -> Exit:
  if not waits(beam_args):
    _submit(inputs, spec, dataset, key, beam_args)
    _LOG.info('submitted; the dataset is there when its dataset.json is')
    return Exit.DONE
  pipeline = beam.Pipeline(runner=make_runner(beam_args), options=pipeline_options(beam_args))
  with (
    tempfile.TemporaryDirectory(prefix='radbeam-') as temporary,
    shard_progress(dataset.staging, options.quiet),
    pipeline,
  ):
    # tf.Transform writes through TensorFlow, which not every object store can be given to.
    is_near = runs_here(beam_args) and not storage.is_local(dataset.staging)
    build(pipeline, inputs, spec, dataset, key, _graph_folder(temporary if is_near else dataset.staging))
  return _finish(options, dataset)


@contextlib.contextmanager
def _nothing_left_if_refused(dataset: DatasetRun) -> Iterator[None]:
  """Labels that are refused may name patients, and unfinished work has them too."""
  try:
    yield
  except (LabelError, RuntimeError) as error:  # the latter is Beam's, of what a worker raised
    if is_caused_by(error, LabelError.__name__):
      _remove_staged(dataset)
      storage.delete_if_empty(dataset.output)
    raise


def _submit(
  inputs: Sequence[Input], spec: DatasetSpec, dataset: DatasetRun, key: str, beam_args: Sequence[str]
) -> None:
  """Hands the pipeline to its engine, which goes on alone, and removes what was staged as well."""
  with beam.Pipeline(runner=make_runner(beam_args), options=pipeline_options(beam_args)) as pipeline:
    record = build(pipeline, inputs, spec, dataset, key, _graph_folder(dataset.staging))
    # A step of its own: should it be repeated, publishing is not.
    _ = record | 'Published' >> beam.Reshuffle() | 'RemoveStaged' >> beam.Map(_tidy, dataset)


def _graph_folder(base: str) -> str:
  return storage.join(base, 'transform_graph', uuid.uuid4().hex)


def _tidy(_: str, dataset: DatasetRun) -> None:
  _remove_staged(dataset)


def dataset_spec(options: IngestOptions) -> DatasetSpec:
  """The options as the values that the shards are made by."""
  preprocess = PreprocessSpec(options.image_size, options.resize, options.channels)
  return DatasetSpec(
    decode=decode_options(options, preprocess),
    labels=options.labels,
    patient=PatientRule(options.patient_from, options.patient_pattern or ''),
    split=SplitSpec(options.val_fraction, options.test_fraction, options.split_salt),
    crosswalk=options.crosswalk or '',
  )


def _given_up(options: IngestOptions) -> str:
  """The run whose dataset --overwrite gives up; '' if there is none.

  Raises:
    UsageError: if there is one and it is not given up.
  """
  committed = committed_run(options.output)
  if committed is not None and not options.overwrite:
    raise UsageError(f'{options.output} holds a dataset already; give another --output, or --overwrite to replace it')
  return committed or ''


def _check_output(options: IngestOptions) -> None:
  _given_up(options)
  if options.labels not in ('folder', 'none'):
    _label_table(options.labels)


def _label_table(path: str) -> LabelTable:
  return read_label_csv(path) if storage.is_local(path) else parse_label_csv(storage.read_bytes(path), path)


def _dataset_run(options: IngestOptions, spec: DatasetSpec, key: str) -> DatasetRun:
  started = now()
  config = json.dumps(config_of(options, spec.decode), sort_keys=True)
  return DatasetRun(
    output=options.output,
    run_id=new_run_id(started, hashlib.sha256(config.encode()).hexdigest()),
    started=started.isoformat(),
    preprocess=spec.decode.spec,
    scaling=options.scaling,
    key_fingerprint=Pseudonyms(read_site_key(key)).fingerprint,
    config_json=config,
    crosswalk=spec.crosswalk,
    near_duplicate_bits=options.near_duplicate_bits,
    max_labels=options.max_labels,
  )


def build(
  pipeline: beam.Pipeline,
  inputs: Sequence[Input],
  spec: DatasetSpec,
  dataset: DatasetRun,
  key: str,
  graph_folder: str,
) -> beam.PCollection[str]:
  """Wires the job; the one element that comes out is the path of the record, once the dataset is there."""
  results = (
    pipeline
    | 'Inputs' >> beam.Create(inputs)
    | 'ListShards' >> ListShards(spec.decode.limits, usable_cores())
    | 'WriteShards' >> WriteDatasetShards(spec, dataset.staging, key)
  )
  flagged = results | 'FlagDuplicates' >> FlagDuplicates(dataset.staging, 'index', rename_images)
  analyze = AnalyzeFeatures if storage.is_local(graph_folder) else AnalyzeFeaturesAlone
  near = flagged.results | 'FindNearDuplicates' >> FindNearDuplicates(dataset.near_duplicate_bits)
  labels = (
    results
    | 'CountLabels' >> beam.Map(label_counts)
    | 'AddCounts' >> beam.CombineGlobally(add_counts)
    | 'CheckLabels' >> beam.Map(check_labels, dataset.max_labels)
  )
  graph = (
    results
    | 'ReadTrainSums' >> beam.FlatMap(_sums_once_checked, beam.pvalue.AsSingleton(labels))
    | 'AnalyzeFeatures'
    >> analyze(
      spec.decode.spec.shape,
      dataset.scaling,
      spec.labels != 'none',
      graph_folder,
    )
  )
  # Side inputs are complete before their consumer starts: this is the barrier.
  return (
    pipeline
    | 'Once' >> beam.Create([dataset])
    | 'PublishDataset'
    >> beam.Map(
      publish_dataset,
      results=beam.pvalue.AsIter(flagged.results),
      transform_graph=beam.pvalue.AsSingleton(graph),
      duplicates=beam.pvalue.AsSingleton(flagged.counts),
      near=beam.pvalue.AsSingleton(near),
    )
  )


@dataclass(eq=False)
class WriteDatasetShards(beam.PTransform):
  """PCollection[Shard] → PCollection[ShardResult]; pixels go to files, never through a shuffle."""

  spec: DatasetSpec
  staging: str
  key_path: str

  def expand(self, shards: beam.PCollection[Shard]) -> beam.PCollection[ShardResult]:
    return (
      shards
      | 'WriteShard' >> beam.ParDo(_WriteShard(self.spec, self.staging, self.key_path))
      | 'KeepResults' >> beam.Reshuffle()
    )


class _WriteShard(beam.DoFn):
  def __init__(self, spec: DatasetSpec, staging: str, key: str) -> None:
    self._spec = spec
    self._staging = staging
    self._key_path = key

  def setup(self) -> None:
    """Reads key and labels here, so that neither is part of the pipeline."""
    self._pseudonyms = Pseudonyms(read_site_key(self._key_path))
    is_csv = self._spec.labels not in ('folder', 'none')
    self._annotator = Annotator(self._spec, _label_table(self._spec.labels) if is_csv else None)
    self._digest = job_digest(self._spec, self._pseudonyms.fingerprint)

  def process(self, shard: Shard) -> Iterator[ShardResult]:
    fingerprint = hashlib.sha256(f'{shard.fingerprint}{self._digest}'.encode()).hexdigest()
    result = find_finished(self._staging, shard.number, fingerprint)
    if result is None:
      careful = not start_shard(self._staging, fingerprint)
      result = write_dataset_shard(
        shard, fingerprint, self._staging, self._annotator, self._pseudonyms, careful=careful
      )
      write_marker(self._staging, result)
    yield result


def job_digest(spec: DatasetSpec, key_fingerprint: str) -> str:
  """Changes with everything but the inputs that decides what a shard becomes."""
  is_csv = spec.labels not in ('folder', 'none')
  labels = hashlib.sha256(storage.read_bytes(spec.labels)).hexdigest() if is_csv else spec.labels
  values = {'spec': repr(spec), 'labels': labels, 'key': key_fingerprint, 'code': code_version()}
  return digest_of(values | {'columns': ' '.join(INDEX.names)})


def _sums_once_checked(result: ShardResult, _: int) -> list[dict[str, Any]]:
  """`train_sums`, once the labels are known to be few: others come into no vocabulary."""
  return train_sums(result)


def train_sums(result: ShardResult) -> list[dict[str, Any]]:
  """The sums over a shard's training images, one row per label: all that the statistics need of them."""
  with storage.open_read(table_of(result, 'index').path) as file:
    table = pq.read_table(file, columns=[*_SUMS, 'label'], filters=[('split', '==', 'train'), ('status', '==', 'ok')])
  sums = table.group_by('label').aggregate([(name, 'sum') for name in _SUMS])
  rows: list[dict[str, Any]] = sums.rename_columns(['label', *_SUMS]).to_pylist()
  return rows


def _remove_staged(dataset: DatasetRun) -> None:
  storage.delete_tree(dataset.staging)
  if dataset.crosswalk:
    remove_staged(dataset.crosswalk, dataset.staging)


def _finish(options: IngestOptions, dataset: DatasetRun) -> Exit:
  _remove_staged(dataset)
  record = json.loads(storage.read_bytes(storage.join(options.output, RECORD)))
  counts = ', '.join(f'{split} {sum(labels.values())}' for split, labels in record['counts'].items())
  sources, rows = record['sources']['written'], record['rows']
  _LOG.info('%d sources, rows %s; images: %s -> %s', sources, rows, counts, options.output)
  _warn(record['duplicates'])
  code = end_of_run(record)
  if code == Exit.DONE:  # what is most urgent to know decides
    check_rejects(record, options.max_reject_ratio)
  return code


def _warn(duplicates: Mapping[str, int]) -> None:
  """Says what is wrong with a dataset in which the same image stands twice."""
  if duplicates['groups_across_splits']:
    _LOG.warning(
      '%d image(s) stand in more than one split, each under several patients: the test split is not independent; '
      'see the flags duplicate-content and duplicate-pixels in the index',
      duplicates['groups_across_splits'],
    )
  if duplicates['groups_of_different_labels']:
    _LOG.warning('%d image(s) stand in the dataset under different labels', duplicates['groups_of_different_labels'])
