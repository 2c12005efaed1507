import hashlib
import pathlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.current import current, prediction_runs, standing_runs
from pipelines.run_record import read_record, record_path, write_record
from pipelines.schemas import STUDIES
from pipelines.studies import current_studies, publish_studies, standing_nights
from tests.pipelines.written_runs import Row, row, standing, write_joint_run, write_run
from transforms.uid_clashes import clash_id

_README = pathlib.Path(__file__).parents[2] / 'README.md'
_STATEMENTS = re.findall(r'```sql\n(.*?)```', _README.read_text(), re.DOTALL)


def scored(image: str, study: str, probability: float, **values: Any) -> Row:
  scores = [{'label': 'sick', 'probability': probability}, {'label': 'well', 'probability': 1 - probability}]
  facts: Row = {'study_id': study, 'patient_id': 'p', 'probability': probability, 'threshold': 0.5, 'quality': []}
  label = 'sick' if probability >= 0.5 else 'well'
  return row(image, f's-{image}', **facts | {'predicted_label': label, 'scores': scores} | values)


def write_night(output: pathlib.Path, night: str, slices: Sequence[list[Row]], version: str = '1') -> None:
  """A night: its slices, its study rows, and its record."""
  for number, rows in enumerate(slices):
    write_run(output, f'{night}-s{number:04}', rows, version)
  finish_night(output, night)


def finish_night(output: pathlib.Path, night: str, rule: str = 'max') -> list[dict[str, Any]]:
  studies = publish_studies(str(output), night, '2026-01-01', rule, str(output / '.staging'))
  record = {'job': 'nightly', 'run_id': night, 'run_date': '2026-01-01', 'studies': studies}
  write_record(record_path(str(output), night), record)
  return studies


def shown(output: pathlib.Path, model: str = 'cnn-1') -> dict[str, tuple[float | None, int, list[str]]]:
  rows = current_studies(str(output), model).to_pylist()
  assert current_studies(str(output), model).schema.equals(STUDIES)
  return {one['study_id']: (one['probability'], one['images_scored'], one['image_run_ids']) for one in rows}


def test_images_of_earlier_nights_count(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[scored('i1', 'a', 0.1), scored('i2', 'b', 0.2)]])
  write_night(tmp_path, 'n2', [[scored('i3', 'c', 0.3)]])
  write_night(tmp_path, 'n3', [[scored('i4', 'a', 0.4)], [scored('i5', 'a', 0.05)]])
  runs = ['n1-s0000', 'n3-s0000', 'n3-s0001']
  assert shown(tmp_path) == {'a': (0.4, 3, runs), 'b': (0.2, 1, ['n1-s0000']), 'c': (0.3, 1, ['n2-s0000'])}
  last = read_record(str(tmp_path), 'n3')['studies']
  assert [(one['studies'], one['runs']) for one in last] == [(1, ['n3-s0000', 'n3-s0001'])]


def test_an_image_that_moves_to_another_study_leaves_its_old_one(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[scored('i1', 'wrong', 0.9), scored('i2', 'wrong', 0.2), scored('i3', 'alone', 0.8)]])
  write_night(tmp_path, 'n2', [[scored('i1', 'right', 0.9), scored('i3', 'right', 0.8)]])
  assert shown(tmp_path) == {'wrong': (0.2, 1, ['n1-s0000']), 'right': (0.9, 2, ['n2-s0000'])}
  write_night(tmp_path, 'n3', [[scored('i4', 'wrong', 0.3)]])
  assert shown(tmp_path)['wrong'] == (0.3, 2, ['n1-s0000', 'n3-s0000']), 'i1 has not come back'


def test_what_could_not_be_read_leaves_its_study_when_its_file_is_read_again(tmp_path: pathlib.Path) -> None:
  broken = row(None, 's1', 'rejected', None, study_id='a')
  write_night(tmp_path, 'n1', [[scored('i1', 'a', 0.1, file_id='g'), broken]])
  write_night(tmp_path, 'n2', [[scored('i2', 'b', 0.2)]])
  (of_a,) = [one for one in current_studies(str(tmp_path), 'cnn-1').to_pylist() if one['study_id'] == 'a']
  assert (of_a['images_rejected'], of_a['images_scored'], of_a['run_id']) == (0, 1, 'n2')


