"""Each image once: the latest row of all runs that happened.

Files are never changed, so that an image that was scored again has several
rows. Only runs with a record count: a folder without one is of a run that was
killed, or is still at work.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.run_record import by_model, read_outlines, recorded_runs
from pipelines.same_images import doubtful, pixels_of, split, standing, uids_of
from pipelines.schemas import PREDICTIONS
from transforms import storage
from transforms.errors import UNREAD

_KEYS: Final = ('file_id', 'image_id', 'source_id', 'frame', 'status', 'reason', 'patient_id', 'pixel_sha256')
_UNREAD: Final = pa.array(sorted(UNREAD))
_RANKS: Final = pa.array(['scored', 'rejected', 'skipped'])  # of rows of one image in one run


def prediction_runs(
  output: str, model: str | None = None, as_of: datetime.datetime | None = None
) -> list[dict[str, Any]]:
  """The records of the runs whose rows are there, oldest first; for the arguments see `current`.

  A run of several models counts as a run of each, the first of them as the latest.
  """
  runs = read_outlines(output, recorded_runs(output))
  records = [record for run in runs for record in reversed(by_model(run))]
  readable = (record for record in records if record.get('files') and 'pruned' not in record)
  return [
    record for record in readable if model in (None, model_of(record)) and (as_of is None or _finished(record) <= as_of)
  ]


def _finished(record: Mapping[str, Any]) -> datetime.datetime:
  return datetime.datetime.fromisoformat(record['finished'])


def model_of(record: Mapping[str, Any]) -> str:
  """Name and version of the model of a run."""
  return f'{record["model"]["name"]}-{record["model"]["version"]}'


def current(
  output: str,
  model: str | None = None,
  columns: Sequence[str] | None = None,
  as_of: datetime.datetime | None = None,
) -> pa.Table:
  """Each image once, in the row of the latest run; an input without an image once for its source and frame.

  Of one run's rows of the same image the scored one stands, then the rejected,
  then that of the lowest source_id and frame. A row without an image, which
  nothing but its file can name, gives way when that file is read again, and
  so do all rows of a file that was not read to its end when it is. What
  one image is where several have one SOP Instance UID says `pipelines.same_images`.

  Args:
    output: of `score` or `nightly`.
    model: name and version, such as `cnn-1`; None for the latest run, whichever model that had, and of a run of
      several models for the first.
    columns: of the predictions; None for all.
    as_of: what stood then, with a time zone: runs that ended later do not count; those pruned since are missing.

  Returns:
    Rows in the order of runs, shards and positions.
  """
  return latest_of(output, prediction_runs(output, model, as_of), columns)


def latest_of(output: str, records: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> pa.Table:
  """The same, of some runs; their records oldest first."""
  parts = list(latest_parts(output, records, columns))
  return pa.concat_tables(parts) if parts else _chosen_columns(PREDICTIONS.empty_table(), columns)


def latest_parts(
  output: str, records: Sequence[dict[str, Any]], columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
  """The rows of `latest_of`, run by run: of the whole only the keys are held."""
  keys = _keys_of(output, records)
  if keys:
    yield from _taken(output, records, keys, latest_rows(pa.concat_tables(keys)), columns)


def standing_runs(output: str, records: Sequence[dict[str, Any]]) -> set[str]:
  """The runs that have at least one row of `latest_of`, and those without which another row might stand.

  Of images that share a UID a row may hide one that a later row does not: all of them count. So does a run that read a
  file to its end which another one had not.
  """
  if not records:
    return set()
  keys = pa.concat_tables(_keys_of(output, records))
  order = _in_order(keys)
  doubted = order.filter(doubtful(keys, order))
  needed = pa.concat_arrays([latest_rows(keys), doubted.filter(split(keys.take(doubted)))])
  numbers = {*keys['run'].take(needed).unique().to_pylist(), *_outdating(keys)['run_max'].to_pylist()}
  return {records[number]['run_id'] for number in numbers}


def _keys_of(output: str, records: Sequence[dict[str, Any]]) -> list[pa.Table]:
  return [_with_run(read_rows(output, record, _KEYS), record, number) for number, record in enumerate(records)]


def read_rows(output: str, record: dict[str, Any], columns: Sequence[str] | None = None) -> pa.Table:
  """The rows of a run, by the files that its record lists; columns that it did not have yet are null."""
  tables = [_read_file(storage.join(output, record['predictions'], name), columns) for name in record['files']]
  return pa.concat_tables(tables)


def _read_file(path: str, columns: Sequence[str] | None) -> pa.Table:
  with storage.open_read(path) as file:
    parquet = pq.ParquetFile(file)
    known = parquet.schema_arrow.names
    table = parquet.read([name for name in columns or PREDICTIONS.names if name in known])
  for field in PREDICTIONS if columns is None else [PREDICTIONS.field(name) for name in columns]:
    if field.name not in known:
      table = table.append_column(field, pa.nulls(len(table), field.type))
  return _chosen_columns(table, columns)


def _chosen_columns(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
  return table.select(list(columns or PREDICTIONS.names))


def _with_run(table: pa.Table, record: Mapping[str, Any], number: int) -> pa.Table:
  """Keys with what all rows of the run say, which takes next to no space, and with as much of digests as is needed."""
  index = table.schema.get_field_index('pixel_sha256')
  short = table.set_column(index, 'pixel_sha256', pixels_of(table['pixel_sha256']))
  unread = pc.is_in(table['reason'], _UNREAD)
  short = short.drop_columns(['reason']).append_column('unread', unread)
  run = pa.array(np.full(len(table), number, np.int32))
  preprocess = pa.array([record.get('preprocess_digest')], pa.string()).dictionary_encode()
  return short.append_column('run', run).append_column('preprocess_digest', preprocess.take(_zeros(len(table))))


def _zeros(count: int) -> pa.Array:
  return pa.array(np.zeros(count, np.int8))


def latest_rows(rows: pa.Table) -> pa.Array:
  """Positions of the rows that stand.

  Args:
    rows: `file_id`, `image_id`, `source_id`, `frame`, `status`, and `run`, which is higher for later runs; `unread`,
      and what tells images of one UID apart, of `pipelines.same_images.standing`, where these are known.

  Returns:
    int64, ascending.
  """
  order = _in_order(rows)
  doubt = doubtful(rows, order)
  doubted, sure = order.filter(doubt), order.filter(pc.invert(doubt))
  first = first_of_each(_uid_keys(rows), sure)
  if len(doubted):
    first = pa.concat_arrays([first, doubted.filter(standing(rows.take(doubted)))])
  stand = first.filter(pc.invert(pc.is_in(first, _without_image_before(rows))))
  return stand.take(pc.sort_indices(stand))


def _in_order(rows: pa.Table) -> pa.Array:
  """Positions by UID, and of each by what stands before others: later runs, then as `current` says."""
  table = pa.table(
    {
      'key': _uid_keys(rows),
      'run': rows['run'],
      'rank': pc.index_in(rows['status'], _RANKS),
      'source_id': rows['source_id'],
      'frame': pc.fill_null(rows['frame'], 0),
    }
  )
  order = [(name, 'descending' if name == 'run' else 'ascending') for name in table.column_names]
  positions = pc.sort_indices(table, order)
  return positions.filter(pc.invert(pc.is_in(positions, _of_unread_files(rows))))


def row_keys(rows: pa.Table) -> pa.ChunkedArray:
  """What a row is of: the image, or source and frame where there is none."""
  return pc.coalesce(rows['image_id'], _places(rows))


def _uid_keys(rows: pa.Table) -> pa.ChunkedArray:
  """The same, by UID alone: rows of different keys are of different images."""
  return pc.coalesce(uids_of(rows['image_id']), _places(rows))


def _places(rows: pa.Table) -> pa.ChunkedArray:
  frame = pc.fill_null(pc.cast(rows['frame'], pa.string()), '')
  return pc.binary_join_element_wise(rows['source_id'], frame, '/')


def row_files(rows: pa.Table) -> pa.ChunkedArray:
  """The delivered file of each row; the source itself in rows of a schema that did not say."""
  return pc.coalesce(rows['file_id'], rows['source_id'])


def first_of_each(values: pa.ChunkedArray, positions: pa.Array) -> pa.Array:
  """Of positions that are sorted by these values those where another value begins."""
  ordered = values.combine_chunks().take(positions)
  begins = pc.not_equal(ordered[1:], ordered[:-1])
  return positions.filter(pa.concat_arrays([pa.array([True] * min(1, len(ordered)), pa.bool_()), begins]))


def _without_image_before(rows: pa.Table) -> pa.Array:
  """Positions of rows without an image whose file was read again by a later run."""
  files = rows.select(['run']).append_column('file', row_files(rows))
  numbered = files.append_column('position', pa.array(np.arange(len(rows), dtype=np.uint64)))
  without = numbered.filter(pc.is_null(rows['image_id']))
  again = files.filter(pc.is_in(files['file'], without['file'].combine_chunks()))
  last = again.group_by('file').aggregate([('run', 'max')])
  joined = without.join(last, 'file')
  return joined.filter(pc.less(joined['run'], joined['run_max']))['position'].combine_chunks()


def _of_unread_files(rows: pa.Table) -> pa.Array:
  """Positions of rows of a file that their run did not read to its end, and a later run did."""
  stale = _outdating(rows)
  if not len(stale):
    return pa.array([], pa.uint64())
  files = rows.select(['run']).append_column('file', row_files(rows))
  numbered = files.append_column('position', pa.array(np.arange(len(rows), dtype=np.uint64)))
  found = numbered.join(stale.select(['file', 'run']), ['file', 'run'], join_type='left semi')
  return found['position'].combine_chunks()


def _outdating(rows: pa.Table) -> pa.Table:
  """Readings of files that broke off, as `file` and `run`, with the last run that came to the end, `run_max`."""
  files = rows.select(['run']).append_column('file', row_files(rows))
  unread = rows['unread'] if 'unread' in rows.column_names else pa.chunked_array([pa.repeat(False, len(rows))])
  files = files.append_column('unread', unread)
  concerned = files.filter(pc.is_in(files['file'], files.filter(files['unread'])['file'].combine_chunks()))
  readings = concerned.group_by(['file', 'run']).aggregate([('unread', 'any')])
  whole = readings.filter(pc.invert(readings['unread_any'])).group_by('file').aggregate([('run', 'max')])
  stale = readings.filter(readings['unread_any']).join(whole, 'file')
  return stale.filter(pc.less(stale['run'], stale['run_max']))  # null, and left out, where no run has read all of it


def _taken(
  output: str,
  records: Sequence[dict[str, Any]],
  keys: Iterable[pa.Table],
  chosen: pa.Array,
  columns: Sequence[str] | None,
) -> Iterator[pa.Table]:
  """The chosen rows, run by run; a run that has none left is not read again."""
  start = 0
  for record, table in zip(records, keys, strict=True):
    end = start + len(table)
    of_run = chosen.filter(pc.and_(pc.greater_equal(chosen, start), pc.less(chosen, end)))
    if len(of_run):
      yield read_rows(output, record, columns).take(pc.subtract(pc.cast(of_run, pa.int64()), start))
    start = end
