import datetime
import pathlib
import subprocess
import sys
from collections.abc import Collection

import pytest

from pipelines.current import current
from pipelines.ledger import load_ledger
from pipelines.retention import Going, Terms, find_going, remove
from pipelines.run_record import read_record, record_path, recorded_runs, write_record
from pipelines.studies import current_studies, publish_studies
from tests.pipelines.written_runs import Row, row, write_joint_run, write_run
from transforms import storage

TODAY = datetime.date(2026, 3, 1)
KEEP_ALL = 10_000


def scored(image: str, study: str = 'a') -> Row:
  labels = [{'label': 'sick', 'probability': 0.5}]
  facts: Row = {'study_id': study, 'quality': [], 'probability': 0.5, 'threshold': 0.5, 'predicted_label': 'sick'}
  return row(image, f's-{image}', **facts | {'scores': labels})


def write_night(output: pathlib.Path, date: str, images: Collection[str], version: str = '1', study: str = 'a') -> None:
  """A night of one slice, with its study rows."""
  night = f'{date.replace("-", "")}T010000Z-{version * 8}'
  write_run(output, f'{night}-s0000', [scored(image, study) for image in images], version, run_date=date)
  studies = publish_studies(str(output), night, date, 'max', str(output / '.staging'))
  record = {'job': 'nightly', 'run_id': night, 'run_date': date, 'studies': studies}
  write_record(record_path(str(output), night), record)


def going(output: pathlib.Path, keep: int, superseded: int | None = None, crosswalk: str | None = None) -> list[Going]:
  return find_going(str(output), Terms(keep, superseded), crosswalk, TODAY)


def dates(found: list[Going]) -> list[tuple[str, str, bool]]:
  """Day, reason, and whether it is a slice."""
  return [(one.run_date[5:], one.why, '-s' in one.run_id) for one in found]


def apply(output: pathlib.Path, found: list[Going]) -> None:
  remove(str(output), found, TODAY, lambda: None)


@pytest.fixture
def output(tmp_path: pathlib.Path) -> pathlib.Path:
  """Three nights; the first image of the first came again in the second, of study `b` alone in the third."""
  write_night(tmp_path, '2026-01-01', ['i1', 'i2'])
  write_night(tmp_path, '2026-02-01', ['i1'])
  write_night(tmp_path, '2026-03-01', ['i3'], study='b')
  return tmp_path


@pytest.mark.parametrize(('keep', 'gone'), [(59, []), (58, ['01-01']), (28, ['01-01']), (27, ['01-01', '02-01'])])
def test_runs_go_by_the_day_that_they_are_filed_under(output: pathlib.Path, keep: int, gone: list[str]) -> None:
  assert dates(going(output, keep)) == [(day, 'age', is_slice) for day in gone for is_slice in (False, True)]


def test_what_goes_is_counted(output: pathlib.Path) -> None:
  night, part = going(output, 30)
  assert (night.rows, night.files, part.rows, part.files) == (1, 1, 2, 1)
  (path,) = output.glob('predictions/run_date=2026-01-01/*/*/*')
  assert part.size_bytes == path.stat().st_size


def test_of_what_no_row_stands_goes_earlier(output: pathlib.Path) -> None:
  of_night = ('01-01', 'superseded', False)
  assert dates(going(output, KEEP_ALL, 30)) == [of_night], 'its study came again, but i2 stands'
  write_night(output, '2026-03-01', ['i2'], version='2')
  assert dates(going(output, KEEP_ALL, 30)) == [of_night], 'another model takes nothing from it'
  write_run(output, '20260202T000000Z-x-s0000', [scored('i2')], run_date='2026-02-02')
  found = going(output, KEEP_ALL, 30)
  assert dates(found) == [of_night, ('01-01', 'superseded', True)]
  before = current(str(output)), current_studies(str(output), 'cnn-1')
  apply(output, found)
  assert (current(str(output)), current_studies(str(output), 'cnn-1')) == before
  assert going(output, KEEP_ALL, 30) == []


def test_a_run_of_several_models_goes_once_no_row_of_any_stands(tmp_path: pathlib.Path) -> None:
  write_joint_run(tmp_path, '20260101T000000Z-j', {'1': [scored('i1')], '2': [scored('i1')]})
  write_run(tmp_path, '20260102T000000Z-k', [scored('i1')], '1', run_date='2026-01-02')
  assert dates(going(tmp_path, KEEP_ALL, 30)) == [], 'of the second model it stands'
  write_run(tmp_path, '20260103T000000Z-l', [scored('i1')], '2', run_date='2026-01-03')
  (found,) = going(tmp_path, KEEP_ALL, 30)
  assert (found.run_id, found.why, found.rows, found.files) == ('20260101T000000Z-j', 'superseded', 2, 2)
  apply(tmp_path, [found])
  assert not list(tmp_path.glob('predictions/run_date=2026-01-01/**/*.parquet'))
  assert 'pruned' in read_record(str(tmp_path), found.run_id)
  assert len(current(str(tmp_path), 'cnn-2')) == 1


