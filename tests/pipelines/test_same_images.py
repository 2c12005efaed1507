import hashlib
import pathlib

import pyarrow as pa
import pytest

from pipelines.current import latest_rows, prediction_runs, standing_runs
from pipelines.same_images import split
from tests.pipelines.written_runs import Row, row, write_run
from transforms.uid_clashes import clash_id

I1 = hashlib.md5(b'i1').hexdigest()


def one(run: int, patient: str | None, pixels: str | None, *, clash: bool = False, preprocess: str = 'd') -> Row:
  """A row of UID `i1`."""
  digest = pixels and hashlib.sha256(pixels.encode()).hexdigest()
  image_id = clash_id(I1, digest) if clash and digest else I1
  status = 'scored' if pixels else 'rejected'
  facts: Row = {'run': run, 'patient_id': patient, 'pixel_sha256': digest, 'preprocess_digest': preprocess}
  return row(image_id, f's{run}{patient}{pixels}', status, **facts)


@pytest.mark.parametrize(
  ('rows', 'standing'),
  [
    pytest.param([one(0, 'p', 'a'), one(1, 'q', 'b')], [0, 1], id='other patient and pixels'),
    pytest.param([one(0, 'p', 'a'), one(1, 'p', 'b')], [1], id='other pixels'),
    pytest.param([one(0, 'p', 'a'), one(1, 'q', 'a')], [1], id='other patient'),
    pytest.param([one(0, 'p', 'a'), one(1, None, 'b')], [1], id='patient not known'),
    pytest.param([one(0, None, 'a'), one(1, 'q', 'b')], [1], id='earlier patient not known'),
    pytest.param([one(0, 'p', 'a'), one(1, 'q', None)], [1], id='no pixels'),
    pytest.param([one(0, 'p', None), one(1, 'q', 'a')], [1], id='no pixels earlier'),
    pytest.param([one(0, 'p', 'a'), one(1, 'q', 'b', preprocess='e')], [1], id='pixels of another model'),
    pytest.param([one(0, 'p', 'a'), one(0, 'q', 'b')], [0, 1], id='one run, of a version that saw no clash'),
    pytest.param([one(0, 'p', 'a'), one(1, 'p', 'a', clash=True), one(1, 'q', 'b', clash=True)], [1, 2], id='alone'),
    pytest.param([one(0, 'p', 'a', clash=True), one(0, 'q', 'b', clash=True), one(1, 'p', 'a')], [1, 2], id='later'),
    pytest.param([one(0, 'p', 'a', clash=True), one(0, 'q', 'b', clash=True), one(1, 'p', 'c')], [1, 2], id='new'),
    pytest.param([one(0, 'p', 'a', clash=True), one(0, 'p', 'b', clash=True), one(1, 'p', 'a')], [1, 2], id='one of'),
    pytest.param([one(0, 'p', 'a', clash=True), one(0, 'q', 'b', clash=True), one(1, 'r', None)], [0, 1, 2], id='none'),
    pytest.param([one(0, 'p', 'a', clash=True), one(0, 'q', 'b', clash=True), one(1, 'q', None)], [0, 2], id='of one'),
    pytest.param([one(0, 'p', 'a'), one(1, 'q', 'b'), one(2, 'r', 'c'), one(3, 'q', 'c')], [0, 3], id='both moved'),
  ],
)
def test_a_uid_of_several_images_has_a_row_of_each(rows: list[Row], standing: list[int]) -> None:
  table = pa.Table.from_pylist(rows)
  for order in (range(len(rows)), reversed(range(len(rows)))):
    positions = list(order)
    stand = latest_rows(table.take(pa.array(positions))).to_pylist()
    assert sorted(positions[place] for place in stand) == standing


@pytest.mark.parametrize(
  ('rows', 'is_split'),
  [
    ([one(0, 'p', 'a'), one(1, 'q', 'b')], True),
    ([one(0, 'p', 'a'), one(1, 'p', 'b')], False),
    ([one(0, 'p', 'a'), one(1, 'q', 'a')], False),
    ([one(0, 'p', 'a'), one(1, 'q', None)], False),
    ([one(0, 'p', 'a', clash=True), one(0, 'p', 'b', clash=True)], True),
  ],
)
def test_a_uid_is_split_where_two_of_its_rows_are_of_different_images(rows: list[Row], is_split: bool) -> None:
  assert split(pa.Table.from_pylist(rows)).to_pylist() == [is_split] * len(rows)


def test_a_row_that_hides_another_is_needed(tmp_path: pathlib.Path) -> None:
  output = str(tmp_path)
  # The second hides the first, whose patient was wrong; the third, corrected, hides the second but not the first.
  for number, (patient, pixels) in enumerate([('p', 'a'), ('q', 'a'), ('q', 'b')]):
    write_run(tmp_path, f'r{number}', [one(number, patient, pixels)])
  runs = prediction_runs(output)
  assert standing_runs(output, runs) == {'r0', 'r1', 'r2'}
  assert standing_runs(output, runs[1:]) == {'r2'}, 'there is nothing to hide'