@pytest.mark.parametrize('between', [False, True])
def test_what_was_read_of_a_file_that_changed_leaves_its_study_when_the_file_is_read_whole(
  tmp_path: pathlib.Path, between: bool
) -> None:
  unread = row(None, 's1', 'rejected', None, file_id='g', reason='changed-while-reading')
  write_night(tmp_path, 'n1', [[scored('i1', 'a', 0.1, file_id='g'), scored('i2', 'b', 0.2), unread]])
  if between:  # once more, not to its end
    write_night(tmp_path, 'n2', [[unread, scored('i5', 'b', 0.1)]])
  write_night(tmp_path, 'n3', [[scored('i3', 'c', 0.3, file_id='g')]])
  assert {study: found[0] for study, found in shown(tmp_path).items()} == {'b': 0.2, 'c': 0.3}


def test_a_run_without_which_half_a_reading_would_stand_again_is_kept(tmp_path: pathlib.Path) -> None:
  unread = row(None, 's1', 'rejected', None, file_id='f', reason='input-gone')
  write_run(tmp_path, 'r1', [scored('i1', 'a', 0.1, file_id='f'), scored('i2', 'a', 0.2, file_id='g'), unread])
  write_run(tmp_path, 'r2', [scored('i3', 'a', 0.3, file_id='f')])
  write_run(tmp_path, 'r3', [scored('i3', 'a', 0.4, file_id='h')])
  assert standing_runs(str(tmp_path), prediction_runs(str(tmp_path))) == {'r1', 'r2', 'r3'}


def test_a_night_without_a_record_does_not_count_and_its_slices_do_in_the_next(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[scored('i1', 'a', 0.1)]])
  pathlib.Path(record_path(str(tmp_path), 'n1')).unlink()
  assert shown(tmp_path) == {}
  write_night(tmp_path, 'n2', [[scored('i2', 'a', 0.2)]])
  assert shown(tmp_path) == {'a': (0.2, 2, ['n1-s0000', 'n2-s0000'])}


def test_runs_of_score_are_taken_up_once_also_those_that_came_late(tmp_path: pathlib.Path) -> None:
  write_run(tmp_path, 'n0', [scored('i1', 'a', 0.1)])
  write_night(tmp_path, 'n2', [[scored('i2', 'a', 0.2)]])
  assert shown(tmp_path) == {'a': (0.2, 2, ['n0', 'n2-s0000'])}
  write_run(tmp_path, 'n1', [scored('i2', 'a', 0.9), scored('i3', 'a', 0.3)])  # began before the night, ended after
  assert [one['studies'] for one in finish_night(tmp_path, 'n3')] == [1]
  assert shown(tmp_path) == {'a': (0.3, 3, ['n0', 'n1', 'n2-s0000'])}
  assert finish_night(tmp_path, 'n4') == []


def test_every_model_has_its_own_studies(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[scored('i1', 'a', 0.1)]])
  write_night(tmp_path, 'n2', [[scored('i1', 'a', 0.7)]], version='2')
  assert shown(tmp_path) == {'a': (0.1, 1, ['n1-s0000'])}
  assert shown(tmp_path, 'cnn-2') == {'a': (0.7, 1, ['n2-s0000'])}
  assert shown(tmp_path, 'cnn-3') == {}


def test_of_a_run_of_several_models_each_has_its_own_studies(tmp_path: pathlib.Path) -> None:
  joint = {'1': [scored('i1', 'a', 0.1), scored('i2', 'a', 0.2)], '2': [scored('i1', 'a', 0.7), scored('i2', 'a', 0.9)]}
  write_joint_run(tmp_path, 'n0', joint)
  assert [(one['model'], one['studies']) for one in finish_night(tmp_path, 'n1')] == [('cnn-1', 1), ('cnn-2', 1)]
  write_night(tmp_path, 'n2', [[scored('i3', 'a', 0.3)]])
  assert shown(tmp_path) == {'a': (0.3, 3, ['n0', 'n2-s0000'])}
  assert shown(tmp_path, 'cnn-2') == {'a': (0.9, 2, ['n0'])}
  assert finish_night(tmp_path, 'n3') == []


def test_the_statement_of_the_readme_gives_the_same_studies(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[scored('i1', 'a', 0.1), scored('i2', 'b', 0.2)]])
  write_night(tmp_path, 'n2', [[scored('i2', 'a', 0.9), scored('i3', 'c', 0.3)]])
  write_night(tmp_path, 'n3', [[scored('i3', 'c', 0.4)]])
  write_night(tmp_path, 'n4', [[scored('i3', 'c', 0.5)]], version='2')
  write_night(tmp_path, 'n5', [[scored('i1', 'a', 0.6)]])
  pathlib.Path(record_path(str(tmp_path), 'n3')).unlink()
  write_record(record_path(str(tmp_path), 'n5'), read_record(str(tmp_path), 'n5') | {'pruned': '2026-01-01'})
  with duckdb.connect() as database:
    for statement in _STATEMENTS:
      database.execute(statement.replace('nights/', f'{tmp_path}/'))
    found = database.sql(f'SELECT {", ".join(STUDIES.names)} FROM studies').to_arrow_table()
  both = [one for model in ('cnn-1', 'cnn-2') for one in current_studies(str(tmp_path), model).to_pylist()]
  assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, both))
  assert sorted((one['study_id'], one['probability']) for one in both) == [('a', 0.9), ('c', 0.3), ('c', 0.5)]


