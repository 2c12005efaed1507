"""Runs as `score` and `nightly` leave them, without any image: rows, files and records."""

import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.run_record import read_record, record_path, write_record
from pipelines.schemas import PREDICTIONS

Row = dict[str, Any]
RANKS = {'scored': 0, 'rejected': 1, 'skipped': 2}


def row(image: str | None, source: str, status: str = 'scored', frame: int | None = 1, **values: Any) -> Row:
  return {'file_id': 'f', 'image_id': image, 'source_id': source, 'frame': frame, 'status': status} | values


def write_run(output: pathlib.Path, run_id: str, rows: list[Row], version: str = '1', **record: Any) -> None:
  """A run with its record; `record` holds more of it."""
  facts = {'run_id': run_id, 'run_date': '2026-01-01', 'files': ['part-0.parquet']} | record
  predictions = f'predictions/run_date={facts["run_date"]}/model=cnn-{version}/run_id={run_id}'
  folder = output / predictions
  folder.mkdir(parents=True)
  given = {'run_id': run_id, 'model_name': 'cnn', 'model_version': version}
  pq.write_table(pa.Table.from_pylist([given | one for one in rows], PREDICTIONS), folder / 'part-0.parquet')
  model = {'name': 'cnn', 'version': version, 'digest': 'd'}
  known = {'job': 'score', 'predictions': predictions, 'model': model, 'rows': {'scored': len(rows)}}
  write_record(record_path(str(output), run_id), known | facts)


def write_joint_run(output: pathlib.Path, run_id: str, by_version: dict[str, list[Row]]) -> None:
  """A run of several models with its one record."""
  parts = []
  for version, rows in by_version.items():
    write_run(output, run_id, rows, version)
    parts.append(read_record(str(output), run_id))
  shared = {name: parts[0][name] for name in ('job', 'run_id', 'run_date')}
  models = [{name: part[name] for name in part if name not in shared} for part in parts]
  total = {'scored': sum(part['rows']['scored'] for part in parts)}
  write_record(record_path(str(output), run_id), shared | {'rows': total, 'models': models})


def standing(runs: list[list[Row]]) -> list[Row]:
  """The rows of `current`, row by row, without any of Arrow; `run` is the place of their run."""
  found: dict[tuple[str, ...], Row] = {}
  for number, rows in enumerate(runs):
    of_run: dict[tuple[str, ...], Row] = {}
    for one in sorted(rows, key=lambda one: (RANKS[one['status']], one['source_id'], one['frame'] or 0)):
      key = (one['image_id'],) if one['image_id'] else (one['source_id'], str(one['frame']))
      of_run.setdefault(key, one | {'run': number})
    again = {one['file_id'] for one in rows}
    found = {key: one for key, one in found.items() if one['image_id'] or one['file_id'] not in again} | of_run
  return list(found.values())