def test_what_was_removed_is_gone_and_what_is_known_of_it_stays(output: pathlib.Path) -> None:
  entry = {'path_id': 'p', 'size_bytes': 1, 'fingerprint': '1', 'crc32c': 'c', 'rejected': False}
  slice_id = next(run for run in recorded_runs(str(output)) if '-s' in run)
  record = read_record(str(output), slice_id) | {'entries': [entry], 'skip_digest': 'x'}
  write_record(record_path(str(output), slice_id), record)
  apply(output, going(output, 30))
  assert [one['image_id'] for one in current(str(output)).to_pylist()] == ['i1', 'i3']
  assert read_record(str(output), slice_id) == record | {'pruned': '2026-03-01'}
  assert [one.path_id for one in load_ledger(str(output)).entries] == ['p']
  assert not list(output.glob('*/run_date=2026-01-01'))
  assert going(output, 30) == []


def test_a_folder_without_a_record_is_let_be(output: pathlib.Path) -> None:
  files = set(output.glob('predictions/*/*/*/*'))
  for run_id in recorded_runs(str(output)):
    pathlib.Path(record_path(str(output), run_id)).unlink()
  assert going(output, 0, 0) == []
  assert set(output.glob('predictions/*/*/*/*')) == files


def test_the_crosswalk_of_pruned_runs_goes_also_later(output: pathlib.Path, tmp_path: pathlib.Path) -> None:
  crosswalk = tmp_path / 'crosswalk'
  crosswalk.mkdir()
  slices = [run for run in recorded_runs(str(output)) if '-s' in run]
  for name in (*slices, 'other'):
    (crosswalk / f'crosswalk-{name}.parquet').write_bytes(b'12')
  apply(output, going(output, 30))
  assert len(list(crosswalk.iterdir())) == 4
  (found,) = going(output, 30, crosswalk=str(crosswalk))
  assert (found.why, found.files, found.size_bytes) == ('unfinished', 1, 2)
  apply(output, [found])
  assert sorted(path.name for path in crosswalk.iterdir()) == sorted(
    f'crosswalk-{name}.parquet' for name in (*slices[1:], 'other')
  )


def test_a_record_that_was_being_written_is_removed_with_the_rest(output: pathlib.Path) -> None:
  (mine, other) = (output / 'runs' / f'{run}.json.1234.tmp' for run in (recorded_runs(str(output))[0], 'somebody'))
  mine.write_text('')
  other.write_text('')
  apply(output, going(output, 30))
  assert (mine.exists(), other.exists()) == (False, True)


def test_all_is_marked_before_the_first_file_goes(output: pathlib.Path) -> None:
  class Killed(Exception):  # noqa: N818
    pass

  checks = 0

  def check() -> None:
    nonlocal checks
    checks += 1
    if checks == 3:  # two runs are marked, nothing is removed yet
      raise Killed

  files = set(output.glob('predictions/*/*/*/*'))
  with pytest.raises(Killed):
    remove(str(output), going(output, 30), TODAY, check)
  assert set(output.glob('predictions/*/*/*/*')) == files
  assert [one['image_id'] for one in current(str(output)).to_pylist()] == ['i1', 'i3']
  assert dates(going(output, 30)) == [('01-01', 'unfinished', False), ('01-01', 'unfinished', True)]


def test_an_object_store_is_pruned_as_a_disk_is(output: pathlib.Path, bucket: str) -> None:
  target = f'{bucket}/nights'
  local = [path for path in output.rglob('*') if path.is_file()]
  storage.copy_files([(str(path), f'{target}/{path.relative_to(output)}') for path in local])
  found = find_going(target, Terms(30, None), None, TODAY)
  assert dates(found) == [('01-01', 'age', False), ('01-01', 'age', True)]
  remove(target, found, TODAY, lambda: None)
  assert [one['image_id'] for one in current(target).to_pylist()] == ['i1', 'i3']
  assert not [file for file in storage.list_files(target) if '2026-01-01' in file.path]
  assert find_going(target, Terms(30, None), None, TODAY) == []


def test_what_only_reads_tables_loads_neither_beam_nor_tensorflow(output: pathlib.Path) -> None:
  program = """
import sys
from pipelines.cli import main
from pipelines.current import current
from pipelines.studies import current_studies
output = sys.argv[1]
assert len(current(output)) == 3 and len(current_studies(output, 'cnn-1')) == 2
assert main(['prune', output, '--keep_days', '0', '--apply']) == 0
assert main(['lookup', '0' * 8, '--crosswalk', output]) == 2
print(sorted({'apache_beam', 'tensorflow', 'keras', 'google.cloud.storage'} & set(sys.modules)))
"""
  ended = subprocess.run([sys.executable, '-c', program, str(output)], capture_output=True, text=True, check=True)
  assert ended.stdout == '[]\n'
