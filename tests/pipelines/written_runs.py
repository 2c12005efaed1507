"""Runs as `score` and `nightly` leave them, without any image: rows, files and records."""

import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.run_record import read_record, record_path, write_record
from pipelines.schemas import PREDICTIONS
from transforms.errors import UNREAD
from transforms.uid_clashes import clash_id

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
  preprocess = {one['preprocess_digest'] for one in rows if 'preprocess_digest' in one} or {None}
  known = {'job': 'score', 'predictions': predictions, 'model': model, 'rows': {'scored': len(rows)}}
  known |= dict.fromkeys(['preprocess_digest'], *preprocess)
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
  """The rows of `current`, each compared with each, without any of Arrow; `run` is the place of their run."""
  every = [one | {'run': number} for number, of_run in enumerate(runs) for one in of_run]
  rows = [one for one in every if not _is_half_read(one, every)]
  rows.sort(key=lambda one: (-one['run'], RANKS[one['status']], one['source_id'], one['frame'] or 0))
  clashed = {_pixels(one) for one in rows if _clashes(one)}
  found = [one for place, one in enumerate(rows) if not any(_is_same(one, before, clashed) for before in rows[:place])]
  return [one for one in found if one['image_id'] or not _is_read_again(one, every)]


def _is_half_read(one: Row, rows: list[Row]) -> bool:
  """Whether the run of a row did not read its file to the end, and a later run did."""
  of_file = [other for other in rows if other['file_id'] == one['file_id']]
  unread = {other['run'] for other in of_file if other.get('reason') in UNREAD}
  return one['run'] in unread and any(other['run'] > one['run'] for other in of_file if other['run'] not in unread)


def _is_same(one: Row, before: Row, clashed: set[Any]) -> bool:
  """Whether two rows are of one image."""
  if not (one['image_id'] and before['image_id']):
    return not (one['image_id'] or before['image_id']) and all(
      one[name] == before[name] for name in ('source_id', 'frame')
    )
  if one['image_id'][:16] != before['image_id'][:16]:
    return False
  patients = one.get('patient_id'), before.get('patient_id')
  pixels = _pixels(one), _pixels(before)
  if None in pixels or pixels[0][1] != pixels[1][1]:
    return one['image_id'] == before['image_id'] or (patients[0] is not None and patients[0] == patients[1])
  if pixels[0] == pixels[1] or clashed.issuperset(pixels):
    return pixels[0] == pixels[1]
  return None in patients or patients[0] == patients[1]


def _pixels(one: Row) -> Any:
  """What two rows of a UID can be compared by, if anything."""
  digests = one['image_id'] and one['image_id'][:16], one.get('preprocess_digest'), one.get('pixel_sha256')
  return None if None in digests else digests


def _clashes(one: Row) -> bool:
  return _pixels(one) is not None and one['image_id'] == clash_id(one['image_id'], one['pixel_sha256'])


def _is_read_again(one: Row, rows: list[Row]) -> bool:
  return any(other['file_id'] == one['file_id'] and other['run'] > one['run'] for other in rows)
