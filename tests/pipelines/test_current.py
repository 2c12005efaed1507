import datetime
import hashlib
import pathlib
import re
import tempfile
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.current import current, latest_rows
from pipelines.run_record import read_record, record_path, write_record
from pipelines.schemas import PREDICTIONS
from tests.pipelines.written_runs import RANKS, Row, row, standing, write_joint_run, write_run
from transforms.errors import UNREAD
from transforms.uid_clashes import clash_id

_README = pathlib.Path(__file__).parents[2] / 'README.md'
_STATEMENT = re.findall(r'```sql\n(.*?)```', _README.read_text(), re.DOTALL)[0]


def table_of(runs: list[list[Row]]) -> pa.Table:
  rows = [
    one | {'run': number, 'unread': one.get('reason') in UNREAD} for number, rows in enumerate(runs) for one in rows
  ]
  names = ('file_id', 'image_id', 'source_id', 'frame', 'status', 'patient_id', 'pixel_sha256', 'preprocess_digest')
  schema = pa.schema([*(PREDICTIONS.field(name) for name in names), ('run', pa.int32()), ('unread', pa.bool_())])
  return pa.Table.from_pylist(rows, schema)


def key_of(one: Row) -> tuple[Any, ...]:
  return one['run'], one['source_id'], one['frame'] or 0, one['image_id'] or '', one['status']


def image(name: str | None, is_clash: bool, pixels: str | None, *identity: Any, **values: Any) -> Row:
  """A row of an image, whose id is that of a clash if it is of one."""
  image_id = name and UIDS[name]
  digest = pixels and PIXELS[pixels]
  own = clash_id(image_id, digest) if image_id and digest and is_clash else image_id
  return row(own, *identity, pixel_sha256=digest, **values)


UIDS = {name: hashlib.md5(name.encode()).hexdigest() for name in ('i1', 'i2')}
PIXELS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ('x', 'y', 'z')}
_ROWS = st.builds(
  image,
  st.sampled_from([None, *UIDS]),
  st.booleans(),
  st.sampled_from([None, *PIXELS]),
  st.sampled_from(['s1', 's2', 's3']),
  st.sampled_from(list(RANKS)),
  st.sampled_from([None, 1, 2]),
  file_id=st.sampled_from(['f1', 'f2', 'f3']),
  patient_id=st.sampled_from([None, 'p', 'q']),
  reason=st.sampled_from([None, None, None, None, None, 'bomb', 'input-gone']),
)


def _run(rows: list[Row], preprocess: str | None) -> list[Row]:
  return [one | {'preprocess_digest': preprocess} for one in rows]


def _runs(least: int) -> st.SearchStrategy[list[list[Row]]]:
  rows = st.lists(_ROWS, min_size=least, max_size=6, unique_by=lambda one: (one['source_id'], one['frame']))
  run = st.builds(_run, rows, st.sampled_from([None, 'd', 'd', 'd', 'e']))
  return st.lists(run, min_size=least, max_size=5)


@given(_runs(0))
@settings(max_examples=200, deadline=None)
def test_the_rows_that_stand_are_those_of_the_rule(runs: list[list[Row]]) -> None:
  table = table_of(runs)
  assert sorted(map(key_of, table.take(latest_rows(table)).to_pylist())) == sorted(map(key_of, standing(runs)))


@pytest.mark.parametrize('missing', ['patient_id', 'pixel_sha256', 'preprocess_digest'])
@given(_runs(1))
@settings(max_examples=50, deadline=None)
def test_what_is_not_known_tells_no_images_apart(missing: str, runs: list[list[Row]]) -> None:
  table = table_of([[one | {missing: None} for one in rows] for rows in runs])
  expected = table.take(latest_rows(table)).to_pylist()
  without = table.drop_columns([missing])
  assert sorted(map(key_of, table.take(latest_rows(without)).to_pylist())) == sorted(map(key_of, expected))


@given(_runs(1))
@settings(max_examples=40, deadline=None)
def test_the_statement_of_the_readme_gives_the_same_rows(runs: list[list[Row]]) -> None:
  with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
    output = pathlib.Path(folder, 'nights')
    for number, rows in enumerate(runs):
      version = str(number % 2)
      facts = {'run_id': f'r{number}', 'model_name': 'cnn', 'model_version': version, 'probability': float(number)}
      write_run(output, f'r{number}', [one | facts for one in rows], version)
    if len(runs) > 2:
      pathlib.Path(record_path(str(output), 'r0')).unlink()
      prune(output, 'r1')
    database.execute(_STATEMENT.replace('nights/', f'{output}/'))
    columns = ', '.join(PREDICTIONS.names)
    table = database.execute(f'SELECT {columns} FROM current').to_arrow_table()
    assert table is not None
    expected = [one for model in ('cnn-0', 'cnn-1') for one in current(str(output), model).to_pylist()]
  assert sorted(map(repr, table.to_pylist())) == sorted(map(repr, expected))


