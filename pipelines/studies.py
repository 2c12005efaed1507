"""A row per study beside the rows per image: what its images come to, over all nights in which some of them came.

A night writes the studies that it touched: those of its rows, and those that
one of its rows takes an image from. To know the images that came earlier it
needs no search through years of predictions: the latest row of a study names
its images, and the runs that hold them.
"""

import itertools
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.current import first_of_each, latest_parts, model_of, read_rows, row_files, row_keys
from pipelines.night_figures import JOB
from pipelines.publish import part_name, publish_folder
from pipelines.run_record import by_model, is_slice, read_outlines, recorded_runs
from pipelines.same_images import uids_of
from pipelines.schemas import PREDICTIONS, SCHEMA_VERSION, STUDIES, read_columns, write_table
from pipelines.study_rows import links_of, study_row
from transforms import storage
from transforms.errors import UNREAD

FOLDER: Final = 'studies'
_PART: Final = part_name(0, 1, 'parquet')
_KEYS: Final = ('study_id', 'image_id', 'source_id', 'frame', 'file_id')
_COLUMNS: Final = (
  *(*_KEYS, 'run_id', 'patient_id', 'status', 'view_position', 'quality'),
  *('predicted_label', 'probability', 'threshold', 'scores'),
)
_LINKS: Final = ('run_id', 'study_id', 'row_keys', 'file_ids', 'image_run_ids')
_COUNTS: Final = ('images_scored', 'images_rejected', 'images_skipped')
_CHUNK_ROWS: Final = 8192
Record = dict[str, Any]
Row = dict[str, Any]


def publish_studies(output: str, night_id: str, run_date: str, rule: str, staging: str) -> list[Record]:
  """Writes the rows of the studies that the runs touched which no earlier night has seen; safe to run again.

  Args:
    output: of the night.
    night_id: whose record will commit the rows.
    run_date: of the night.
    rule: `max`, `mean`, or `view:` and a view.
    staging: a folder for unfinished files.

  Returns:
    For each model: its name and version, the runs that were seen, the number
    of studies, the folder below the output, None where there are none, and how
    many images share their UID with another that stands, of another run.
  """
  history = read_history(output)
  published = []
  for model, runs in sorted(_unseen_runs(history).items()):
    seen = [record['run_id'] for record in runs]
    facts = {'schema_version': SCHEMA_VERSION, 'run_id': night_id, **_model_facts(runs[-1])}
    images, earlier = _touched(history, model, runs)
    rows = (facts | row for row in _study_rows(images, earlier, rule))
    folder = f'{FOLDER}/run_date={run_date}/model={model}/run_id={night_id}'
    count = _publish(rows, storage.join(staging, FOLDER, uuid.uuid4().hex), storage.join(output, folder))
    clashes = _uid_clashes(images, set(seen) - history.seen)
    published.append(
      {'model': model, 'runs': seen, 'studies': count, 'folder': folder if count else None, 'uid_clashes': clashes}
    )
  return published


def _publish(rows: Iterable[Row], staged: str, folder: str) -> int:
  """Writes rows as the file of a folder, unless there are none; how many there are."""
  with storage.open_write(staged) as file:
    count = write_table(file, rows, STUDIES)
  if count:
    publish_folder([(staged, _PART)], folder)
  return count


def _model_facts(record: Mapping[str, Any]) -> dict[str, str]:
  return {f'model_{name}': record['model'].get(name) for name in ('name', 'version', 'digest')}