def test_what_is_no_study_has_no_row(tmp_path: pathlib.Path) -> None:
  write_run(tmp_path, 'n1-s0000', [row('i1', 's1', study_id=None)])
  (published,) = finish_night(tmp_path, 'n1')
  assert (published['studies'], published['folder'], published['runs']) == (0, None, ['n1-s0000'])
  assert not (tmp_path / 'studies').exists()
  assert finish_night(tmp_path, 'n2') == [], 'the run is not looked at again'


def test_rows_that_were_pruned_count_no_more_once_their_study_is_touched(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[scored('i1', 'a', 0.9)]])
  write_night(tmp_path, 'n2', [[scored('i2', 'b', 0.2)]])
  path = record_path(str(tmp_path), 'n1-s0000')
  write_record(path, read_record(str(tmp_path), 'n1-s0000') | {'pruned': '2026-01-01'})
  assert shown(tmp_path)['a'][0] == 0.9
  write_night(tmp_path, 'n3', [[scored('i3', 'a', 0.1)]])
  assert shown(tmp_path)['a'] == (0.1, 1, ['n3-s0000'])


def test_a_night_stands_while_one_of_its_rows_is_the_latest(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[scored('i1', 'a', 0.1), scored('i2', 'b', 0.1)]])
  write_night(tmp_path, 'n2', [[scored('i1', 'a', 0.2)]])
  assert standing_nights(str(tmp_path)) == {'n1', 'n2'}
  write_night(tmp_path, 'n3', [[scored('i3', 'a', 0.2), scored('i2', 'b', 0.1)]])
  assert standing_nights(str(tmp_path)) == {'n3'}


def clashes(output: pathlib.Path, night: str) -> list[int]:
  return [one['uid_clashes'] for one in read_record(str(output), night)['studies']]


def test_patients_of_one_uid_keep_their_studies_and_are_counted(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[of_uid('i1', 'p', False, 0.1, 'a'), of_uid('i2', 'p', False, 0.2, 'b')]])
  write_night(tmp_path, 'n2', [[of_uid('i1', 'q', False, 0.3, 'c')]])
  assert shown(tmp_path) == {
    'a': (0.1, 1, ['n1-s0000']),
    'b': (0.2, 1, ['n1-s0000']),
    'c': (0.3, 1, ['n2-s0000']),
  }
  assert (clashes(tmp_path, 'n1'), clashes(tmp_path, 'n2')) == ([0], [1])
  assert [one['studies'] for one in read_record(str(tmp_path), 'n2')['studies']] == [1], 'the others are as they were'
  write_night(tmp_path, 'n3', [[of_uid('i1', 'q', False, 0.4, 'd')]])  # of another study now
  assert shown(tmp_path) == {'a': (0.1, 1, ['n1-s0000']), 'b': (0.2, 1, ['n1-s0000']), 'd': (0.4, 1, ['n3-s0000'])}


def test_what_clashed_and_comes_alone_later_is_in_its_study_once(tmp_path: pathlib.Path) -> None:
  write_night(tmp_path, 'n1', [[of_uid('i1', 'p', True, 0.1, 'a'), of_uid('i1', 'q', True, 0.2, 'b')]])
  write_night(tmp_path, 'n2', [[of_uid('i1', 'p', False, 0.3, 'a')]])
  assert shown(tmp_path) == {'a': (0.3, 1, ['n2-s0000']), 'b': (0.2, 1, ['n1-s0000'])}
  write_night(tmp_path, 'n3', [[of_uid('i1', 'p', True, 0.4, 'a'), of_uid('i1', 'q', True, 0.5, 'b')]])
  assert shown(tmp_path) == {'a': (0.4, 1, ['n3-s0000']), 'b': (0.5, 1, ['n3-s0000'])}
  assert [clashes(tmp_path, night) for night in ('n1', 'n2', 'n3')] == [[0], [1], [0]]


