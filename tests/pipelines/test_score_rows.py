import dataclasses
import pathlib
import random

import numpy as np
import pyarrow.parquet as pq
import pytest

from model.handler import InferenceFailure, Prediction
from model.intended_use import from_facts
from pipelines.score_rows import (
  RowsOf,
  ShardEnd,
  ShardRow,
  decode_shard,
  prediction_row,
  with_predictions,
  write_predictions,
)
from pipelines.staging import StagedFile, find_finished
from tests.pipelines.tiny_bundle import COLUMNS, SPEC, make_bundle
from tests.transforms.archive_files import zip_bytes
from tests.transforms.pictures import dicom_dataset, dicom_file, gradient, png
from transforms.decode import DecodeOptions
from transforms.elements import Frame, HeaderFacts, Limits, Source
from transforms.errors import InputError
from transforms.identifiers import Pseudonyms
from transforms.inputs import list_input, name_inputs
from transforms.rows import image_row
from transforms.shards import Shard
from transforms.statistics import score_bin

PSEUDONYMS = Pseudonyms(bytes(range(32)))
BUNDLE = make_bundle(pathlib.Path('nowhere'))
PIXELS = np.zeros((16, 16), np.uint8)
END = ShardEnd(3, 'f', 4, 4, ())


def shard_row(position: int, error: InputError | None = None) -> ShardRow:
  frame = Frame(1, HeaderFacts(modality='DX'), None if error else PIXELS, error)
  return ShardRow(3, position, 'f', image_row(Source('a.zip', str(position)), 'c' * 64, frame, PSEUDONYMS))


def scored(position: int) -> ShardRow:
  return with_predictions(shard_row(position), [np.array([0.75, 0.25], np.float32)])


@pytest.mark.parametrize(('sick', 'label'), [(0.5, 'sick'), (0.49, 'healthy'), (1.0, 'sick'), (0.0, 'healthy')])
def test_a_score_becomes_a_label_by_the_threshold(sick: float, label: str) -> None:
  row = with_predictions(shard_row(0), [np.array([1 - sick, sick], np.float32)])
  line = prediction_row(row, RowsOf(BUNDLE, COLUMNS, ''), dataclasses.asdict(COLUMNS))
  assert (line['status'], line['predicted_label'], line['threshold']) == ('scored', label, 0.5)
  assert line['probability'] == pytest.approx(sick)
  assert [score['label'] for score in line['scores']] == ['healthy', 'sick']
  assert [score['probability'] for score in line['scores']] == pytest.approx([1 - sick, sick])
  assert (line['run_id'], line['model_name'], line['modality']) == ('run7', 'tiny', 'DX')


def test_an_image_that_the_model_fails_on_is_a_reject() -> None:
  row = with_predictions(shard_row(0), [InferenceFailure('InvalidArgumentError')])
  line = prediction_row(row, RowsOf(BUNDLE, COLUMNS, ''), dataclasses.asdict(COLUMNS))
  assert (line['status'], line['reason'], line['detail']) == ('rejected', 'inference-failed', 'InvalidArgumentError')
  assert 'probability' not in line
  assert line['image_id'] == shard_row(0).row.image_id


def test_a_scored_image_unlike_the_training_images_is_flagged_and_a_reject_is_not(tmp_path: pathlib.Path) -> None:
  bundle = dataclasses.replace(BUNDLE, intended_use=from_facts({'modality': {'CT': 50}}))
  [first, *_] = rows = rows_of_a_shard()
  rows[0] = dataclasses.replace(first, row=dataclasses.replace(first.row, quality=('clipped', 'tiny')))
  result = write_predictions(END, rows, RowsOf(bundle, COLUMNS, str(tmp_path)))
  flags = [line['quality'] for line in pq.read_table(result.files[0].path).to_pylist()]
  outside = ['outside-intended-use', 'outside-modality']
  assert flags == [['clipped', *outside, 'tiny'], [], outside, []]
  assert dict(result.quality) == {'clipped': 1, 'outside-intended-use': 2, 'outside-modality': 2, 'tiny': 1}
  assert result.statistics['all']['features']['quality'] == {'clipped tiny': 1, 'none': 1}


def rows_of_a_shard() -> list[ShardRow]:
  return [scored(0), shard_row(1, InputError('blank')), scored(2), shard_row(3, InputError('auxiliary-file'))]


def test_a_shard_is_written_in_its_order_and_marked_as_finished(tmp_path: pathlib.Path) -> None:
  shuffled = random.Random(1).sample(rows_of_a_shard(), 4)
  model = RowsOf(BUNDLE, COLUMNS, str(tmp_path))
  result = write_predictions(END, shuffled, model)
  lines = pq.read_table(result.files[0].path).to_pylist()
  assert [line['source_id'] for line in lines] == [row.row.source_id for row in rows_of_a_shard()]
  assert [line['status'] for line in lines] == ['scored', 'rejected', 'scored', 'skipped']
  assert dict(result.counts) == {
    ('scored', '', '', 'healthy'): 2, ('rejected', 'blank', '', ''): 1, ('skipped', 'auxiliary-file', '', ''): 1
  }  # fmt: skip
  assert (result.listed, result.written) == (4, 4)
  assert find_finished(str(tmp_path), 3, model.fingerprint('f')) == result