@dataclass(frozen=True, slots=True)
class History:
  """What earlier nights have made of studies.

  Attributes:
    output: of the nights.
    runs: all that have a record, oldest first.
    seen: of them those of which a night has made study rows, and those that have no rows of images.
    tables: by model the night and the folder of study rows that count, oldest first.
  """

  output: str
  runs: Sequence[str]
  seen: Set[str]
  tables: Mapping[str, Sequence[tuple[str, str]]]

  def read(self, model: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The study rows of a model, night by night."""
    for _, folder in self.tables.get(model, ()):
      yield read_columns(storage.join(self.output, folder, _PART), columns)


def read_history(output: str) -> History:
  """Reads the records of all nights; those of slices are not opened."""
  runs = recorded_runs(output)
  records = read_outlines(output, (run for run in runs if not is_slice(run)))
  nights = [record for record in records if record['job'] == JOB]
  seen = {record['run_id'] for record in records if not _has_images(record)}
  tables: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
  for night in nights:
    for published in night.get('studies', ()):
      seen.update(published['runs'])
      if published['folder'] and 'pruned' not in night:
        tables[published['model']].append((night['run_id'], published['folder']))
  return History(output, runs, seen, tables)


def _unseen_runs(history: History) -> dict[str, list[Record]]:
  """By model the runs that no night has made study rows of, and all after the first of these.

  A run that came late, of `radbeam score`, may have an older row of an image than one that was seen.
  """
  unseen = _by_model(history.output, [run for run in history.runs if run not in history.seen])
  begin = min((records[0]['run_id'] for records in unseen.values()), default='')
  later = _by_model(history.output, [run for run in history.runs if run in history.seen and run > begin])
  return {
    model: records + [record for record in later.get(model, ()) if record['run_id'] > records[0]['run_id']]
    for model, records in unseen.items()
  }


def _by_model(output: str, runs: Iterable[str]) -> dict[str, list[Record]]:
  """The records of those runs whose rows are there, oldest first."""
  by_model: dict[str, list[Record]] = {}
  for record in _readable(output, runs):
    by_model.setdefault(model_of(record), []).append(record)
  return by_model


def _readable(output: str, runs: Iterable[str]) -> list[Record]:
  """Their records, one for each model."""
  return [part for record in read_outlines(output, sorted(runs)) if _has_images(record) for part in by_model(record)]


def _has_images(record: Record) -> bool:
  return any(part.get('files') for part in by_model(record)) and 'pruned' not in record


@dataclass(frozen=True, slots=True)
class _Touch:
  """What some runs bring: studies, UIDs of images (else keys of rows), files; each value once."""

  studies: pa.Array
  uids: pa.Array
  files: pa.Array

  def concerns(self, studies: pa.Table) -> pa.Array:
    """Which study rows have anything to do with it: a mask."""
    by_id = pc.is_in(studies['study_id'], self.studies)
    keys, files = (studies[name].combine_chunks() for name in ('row_keys', 'file_ids'))
    by_uid = _has_any(keys, uids_of(pc.list_flatten(keys)), self.uids)
    return pc.or_(pc.or_(by_id, by_uid), _has_any(files, pc.list_flatten(files), self.files))


def _has_any(lists: pa.Array, flat: pa.Array, values: pa.Array) -> pa.Array:
  """Which of some lists, whose items are `flat`, have one of these values."""
  hits = pc.list_parent_indices(lists).filter(pc.is_in(flat, values))
  return pc.is_in(pa.array(np.arange(len(lists))), hits)


def _touch_of(output: str, runs: Iterable[Record]) -> _Touch:
  tables = (read_rows(output, record, _KEYS) for record in runs)
  parts = [
    (table['study_id'].unique(), uids_of(row_keys(table)).unique(), row_files(table).unique()) for table in tables
  ]
  studies, uids, files = (pa.concat_arrays(some).unique() for some in zip(*parts, strict=True))
  return _Touch(studies.drop_null(), uids, files)


def _touched(history: History, model: str, runs: Sequence[Record]) -> tuple[pa.Table, dict[str, Row]]:
  """The images of all studies that the runs touch, and of these studies the rows that earlier nights made."""
  touch = _touch_of(history.output, runs)
  earlier = _touched_earlier(history, model, touch)
  return _images(history.output, runs, touch, earlier.values()), earlier


def _study_rows(images: pa.Table, earlier: Mapping[str, Row], rule: str) -> Iterator[Row]:
  gone = dict(earlier)
  for study_id, rows in _by_study(images):
    before = gone.pop(study_id, None)
    if before is None or any(before[name] != value for name, value in links_of(rows).items()):  # else as it was
      yield _study(study_id, rows, rule, before)
  for study_id, before in sorted(gone.items()):  # their images have all gone to other studies
    yield _study(study_id, [], rule, before)


def _uid_clashes(images: pa.Table, new: Set[str]) -> int:
  """How many images of new runs have the UID of another that stands, of another run."""
  table = pa.table({'uid': uids_of(images['image_id']), 'run': images['run_id']})
  runs = table.filter(pc.is_valid(table['uid'])).group_by('uid').aggregate([('run', 'count_distinct')])
  shared = runs['uid'].filter(pc.greater(runs['run_count_distinct'], 1)).combine_chunks()
  is_new = pc.is_in(table['run'], pa.array(sorted(new), pa.string()))
  return int(pc.sum(pc.and_(is_new, pc.is_in(table['uid'], shared))).as_py() or 0)


def _study(study_id: str, rows: Sequence[Row], rule: str, before: Row | None) -> Row:
  return study_row(study_id, rows, rule) | links_of(rows) | {'supersedes_run_id': before['run_id'] if before else None}


def _touched_earlier(history: History, model: str, touch: _Touch) -> dict[str, Row]:
  """The latest row of each study that earlier nights knew and that is concerned."""
  found = _latest(table.filter(touch.concerns(table)) for table in history.read(model, _LINKS))
  moved = found.keys() - set(touch.studies.to_pylist())
  if not moved:
    return found
  ids = pa.array(sorted(moved), pa.string())  # the latest row of these need not be one of those that were found
  tables = (table.filter(pc.is_in(table['study_id'], ids)) for table in history.read(model, _LINKS))
  latest = pa.Table.from_pylist(list(_latest(tables).values()), pa.schema([STUDIES.field(name) for name in _LINKS]))
  return {study: row for study, row in found.items() if study not in moved} | _latest(
    [latest.filter(touch.concerns(latest))]
  )


def _latest(tables: Iterable[pa.Table]) -> dict[str, Row]:
  """The last row of each study."""
  return {row['study_id']: row for table in tables for row in table.to_pylist()}


def _images(output: str, runs: Sequence[Record], touch: _Touch, earlier: Collection[Row]) -> pa.Table:
  """The images of all studies that are concerned: of the runs, and of earlier ones what the study rows name."""
  new = {record['run_id']: record for record in runs}
  old = {run_id for row in earlier for run_id in row['image_run_ids']} - new.keys()
  model = model_of(runs[0])
  before = [record for record in _readable(output, old) if model_of(record) == model]
  records = sorted([*runs, *before], key=lambda record: str(record['run_id']))
  studies = pa.concat_arrays([touch.studies, pa.array([row['study_id'] for row in earlier], pa.string())])
  named = pa.array([f'{row["study_id"]}/{key}' for row in earlier for key in row['row_keys']], pa.string())
  half_read = pa.array([place for record in records for place in _half_read(output, record)], pa.string())
  parts = [_none()]
  for part in latest_parts(output, records, _COLUMNS):
    rows = part.append_column('key', row_keys(part)).append_column('file', row_files(part))
    rows = rows.append_column('half_read', pc.is_in(_places(rows), half_read))
    in_study = pc.binary_join_element_wise(rows['study_id'], rows['key'], '/')
    is_named = pc.or_(pc.is_in(rows['run_id'], pa.array(sorted(new))), pc.is_in(in_study, named))
    parts.append(rows.filter(pc.and_(is_named, pc.is_in(rows['study_id'], studies))))
  return pa.concat_tables(parts)


def _half_read(output: str, record: Record) -> list[str]:
  """The files that a run did not read to their end: their rows give way as soon as another run does."""
  rows = read_rows(output, record, ('run_id', 'file_id', 'source_id', 'reason'))
  unread = rows.filter(pc.is_in(rows['reason'], pa.array(sorted(UNREAD))))
  places: list[str] = _places(unread.append_column('file', row_files(unread))).unique().to_pylist()
  return places


def _places(rows: pa.Table) -> pa.ChunkedArray:
  return pc.binary_join_element_wise(rows['run_id'], rows['file'], '/')


def _none() -> pa.Table:
  fields = [
    *(PREDICTIONS.field(name) for name in _COLUMNS),
    pa.field('key', pa.string()),
    pa.field('file', pa.string()),
    pa.field('half_read', pa.bool_()),
  ]
  return pa.schema(fields).empty_table()


def _by_study(images: pa.Table) -> Iterator[tuple[str, list[Row]]]:
  """The rows of each study; a part of them at a time are Python's, since those are large."""
  ordered = images.append_column('position', pa.array(np.arange(len(images))))
  ordered = ordered.take(pc.sort_indices(ordered, [('study_id', 'ascending'), ('position', 'ascending')]))
  parts = (ordered.slice(start, _CHUNK_ROWS).to_pylist() for start in range(0, len(ordered), _CHUNK_ROWS))
  for study_id, rows in itertools.groupby(itertools.chain.from_iterable(parts), lambda row: str(row['study_id'])):
    yield study_id, list(rows)


def current_studies(output: str, model: str) -> pa.Table:
  """Each study once, as the latest night that touched it has it; one whose images went to others is none any more.

  Args:
    output: of `nightly`.
    model: name and version, such as `cnn-1`.

  Returns:
    Rows in the order of their study_id.
  """
  latest = _latest_table(list(read_history(output).read(model)))
  images = pc.add(pc.add(*(latest[name] for name in _COUNTS[:2])), latest[_COUNTS[2]])
  return latest.filter(pc.greater(images, 0))


def standing_nights(output: str) -> set[str]:
  """The nights with a row that is the latest of its study."""
  history = read_history(output)
  latest = (_latest_table(list(history.read(model, ['run_id', 'study_id']))) for model in history.tables)
  return {run_id for table in latest for run_id in table['run_id'].unique().to_pylist()}


def _latest_table(tables: Sequence[pa.Table]) -> pa.Table:
  """The last row of each study, in the order of the ids."""
  whole = pa.concat_tables([*tables] or [STUDIES.empty_table()])
  numbers = pa.array(np.repeat(np.arange(len(tables)), [len(table) for table in tables]))
  order = pa.table({'study_id': whole['study_id'], 'night': numbers})
  positions = pc.sort_indices(order, [('study_id', 'ascending'), ('night', 'descending')])
  return whole.take(first_of_each(whole['study_id'], positions))
