import dataclasses
import pathlib
import stat

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from pipelines.dataset_shards import (
  SAMPLES_PER_SHARD,
  Annotated,
  Annotator,
  DatasetSpec,
  encode_example,
  write_dataset_shard,
)
from pipelines.staging import ShardResult
from tests.transforms.archive_files import zip_bytes
from tests.transforms.pictures import gradient, png
from transforms.decode import DecodeOptions
from transforms.elements import Frame, HeaderFacts, Limits, Source
from transforms.errors import InputError
from transforms.identifiers import Pseudonyms
from transforms.inputs import list_input, name_inputs
from transforms.labels import LabelError, LabelRow, LabelTable
from transforms.preprocess import PreprocessSpec
from transforms.shards import pack_shards
from transforms.splits import PatientRule, SplitSpec, bucket_of, split_of

SPEC = DatasetSpec(DecodeOptions(PreprocessSpec(16)), 'folder', PatientRule('pattern', r'p\d+'), SplitSpec(0.3, 0.3))
PSEUDONYMS = Pseudonyms(bytes(range(32)))
PIXELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
FRAME = Frame(1, HeaderFacts(patient_id='D'), PIXELS, original=PIXELS)
NO_SPLIT = SplitSpec(0, 0)
CALLED = LabelTable({'patient_id': {'D': LabelRow('Jane Roe', 'Roe, Jane')}})
TABLE = LabelTable({'patient_id': {'D': LabelRow('sick', 'C')}})


@pytest.mark.parametrize(
  ('changes', 'table', 'member', 'expected'),
  [
    ({}, None, 'NORMAL/p1.png', ('NORMAL', split_of('p1', SPEC.split), None)),
    ({}, None, 'p1.png', (None, None, 'label-missing')),
    ({}, None, 'NORMAL/x.png', ('NORMAL', None, 'patient-missing')),
    ({'split': NO_SPLIT}, None, 'NORMAL/x.png', ('NORMAL', 'train', None)),
    ({'labels': 'none'}, None, 'p1.png', (None, split_of('p1', SPEC.split), None)),
    ({'labels': 'none', 'split': NO_SPLIT}, None, 'x.png', (None, 'train', None)),
    ({'labels': 'a.csv', 'patient': PatientRule()}, TABLE, 'x.png', ('sick', split_of('C', SPEC.split), None)),
    ({'labels': 'a.csv', 'patient': PatientRule('dicom')}, TABLE, 'x', ('sick', split_of('D', SPEC.split), None)),
    ({'labels': 'a.csv'}, LabelTable({}), 'NORMAL/p1.png', (None, None, 'label-missing')),
  ],
)
def test_an_image_gets_label_and_split_or_the_reason_why_not(
  changes: dict[str, object], table: LabelTable | None, member: str, expected: tuple[str | None, str | None, str | None]
) -> None:
  annotator = Annotator(dataclasses.replace(SPEC, **changes), table)  # type: ignore[arg-type]
  found = annotator.annotate(Source('a', member), FRAME)
  frame = found.frame
  assert (found.label, found.split, frame.error.code if frame.error else None) == expected
  assert (frame.pixels is None) == (frame.original is None) == (expected[2] is not None)


@pytest.mark.parametrize(
  ('member', 'facts', 'changes', 'table'),
  [
    ('DOE_JOHN/p1.dcm', {'patient_name': 'DOE^JOHN'}, {}, None),
    ('ID-1234/p1.dcm', {'patient_id': 'id1234'}, {}, None),
    ('DOE_JOHN/x.dcm', {'patient_name': 'DOE^JOHN'}, {}, None),  # also where no patient is found
    ('ann1/1.png', {}, {'patient': PatientRule('pattern', '[^/]+')}, None),
    (
      'x.dcm',
      {'patient_id': 'D'},
      {'labels': 'a.csv'},
      CALLED,
    ),
  ],
)
def test_a_label_that_names_the_patient_is_refused_and_not_shown(
  member: str, facts: dict[str, str], changes: dict[str, object], table: LabelTable | None
) -> None:
  annotator = Annotator(dataclasses.replace(SPEC, **changes), table)  # type: ignore[arg-type]
  frame = dataclasses.replace(FRAME, facts=HeaderFacts(**facts))  # type: ignore[arg-type]
  with pytest.raises(LabelError, match='found a label that is the name or an id') as caught:
    annotator.annotate(Source('a', member), frame)
  shown = f'{caught.value} {frame.facts}'.lower()
  assert not any(word in shown for word in ('doe', 'jane', 'ann1'))