def test_what_was_scored_is_counted(tmp_path: pathlib.Path) -> None:
  rows = [dataclasses.replace(row, grey=(7, *[0] * 31)) for row in rows_of_a_shard()]
  statistics = write_predictions(END, rows, RowsOf(BUNDLE, COLUMNS, str(tmp_path))).statistics
  assert statistics['all']['images'] == 2
  features = statistics['all']['features']
  assert (features['modality'], features['intensity']) == ({'DX': 2}, {'0': 14})
  assert features['score'] == dict.fromkeys(score_bin(0.25).values(), 2)
  assert statistics['scanners'] == {}


def test_the_order_of_arrival_does_not_change_the_bytes(tmp_path: pathlib.Path) -> None:
  rows = rows_of_a_shard()
  results = [write_predictions(END, given, RowsOf(BUNDLE, COLUMNS, str(tmp_path))) for given in (rows, rows[::-1])]
  assert results[0].content == results[1].content


@pytest.mark.parametrize('positions', [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 3, 3], [1, 2, 3, 4]])
def test_rows_that_are_missing_or_came_twice_are_a_bug(tmp_path: pathlib.Path, positions: list[int]) -> None:
  model = RowsOf(BUNDLE, COLUMNS, str(tmp_path))
  with pytest.raises(ValueError, match=f'shard 3 has 4 rows, but {len(positions)} came'):
    write_predictions(END, [scored(position) for position in positions], model)
  assert find_finished(str(tmp_path), 3, model.fingerprint('f')) is None


@pytest.mark.parametrize('crosswalk', [False, True])
def test_a_shard_is_decoded_into_numbered_rows_and_its_end(tmp_path: pathlib.Path, crosswalk: bool) -> None:
  frames = dicom_file(dicom_dataset(np.stack([gradient(16, 16), gradient(16, 16)[::-1]]), NumberOfFrames=2))
  members = [('0', png(gradient(16, 16, 8))), ('1', b'text'), ('2', frames)]
  (tmp_path / 'x.zip').write_bytes(zip_bytes(members))
  batches = list_input(name_inputs([str(tmp_path / 'x.zip')])[0], Limits())
  folder = str(tmp_path / 'crosswalk') if crosswalk else ''
  shard = Shard(3, tuple(batches))
  items = list(decode_shard(shard, DecodeOptions(SPEC), PSEUDONYMS, folder))
  end = items.pop()
  assert isinstance(end, ShardEnd)
  assert (end.shard, end.fingerprint, end.rows, end.listed) == (3, shard.fingerprint, 4, 3)
  assert len(end.crosswalk) == int(crosswalk)
  rows = [item for item in items if not isinstance(item, ShardEnd)]
  assert [sum(row.grey or ()) for row, _ in rows] == [256, 0, 256, 256]  # pixels
  assert [(row.position, row.row.frame, row.row.reason, pixels is not None) for row, pixels in rows] == [
    (0, 1, None, True),
    (1, None, 'auxiliary-file', False),
    (2, 1, None, True),
    (3, 2, None, True),
  ]
  for part in end.crosswalk:
    lines = pq.read_table(part.path).to_pylist()
    assert [line['source_id'] for line in lines] == [row.row.source_id for row, _ in rows]


@pytest.mark.parametrize('number', [0, 1])
def test_each_model_writes_rows_of_its_own(tmp_path: pathlib.Path, number: int) -> None:
  """Two models: one that fails on the first image, and one that does not."""
  says: list[list[Prediction]] = [
    [InferenceFailure('InternalError'), np.array([0.25, 0.75], np.float32)],
    [np.array([0.75, 0.25], np.float32), np.array([0.0, 1.0], np.float32)],
  ]
  rows = [with_predictions(shard_row(position), said) for position, said in enumerate(says)]
  (tmp_path / 'crosswalk').write_bytes(b'x')
  crosswalk = (StagedFile('crosswalk', str(tmp_path / 'crosswalk'), 1, 'x'),)
  end = dataclasses.replace(END, rows=2, listed=2, crosswalk=crosswalk)
  model = RowsOf(BUNDLE, dataclasses.replace(COLUMNS, model_version=str(number)), str(tmp_path), number)
  result = write_predictions(end, rows, model)
  lines = pq.read_table(result.files[0].path).to_pylist()
  expected = [[('rejected', None), ('scored', 0.25)], [('scored', 0.75), ('scored', 1.0)]][number]
  assert [(line['status'], line['probability']) for line in lines] == expected
  assert {line['model_version'] for line in lines} == {str(number)}
  assert (result.model, result.listed, result.written) == (number, 2, 2)
  assert result.rejected_files == (('f',), ())[number]
  assert [file.role for file in result.files] == [['predictions', 'crosswalk'], ['predictions']][number]
  assert find_finished(str(tmp_path), 3, model.fingerprint('f')) == result
