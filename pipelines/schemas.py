"""The tables that leave a run: the index of a dataset, the predictions, the studies, the crosswalk.

Plain columns that DuckDB, pandas and Spark read without help. They change only
together with `SCHEMA_VERSION`, a migration and a line in the changelog.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import storage

SCHEMA_VERSION: Final = 3
_CHUNK_ROWS: Final = 128

_TEXT, _INT = pa.string(), pa.int32()
_TEXTS = pa.list_(_TEXT)

_IDS: Final = [
  ('image_id', _TEXT),
  ('study_id', _TEXT),
  ('series_id', _TEXT),
  ('patient_id', _TEXT),
  ('scanner_id', _TEXT),
  ('source_id', _TEXT),
  ('frame', _INT),
]
_OUTCOME: Final = [('status', _TEXT), ('reason', _TEXT), ('detail', _TEXT)]
_FACTS: Final = [
  ('modality', _TEXT),
  ('view_position', _TEXT),
  ('body_part', _TEXT),
  ('manufacturer', _TEXT),
  ('sex', _TEXT),
  ('age_years', _INT),
  ('rows', _INT),
  ('columns', _INT),
  ('bits_stored', _INT),
  ('transfer_syntax', _TEXT),
  ('photometric', _TEXT),
  ('lossy_ratio', pa.float64()),
  ('quality', _TEXTS),
  ('content_sha256', _TEXT),
  ('pixel_sha256', _TEXT),
  ('perceptual_hash', _TEXT),
]

INDEX: Final = pa.schema(
  [
    ('schema_version', _INT),
    *_IDS,
    ('split', _TEXT),
    ('label', _TEXT),
    *_OUTCOME,
    *_FACTS,
    ('pixel_sum', pa.int64()),
    ('pixel_sumsq', pa.int64()),
    ('pixel_count', pa.int64()),
    ('patient_bucket', _INT),
  ]
)

PREDICTIONS: Final = pa.schema(
  [
    ('schema_version', _INT),
    ('run_id', _TEXT),
    ('file_id', _TEXT),
    *_IDS,
    *_OUTCOME,
    ('predicted_label', _TEXT),
    ('probability', pa.float64()),
    ('threshold', pa.float64()),
    ('scores', pa.list_(pa.struct([('label', _TEXT), ('probability', pa.float64())]))),
    *_FACTS,
    ('model_name', _TEXT),
    ('model_version', _TEXT),
    ('model_digest', _TEXT),
    ('preprocess_digest', _TEXT),
    ('config_digest', _TEXT),
    ('code_version', _TEXT),
    ('supersedes_run_id', _TEXT),
    ('scored_at', pa.timestamp('us', tz='UTC')),
  ]
)

STUDIES: Final = pa.schema(
  [
    ('schema_version', _INT),
    ('run_id', _TEXT),
    ('study_id', _TEXT),
    ('patient_id', _TEXT),
    ('rule', _TEXT),
    ('predicted_label', _TEXT),
    ('probability', pa.float64()),
    ('threshold', pa.float64()),
    ('reason', _TEXT),
    ('images_scored', _INT),
    ('images_rejected', _INT),
    ('images_skipped', _INT),
    ('worst_quality', _TEXT),
    ('row_keys', _TEXTS),
    ('file_ids', _TEXTS),
    ('image_run_ids', _TEXTS),
    ('model_name', _TEXT),
    ('model_version', _TEXT),
    ('model_digest', _TEXT),
    ('supersedes_run_id', _TEXT),
  ]
)

NEAR_DUPLICATES: Final = pa.schema(
  [
    ('image_id', _TEXT),
    ('other_image_id', _TEXT),
    ('distance', _INT),
    ('split', _TEXT),
    ('other_split', _TEXT),
    ('label', _TEXT),
    ('other_label', _TEXT),
  ]
)

CROSSWALK: Final = pa.schema(
  [
    ('image_id', _TEXT),
    ('source_id', _TEXT),
    ('archive', _TEXT),
    ('member', _TEXT),
    ('frame', _INT),
    ('sop_instance_uid', _TEXT),
    ('series_instance_uid', _TEXT),
    ('study_instance_uid', _TEXT),
    ('patient_id', _TEXT),
  ]
)


def write_table(file: BinaryIO, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> int:
  """Writes rows as Parquet, which are taken as they come; the same rows give the same bytes. How many they were."""
  remaining = iter(rows)
  tables = [schema.empty_table()]
  while chunk := list(itertools.islice(remaining, _CHUNK_ROWS)):  # a row is far smaller in Arrow than as a dict
    tables.append(pa.Table.from_pylist(chunk, schema=schema))
  table = pa.concat_tables(tables)
  write_arrow(file, table)
  return len(table)


def write_arrow(file: BinaryIO, table: pa.Table) -> None:
  """Writes a table as Parquet; the same rows give the same bytes, however they are cut into chunks."""
  pq.write_table(table.combine_chunks(), file, compression='zstd')


def read_columns(path: str, names: Sequence[str] | None = None) -> pa.Table:
  """The columns among these that a Parquet file has, or all; by this thread alone: Arrow's would keep memory each."""
  with storage.open_read(path) as file:
    parquet = pq.ParquetFile(file, pre_buffer=False)
    known = parquet.schema_arrow.names
    return parquet.read(known if names is None else [name for name in names if name in known], use_threads=False)