@pytest.mark.parametrize(
  ('split', 'member', 'patient'),
  [(SPEC.split, 'NORMAL/p1.png', 'p1'), (NO_SPLIT, 'NORMAL/p1.png', 'p1'), (NO_SPLIT, 'NORMAL/x.png', None)],
)
def test_an_image_gets_the_bucket_of_its_patient_where_one_is_known(
  split: SplitSpec, member: str, patient: str | None
) -> None:
  found = Annotator(dataclasses.replace(SPEC, split=split), None).annotate(Source('a', member), FRAME)
  assert found.bucket == (None if patient is None else bucket_of(patient, split))


def test_a_frame_that_failed_keeps_its_own_reason() -> None:
  failed = Frame(1, HeaderFacts(), error=InputError('blank'))
  assert Annotator(SPEC, None).annotate(Source('a', 'p1'), failed) == Annotated(failed)


@pytest.mark.parametrize('shape', [(16, 8), (16, 8, 3)])
def test_an_example_holds_the_pixels_as_they_are(shape: tuple[int, ...]) -> None:
  pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  for label in ('sick', None):
    bucket = None if label is None else 59
    features = tf.train.Example.FromString(encode_example('id', pixels, label, bucket)).features.feature
    assert features['image'].bytes_list.value[0] == pixels.tobytes()
    assert (features['height'].int64_list.value[0], features['width'].int64_list.value[0]) == (16, 8)
    assert features['image_id'].bytes_list.value[0] == b'id'
    assert ('label' in features) == (label is not None)
    assert label is None or features['label'].bytes_list.value[0] == b'sick'
    assert list(features['patient_bucket'].int64_list.value) == ([] if bucket is None else [bucket])


def picture(number: int) -> NDArray[np.uint8]:
  return np.roll(gradient(16, 16, 8), number, axis=1).astype(np.uint8)


IMAGES = 40


def write(tmp_path: pathlib.Path, spec: DatasetSpec = SPEC) -> ShardResult:
  """One shard of a zip: images of 40 patients in two folders, and what is none."""
  members = [(f'{"NS"[number % 2]}/p{number}.png', png(picture(number))) for number in range(IMAGES)]
  (tmp_path / 'in.zip').write_bytes(zip_bytes([*members, ('S/readme', b'text'), ('p99.png', png(picture(99)))]))
  [given] = name_inputs([str(tmp_path / 'in.zip')])
  batches = list(list_input(given, Limits()))
  [shard] = [dataclasses.replace(shard, batches=tuple(batches)) for shard in pack_shards(batches, 1)[:1]]
  return write_dataset_shard(shard, 'f', str(tmp_path / 'staging'), Annotator(spec, None), PSEUDONYMS)