def test_a_patient_that_was_corrected_leaves_its_study(tmp_path: pathlib.Path) -> None:
  wrong = of_uid('i1', 'p', False, 0.1, 'a')
  write_night(tmp_path, 'n1', [[wrong, of_uid('i2', 'p', False, 0.2, 'a')]])
  write_night(tmp_path, 'n2', [[wrong | {'patient_id': 'q', 'study_id': 'b'}]])
  assert shown(tmp_path) == {'a': (0.2, 1, ['n1-s0000']), 'b': (0.1, 1, ['n2-s0000'])}
  assert clashes(tmp_path, 'n2') == [0]


# --- all of it at once, against a recomputation


@dataclass(frozen=True)
class Run:
  """A slice that a night of that number publishes, or a run of `score` that began before that night."""

  night: int
  plain: bool
  rows: list[Row]


def _row(
  image: str | None, file: str, study: str | None, probability: float, frame: int | None, patient: str, clash: bool
) -> Row:
  """Of an image; each patient has other pixels and studies under a UID, whether that is seen to clash or not."""
  if image is None:
    return row(None, f's-{file}-{frame}', 'rejected', frame, file_id=file, study_id=study, quality=[])
  values: Row = {'study_id': study and f'{study}-{patient}', 'file_id': file, 'patient_id': patient}
  return of_uid(image, patient, clash, probability, **values, source_id=f's-{file}-{image}-{patient}')


def of_uid(name: str, patient: str, clash: bool, probability: float, study: str = '', **values: Any) -> Row:
  """A scored row, whose id is of a UID, or of that and of pixels."""
  uid, pixels = hashlib.md5(name.encode()).hexdigest(), hashlib.sha256(f'{name} {patient}'.encode()).hexdigest()
  facts: Row = {'patient_id': patient, 'pixel_sha256': pixels, 'preprocess_digest': 'd'}
  return scored(clash_id(uid, pixels) if clash else uid, study, probability, **facts | values)


_ROWS = st.builds(
  _row,
  st.sampled_from([None, 'i1', 'i2', 'i3', 'i4']),
  st.sampled_from(['f1', 'f2']),
  st.sampled_from([None, 'a', 'b', 'c']),
  st.sampled_from([0.1, 0.2, 0.6, 0.9]),
  st.sampled_from([None, 1]),
  st.sampled_from(['p', 'p', 'q']),
  st.booleans(),
)
_RUNS = st.builds(
  Run,
  st.integers(1, 5),
  st.booleans(),
  st.lists(_ROWS, min_size=1, max_size=4, unique_by=lambda one: (one['source_id'], one['frame'])),
)


def expected(runs: Sequence[list[Row]]) -> dict[str, tuple[Any, ...]]:
  """By study: the highest probability, and how many rows were scored and rejected."""
  studies: dict[str, list[Row]] = {}
  for one in standing(list(runs)):
    if one['study_id']:
      studies.setdefault(one['study_id'], []).append(one)
  return {
    study: (
      max((one['probability'] for one in rows if one['status'] == 'scored'), default=None),
      sum(one['status'] == 'scored' for one in rows),
      sum(one['status'] == 'rejected' for one in rows),
    )
    for study, rows in studies.items()
  }


@pytest.mark.parametrize('late', [False, True])
@given(runs=st.lists(_RUNS, max_size=7))
@settings(max_examples=60, deadline=None)
def test_after_every_night_the_studies_are_those_of_all_current_rows(late: bool, runs: list[Run]) -> None:
  with tempfile.TemporaryDirectory() as folder:
    output = pathlib.Path(folder)
    written: dict[str, list[Row]] = {}
    for night in range(1, 6):
      # Ids sort by when a run began: one of `score` that came late began before the night before.
      for number, run in enumerate(run for run in runs if run.night == night):
        begun = night - 2 if late else night - 1
        run_id = f'n{begun}-x{night}{number}' if run.plain else f'n{night}-s{number:04}'
        write_run(output, run_id, run.rows)
        written[run_id] = run.rows
      finish_night(output, f'n{night}')
      rows = current_studies(str(output), 'cnn-1').to_pylist()
      found = {one['study_id']: (one['probability'], one['images_scored'], one['images_rejected']) for one in rows}
      assert found == expected([written[run_id] for run_id in sorted(written)])
      assert len(rows) == len(found)
      in_runs = {run_id for one in rows for run_id in one['image_run_ids']}
      of_rows = [one for one in current(str(output)).to_pylist() if one['study_id']]
      assert in_runs == {one['run_id'] for one in of_rows}
