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
from pipelines.staging import FOLDER, ShardResult, check_failures, choose_results, read_note, total_counts
from transforms import storage
from transforms.duplicates import DuplicateCounts
from transforms.near_duplicates import NearDuplicates
from transforms.preprocess import PreprocessSpec
from transforms.splits import SPLITS

RECORD: Final = 'dataset.json'
FOLDERS: Final = ('examples', 'index', 'samples', 'near_duplicates', 'transform_graph')
FORMAT_VERSION: Final = 1
Files = list[tuple[str, str]]  # of a folder: path of each staged file, and its name there
_DIGESTED: Final = ['image_id', 'pixel_sha256', 'split', 'label']


@dataclass(frozen=True, slots=True)
class DatasetRun:
  """What the last step needs to know of the run.

  Attributes:
    config_json: the options that decide the content, for the record.
    synthetic: whether the images are drawn; reports then say so.
    gives_up: the run of the dataset that --overwrite gives up; '' if there is none.
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
  gives_up: str = ''

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
  """Publishes and commits; safe to run again, whatever an earlier attempt left behind, and after one that committed.

  Returns:
    The path of the record.

  Raises:
    UsageError: if no image is left, or another run published here since this one began, or does so now.
  """
  path = storage.join(run.output, RECORD)
  if committed_run(run.output) == run.run_id:  # an earlier attempt has done it all; what was staged may be gone
    return path
  chosen = choose_results(results)
  check_failures(chosen, [run.staging])
  pairs = near_duplicate_rows(near, chosen)
  record = _describe(run, chosen) | {
    'duplicates': asdict(duplicates),
    'near_duplicates': summary(near, pairs, run.near_duplicate_bits),
  }
  _refuse_without_images(record)
  if not _give_up(run):
    return path
  layout = _layout(chosen, transform_graph)
  layout['near_duplicates'] = [(_stage_pairs(run, pairs), part_name(0, 1, 'parquet'))]
  for folder in FOLDERS:
    _replace_folder(layout.get(folder, []), storage.join(run.output, folder))
  if run.crosswalk:
    publish_crosswalk(chosen, run.crosswalk, run.run_id)
  if not all(_holds(storage.join(run.output, folder), files) for folder, files in layout.items()):
    raise UsageError(f'another run publishes into {run.output} at the same time; run it again once that has ended')
  write_record(path, record)
  return path


def committed_run(output: str) -> str | None:
  """The run whose dataset is there; None if there is none, '' if its record does not say."""
  try:
    return str((read_note(storage.join(output, RECORD)) or {}).get('run_id', ''))
  except FileNotFoundError:
    return None


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


def _give_up(run: DatasetRun) -> bool:
  """Removes the record of the dataset that --overwrite gave up: from here on there is none, until the new one.

  Returns:
    False if this run has committed by now.

  Raises:
    UsageError: if the dataset is of a run that ended after this one began.
  """
  committed = committed_run(run.output)
  if committed not in (None, '', run.gives_up, run.run_id):
    raise UsageError(
      f'run {committed} has published a dataset in {run.output} since run {run.run_id} began; '
      'give another --output, or --overwrite to replace it'
    )
  if committed not in (None, run.run_id):
    storage.delete_tree(storage.join(run.output, RECORD))
  return committed != run.run_id


def _replace_folder(files: Files, folder: str) -> None:
  """Publishes a folder in the place of one without a record: what an attempt at the same work has put there stays."""
  if _holds(folder, files):
    return
  if storage.is_local(folder):
    storage.delete_tree(folder)
  for path in _foreign(folder, files):
    storage.delete(path)
  if files:
    publish_folder(files, folder)


def _holds(folder: str, files: Files) -> bool:
  """Whether a folder is there as these files make it."""
  return sum(1 for _ in storage.list_files(folder)) == len(files) and not _foreign(folder, files)


def _foreign(folder: str, files: Files) -> list[str]:
  """What is there and is none of these files."""
  staged = {storage.join(folder, name): path for path, name in files}
  return [
    found.path
    for found in storage.list_files(folder)
    if found.path not in staged or not storage.are_same(staged[found.path], found)
  ]


def _layout(results: Sequence[ShardResult], transform_graph: str) -> dict[str, Files]:
  """The staged files of each folder with their names in it."""
  layout: dict[str, Files] = defaultdict(list)
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
  return {folder: _once_each(files) for folder, files in layout.items()}


def _once_each(files: Files) -> Files:
  """The first file of each name: an image that came twice may have its picture from two shards."""
  paths: dict[str, str] = {}
  for path, name in files:
    paths.setdefault(name, path)
  return [(path, name) for name, path in paths.items()]


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