def test_a_shard_is_written_as_rows_and_as_examples_of_the_same_images(tmp_path: pathlib.Path) -> None:
  result = write(tmp_path)
  paths = {file.role: file.path for file in result.files}
  rows = pq.read_table(paths['index']).to_pylist()
  assert (result.listed, result.written, len(rows)) == (IMAGES + 2, IMAGES + 2, IMAGES + 2)
  assert [(row['status'], row['reason']) for row in rows[IMAGES:]] == [
    ('skipped', 'auxiliary-file'),
    ('skipped', 'label-missing'),
  ]
  assert dict(result.counts)['skipped', 'label-missing', '', ''] == 1
  for split in ('train', 'val', 'test'):
    wanted = [
      (PSEUDONYMS.source(Source('in.zip', f'{"NS"[number % 2]}/p{number}.png')), number)
      for number in range(IMAGES)
      if split_of(f'p{number}', SPEC.split) == split
    ]
    assert wanted
    examples = [
      tf.train.Example.FromString(record.numpy()).features.feature
      for record in tf.data.TFRecordDataset(paths[f'examples/{split}'])
    ]
    assert [features['image'].bytes_list.value[0] for features in examples] == [
      picture(number).tobytes() for _, number in wanted
    ]
    of_split = [row for row in rows if row['split'] == split]
    assert [row['source_id'] for row in of_split] == [source_id for source_id, _ in wanted]
    assert [row['image_id'].encode() for row in of_split] == [f['image_id'].bytes_list.value[0] for f in examples]
    assert [row['label'].encode() for row in of_split] == [f['label'].bytes_list.value[0] for f in examples]
    buckets = [bucket_of(f'p{number}', SPEC.split) for _, number in wanted]
    assert [row['patient_bucket'] for row in of_split] == buckets
    assert [f['patient_bucket'].int64_list.value[0] for f in examples] == buckets


def test_rows_carry_the_exact_sums_of_their_pixels(tmp_path: pathlib.Path) -> None:
  [index] = [file.path for file in write(tmp_path).files if file.role == 'index']
  rows = pq.read_table(index).to_pylist()
  values = picture(7).astype(np.int64)
  assert (rows[7]['pixel_sum'], rows[7]['pixel_sumsq'], rows[7]['pixel_count']) == (
    values.sum(), (values**2).sum(), 256
  )  # fmt: skip
  assert rows[IMAGES]['pixel_sum'] is None


def test_two_attempts_write_the_same_bytes(tmp_path: pathlib.Path) -> None:
  first, second = write(tmp_path), write(tmp_path)
  assert first.content == second.content
  assert {file.path for file in first.files}.isdisjoint(file.path for file in second.files)


def test_samples_are_of_the_first_images(tmp_path: pathlib.Path) -> None:
  result = write(tmp_path)
  [index] = [file.path for file in result.files if file.role == 'index']
  ids = [row['image_id'] for row in pq.read_table(index).to_pylist()]
  samples = {file.role: file.path for file in result.files if file.role.startswith('samples/')}
  assert list(samples) == [f'samples/{image_id}.png' for image_id in ids[:SAMPLES_PER_SHARD]]
  assert np.array_equal(np.asarray(Image.open(samples[f'samples/{ids[1]}.png'])), picture(1))


def test_the_crosswalk_has_a_line_for_every_row_and_is_private(tmp_path: pathlib.Path) -> None:
  result = write(tmp_path, dataclasses.replace(SPEC, crosswalk=str(tmp_path / 'crosswalk')))
  paths = {file.role: file.path for file in result.files}
  assert paths['crosswalk'].startswith(str(tmp_path / 'crosswalk'))
  assert stat.S_IMODE(pathlib.Path(paths['crosswalk']).stat().st_mode) == 0o600
  lines, rows = (pq.read_table(paths[role]).to_pylist() for role in ('crosswalk', 'index'))
  assert [line['source_id'] for line in lines] == [row['source_id'] for row in rows]
  assert lines[-1]['member'] == 'p99.png'


def test_names_of_patients_and_members_are_in_no_file_but_the_crosswalk(tmp_path: pathlib.Path) -> None:
  for file in write(tmp_path).files:
    content = pathlib.Path(file.path).read_bytes()
    shown = repr(pq.read_table(file.path).to_pylist()) if file.role == 'index' else content.decode('latin-1')
    assert 'p99' not in shown + file.path