def test_the_statement_reads_records_of_any_size(tmp_path: pathlib.Path) -> None:
  write_run(tmp_path, 'r1', [row('a', 's1')], entries=['x' * 1000] * 17_000)  # above DuckDB's own limit of 16 MiB
  with duckdb.connect() as database:
    database.execute(_STATEMENT.replace('nights/', f'{tmp_path}/'))
    assert database.execute('SELECT image_id FROM current').fetchall() == [('a',)]


def prune(output: pathlib.Path, run_id: str) -> None:
  record = read_record(str(output), run_id)
  write_record(record_path(str(output), run_id), record | {'pruned': '2026-01-01'})


def shown(output: pathlib.Path, model: str | None = None) -> list[tuple[str, float]]:
  rows = current(str(output), model, ['image_id', 'probability']).to_pylist()
  return [(one['image_id'], one['probability']) for one in rows]


def test_the_latest_run_wins_for_each_model_and_over_all(tmp_path: pathlib.Path) -> None:
  write_run(tmp_path, 'r1', [row('a', 's1', probability=0.1), row('b', 's2', probability=0.2)])
  write_run(tmp_path, 'r2', [row('a', 's3', probability=0.3)], version='2')
  assert shown(tmp_path, 'cnn-1') == [('a', 0.1), ('b', 0.2)]
  assert shown(tmp_path, 'cnn-2') == [('a', 0.3)]
  assert shown(tmp_path) == [('b', 0.2), ('a', 0.3)]


def test_a_run_of_several_models_has_rows_of_each_and_the_first_speaks_for_it(tmp_path: pathlib.Path) -> None:
  write_run(tmp_path, 'r1', [row('a', 's1', probability=0.1), row('b', 's2', probability=0.2)])
  joint = {'2': [row('a', 's1', probability=0.3)], '1': [row('a', 's1', probability=0.4)]}
  write_joint_run(tmp_path, 'r2', joint)
  assert shown(tmp_path, 'cnn-1') == [('b', 0.2), ('a', 0.4)]
  assert shown(tmp_path, 'cnn-2') == [('a', 0.3)]
  assert shown(tmp_path) == [('b', 0.2), ('a', 0.3)]
  by_statement: dict[str, list[tuple[str, float]]] = {}
  with duckdb.connect() as database:
    database.execute(_STATEMENT.replace("'nights/", f"'{tmp_path}/"))
    for version, *one in database.execute('SELECT model_version, image_id, probability FROM current').fetchall():
      by_statement.setdefault(version, []).append((one[0], one[1]))
  assert {version: sorted(found) for version, found in by_statement.items()} == {
    version: sorted(shown(tmp_path, f'cnn-{version}')) for version in ('1', '2')
  }


def test_what_stood_at_a_time_is_of_the_runs_that_had_ended(tmp_path: pathlib.Path) -> None:
  for day in (1, 2):
    write_run(tmp_path, f'r{day}', [row('a', 's1', probability=day / 10)], finished=f'2026-01-0{day}T06:00:00+00:00')
  times = [datetime.datetime(2026, 1, day, 6, tzinfo=datetime.UTC) for day in (1, 2)]
  found = [current(str(tmp_path), as_of=time)['probability'].to_pylist() for time in times]
  assert found == [[0.1], [0.2]]
  assert len(current(str(tmp_path), as_of=times[0] - datetime.timedelta(seconds=1))) == 0


def test_runs_without_a_record_and_pruned_ones_do_not_count(tmp_path: pathlib.Path) -> None:
  write_run(tmp_path, 'r1', [row('a', 's1', probability=0.1)])
  write_run(tmp_path, 'r2', [row('a', 's1', probability=0.2)])
  write_run(tmp_path, 'r3', [row('a', 's1', probability=0.3)], pruned='2026-01-01')
  pathlib.Path(record_path(str(tmp_path), 'r2')).unlink()
  assert shown(tmp_path) == [('a', 0.1)]


def test_columns_of_a_later_schema_are_null_in_earlier_files(tmp_path: pathlib.Path) -> None:
  write_run(tmp_path, 'r1', [row('a', 's1', probability=0.1)])
  (path,) = tmp_path.rglob('part-0.parquet')
  pq.write_table(pq.read_table(path, partitioning=None).drop_columns(['perceptual_hash']), path)
  (one,) = current(str(tmp_path)).to_pylist()
  assert (one['image_id'], one['perceptual_hash']) == ('a', None)
  assert current(str(tmp_path)).schema.names == PREDICTIONS.names


@pytest.mark.parametrize('columns', [None, ['image_id']])
def test_without_runs_there_are_no_rows(tmp_path: pathlib.Path, columns: list[str] | None) -> None:
  assert len(current(str(tmp_path), columns=columns)) == 0
