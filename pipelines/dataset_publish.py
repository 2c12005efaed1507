"""The last step of `ingest`: one result per shard becomes the dataset directory; `dataset.json` commits it."""

import hashlib
import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.exits import UsageError
from pipelines.near_duplicates import near_duplicate_rows, summary
from pipelines.publish import part_name, publish_crosswalk, publish_folder, with_role
from pipelines.run_record import now, summarise, versions, write_record
from pipelines.schemas import NEAR_DUPLICATES, read_columns, write_table
from pipelines.staging import FOLDER, ShardResult, choose_results, total_counts
from transforms import storage
from transforms.duplicates import DuplicateCounts
from transforms.near_duplicates import NearDuplicates
from transforms.preprocess import PreprocessSpec
from transforms.splits import SPLITS

RECORD: Final = 'dataset.json'
FOLDERS: Final = ('examples', 'index', 'samples', 'near_duplicates', 'transform_graph')
FORMAT_VERSION: Final = 1
_DIGESTED: Final = ['image_id', 'pixel_sha256', 'split', 'label']


@dataclass(frozen=True, slots=True)
class DatasetRun:
  """What the last step needs to know of the run.

  Attributes:
    config_json: the options that decide the content, for the record.
    synthetic: whether the images are drawn; reports then say so.
  """

  output: str
  run_id: str
  started: str
  preprocess: PreprocessSpec
  scaling: str
  key_fingerprint: str
  config_json: str
  crosswalk: str = ''
  synthetic: bool = False
  near_duplicate_bits: int = 4
  max_labels: int = 20

  @property
  def staging(self) -> str:
    """Where unfinished work lies."""
    return storage.join(self.output, FOLDER)


def publish_dataset(
  run: DatasetRun,
  results: Iterable[ShardResult],
  transform_graph: str,
  duplicates: DuplicateCounts,
  near: NearDuplicates,
) -> str:
  """Publishes and commits; safe to run again, whatever an earlier attempt left behind.

  Returns:
    The path of the record.
  """
  chosen = choose_results(results)
  pairs = near_duplicate_rows(near, chosen)
  record = _describe(run, chosen) | {
    'duplicates': asdict(duplicates),
    'near_duplicates': summary(near, pairs, run.near_duplicate_bits),
  }
  _refuse_without_images(record)
  _delete_uncommitted(run)
  layout = _layout(chosen, transform_graph)
  layout['near_duplicates'] = [(_stage_pairs(run, pairs), part_name(0, 1, 'parquet'))]
  for folder, files in layout.items():
    publish_folder(files, storage.join(run.output, folder))
  if run.crosswalk:
    publish_crosswalk(chosen, run.crosswalk, run.run_id)
  path = storage.join(run.output, RECORD)
  write_record(path, record)
  return path


def _stage_pairs(run: DatasetRun, pairs: Sequence[Mapping[str, Any]]) -> str:
  path = storage.join(run.staging, 'near_duplicates', f'{uuid.uuid4().hex}.parquet')
  with storage.open_write(path) as file:
    write_table(file, pairs, NEAR_DUPLICATES)
  return path


def _refuse_without_images(record: Mapping[str, Any]) -> None:
  """Says so, rather than publishing an empty dataset, when an option is what leaves no image.

  Raises:
    UsageError: if no image has a label, or no image has a patient.
  """
  if record['rows'].get('ok'):
    return
  reasons = record['reasons']
  if reasons.get('patient-missing'):
    raise UsageError(
      f'no patient is known for {reasons["patient-missing"]} images, so they cannot be split by patient; give '
      '--patient_pattern, a label CSV with a column `patient`, or --patient_from member if every image is of its own'
    )
  if reasons.get('label-missing'):
    raise UsageError(
      f'--labels matches none of {reasons["label-missing"]} images; folder takes the innermost folder of each member, '
      'a CSV is keyed by member, patient_id, accession_number, study_instance_uid or sop_instance_uid'
    )


def _delete_uncommitted(run: DatasetRun) -> None:
  """Folders without a record are an earlier attempt's, or an old dataset that --overwrite gave up."""
  path = storage.join(run.output, RECORD)
  if storage.exists(path):
    storage.delete_tree(path)
  for folder in FOLDERS:
    storage.delete_tree(storage.join(run.output, folder))


def _layout(results: Sequence[ShardResult], transform_graph: str) -> dict[str, list[tuple[str, str]]]:
  """The staged files of each folder with their names in it."""
  layout: dict[str, list[tuple[str, str]]] = defaultdict(list)
  for split in SPLITS:
    for number, file in with_role(results, f'examples/{split}'):
      layout['examples'].append((file.path, f'split={split}/{part_name(number, len(results), "tfrecord")}'))
  for number, file in with_role(results, 'index'):
    layout['index'].append((file.path, part_name(number, len(results), 'parquet')))
  for result in results:
    samples = (file for file in result.files if file.role.startswith('samples/'))
    layout['samples'].extend((file.path, file.role.removeprefix('samples/')) for file in samples)
  prefix = transform_graph.rstrip('/') + '/'
  for stored in storage.list_files(transform_graph):
    layout['transform_graph'].append((stored.path, stored.path.removeprefix(prefix)))
  return {folder: list(dict.fromkeys(files)) for folder, files in layout.items()}


def _describe(run: DatasetRun, results: Sequence[ShardResult]) -> dict[str, Any]:
  counts = _label_counts(results)
  return {
    'format_version': FORMAT_VERSION,
    'run_id': run.run_id,
    'started': run.started,
    'finished': now().isoformat(),
    'digest': dataset_digest(file.path for _, file in with_role(results, 'index')),
    'labels': sorted({label for split in counts.values() for label in split if label}),
    'counts': counts,
    **summarise(results),
    'shards': len(results),
    'preprocess': asdict(run.preprocess),
    'preprocess_digest': run.preprocess.digest,
    'scaling': run.scaling,
    'synthetic': run.synthetic,
    'pseudonym_key_fingerprint': run.key_fingerprint,
    'config': json.loads(run.config_json),
    'versions': versions(),
  }


def _label_counts(results: Sequence[ShardResult]) -> dict[str, dict[str, int]]:
  counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
  for (status, _, split, label), rows in total_counts(results).items():
    if status == 'ok':
      counts[split][label] += rows
  return {split: dict(sorted(labels.items())) for split, labels in counts.items()}


def dataset_digest(index_paths: Iterable[str]) -> str:
  """SHA-256 over the sorted lines of image_id, pixel_sha256, split and label of all images."""
  tables = [read_columns(path, [*_DIGESTED, 'status']) for path in index_paths]
  table = pa.concat_tables(tables)
  images = table.filter(pc.equal(table['status'], 'ok')).sort_by([(column, 'ascending') for column in _DIGESTED])
  digest = hashlib.sha256()
  for line in _lines(images):
    digest.update(line.encode())
  return digest.hexdigest()


def _lines(images: pa.Table) -> Iterator[str]:
  for batch in images.to_batches(max_chunksize=10_000):
    for row in batch.to_pylist():
      yield '\x1f'.join(row[column] or '' for column in _DIGESTED) + '\n'
