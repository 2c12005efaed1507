import dataclasses
import pathlib
import pickle
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.testing.util import assert_that, equal_to

from model.bundle import Bundle
from model.handler import BundlesModelHandler, HandlerOptions, MakeHandler
from pipelines import score_shards
from pipelines.score_rows import RowsOf, ShardEnd, ShardRow, decode_shard, with_predictions
from pipelines.score_shards import ScoreShards, ScoreSpec, _write_grouped, _WriteWhole
from pipelines.staging import ShardResult
from tests.pipelines.numpy_handler import NumpyHandler
from tests.pipelines.tiny_bundle import COLUMNS, FAILS_AT, SPEC, make_bundle, save_bundle, write_bundle
from tests.transforms.archive_files import tar_bytes, zip_bytes
from tests.transforms.pictures import png
from transforms.decode import DecodeOptions
from transforms.elements import Frame, HeaderFacts, Limits, Source
from transforms.errors import InputError
from transforms.identifiers import Pseudonyms, create_key, read_key
from transforms.inputs import list_input, name_inputs
from transforms.rows import image_row
from transforms.shards import Shard, pack_shards

IMAGES, FAILS = 70, 33


def picture(corner: int) -> bytes:
  pixels = np.full((16, 16), 250, np.uint8)  # no corner has it, so that no picture is blank
  pixels[0, 0] = corner
  return png(pixels)


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
  return save_bundle(tmp_path_factory.mktemp('bundle'))


def score_spec(tmp_path: pathlib.Path, bundle: Bundle) -> ScoreSpec:
  create_key(str(tmp_path / 'key'))
  handler = HandlerOptions(max_batch_size=16)
  staging = str(tmp_path / 'staging')
  models = (RowsOf(bundle, COLUMNS, staging),)
  return ScoreSpec(DecodeOptions(SPEC), handler, models, staging, str(tmp_path / 'key'))


@pytest.fixture
def shards(tmp_path: pathlib.Path) -> list[Shard]:
  """A zip of images, of which the model fails on one, and of what is none; a stream; a broken archive."""
  members = [(f'{number:02d}', picture(FAILS_AT if number == FAILS else number)) for number in range(IMAGES)]
  members.insert(5, ('text', b'read me'))
  folder = tmp_path / 'in'
  folder.mkdir()
  (folder / 'a.zip').write_bytes(zip_bytes(members))
  (folder / 'b.tgz').write_bytes(tar_bytes([('1', picture(200)), ('2', b'')], 'w:gz'))
  (folder / 'c.zip').write_bytes(b'PK\x03\x04')
  batches = list(list_input(name_inputs([str(folder)])[0], Limits()))
  return pack_shards(batches, cores=1)


Line = tuple[str, str, str | None, float | None]  # source_id, status, reason, probability


def expected_lines(spec: ScoreSpec) -> list[tuple[int, list[Line]]]:
  """The stream first, then the zip by 32 members, the broken archive at the end: computed without the model."""
  pseudonyms = Pseudonyms(read_key(spec.key_path))

  def line(archive: str, member: str, reason: str | None, corner: int = 0) -> Line:
    status = 'scored' if reason is None else InputError(reason).status
    probability = corner / 256 if reason is None else None
    return pseudonyms.source(Source(f'in/{archive}', member)), status, reason, probability

  images = [line('a.zip', f'{n:02d}', 'inference-failed' if n == FAILS else None, n) for n in range(IMAGES)]
  images.insert(5, line('a.zip', 'text', 'auxiliary-file'))
  stream = [line('b.tgz', '1', None, 200), line('b.tgz', '2', 'empty-file')]
  last = [*images[64:], line('c.zip', '', 'archive-corrupt')]
  return list(enumerate([stream, images[:32], images[32:64], last]))


def read_lines(result: ShardResult) -> tuple[int, list[Line]]:
  [file] = result.files
  rows = pq.read_table(file.path).to_pylist()
  return result.number, [(r['source_id'], r['status'], r['reason'], r['probability']) for r in rows]


def sources(result: ShardResult) -> tuple[int, int, int]:
  return result.number, result.listed, result.written


def run(runner: fn_runner.FnApiRunner, shards: list[Shard], spec: ScoreSpec) -> None:
  expected = expected_lines(spec)
  with beam.Pipeline(runner=runner) as pipeline:
    results = pipeline | 'Shards' >> beam.Create(shards) | 'Spread' >> beam.Reshuffle() | 'Score' >> ScoreShards(spec)
    assert_that(results | 'ReadLines' >> beam.Map(read_lines), equal_to(expected), label='CheckLines')
    conserved = [(number, len(lines), len(lines)) for number, lines in expected]
    assert_that(results | 'Sources' >> beam.Map(sources), equal_to(conserved), label='CheckSources')


def contents(spec: ScoreSpec) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in pathlib.Path(spec.staging, 'predictions').iterdir()}


@pytest.mark.parametrize('make_handler', [BundlesModelHandler.of, NumpyHandler])
def test_every_row_comes_once_in_order_with_its_score_or_its_reason(
  tmp_path: pathlib.Path,
  shards: list[Shard],
  bundle: Bundle,
  runner: fn_runner.FnApiRunner,
  make_handler: MakeHandler,
) -> None:
  """By the SavedModel, and by the handler that tests have in its place."""
  spec = dataclasses.replace(score_spec(tmp_path, bundle), make_handler=make_handler)
  assert pickle.loads(pickle.dumps(spec)) == spec, 'it goes to workers elsewhere'
  run(runner, shards, spec)
  assert len(contents(spec)) == 4


def test_a_second_run_takes_what_is_finished_and_decodes_only_the_rest(
  tmp_path: pathlib.Path,
  shards: list[Shard],
  bundle: Bundle,
  runner: fn_runner.FnApiRunner,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  spec = score_spec(tmp_path, bundle)
  run(runner, shards, spec)
  before = contents(spec)
  lost = next(name for name in before if name.startswith('shard-00002-'))
  pathlib.Path(spec.staging, 'predictions', lost).unlink()
  decoded: list[int] = []

  def spy(shard: Shard, *args: Any, **more: Any) -> Iterator[Any]:
    decoded.append(shard.number)
    return decode_shard(shard, *args, **more)

  monkeypatch.setattr(score_shards, 'decode_shard', spy)
  run(runner, shards, spec)
  assert decoded == [2]
  assert sorted(contents(spec).values()) == sorted(before.values())


def test_a_crosswalk_part_is_written_for_every_shard(
  tmp_path: pathlib.Path, shards: list[Shard], bundle: Bundle, runner: fn_runner.FnApiRunner
) -> None:
  spec = dataclasses.replace(score_spec(tmp_path, bundle), crosswalk=str(tmp_path / 'crosswalk'))
  with beam.Pipeline(runner=runner) as pipeline:
    results = pipeline | 'Shards' >> beam.Create(shards) | 'Score' >> ScoreShards(spec)
    roles = results | 'Roles' >> beam.Map(lambda result: sorted(file.role for file in result.files))
    assert_that(roles, equal_to([['crosswalk', 'predictions']] * 4))


def one_shard() -> list[ShardRow | ShardEnd]:
  pseudonyms = Pseudonyms(bytes(range(32)))
  frame = Frame(1, HeaderFacts(), np.zeros((16, 16), np.uint8))
  images = [ShardRow(0, n, 'f', image_row(Source('a', str(n)), 'c', frame, pseudonyms)) for n in range(5)]
  scored = [with_predictions(row, [np.array([0.5, 0.5], np.float32)]) for row in images]
  reject = ShardRow(0, 5, 'f', image_row(Source('a', 'x'), None, Frame(None, HeaderFacts(), error=ERROR), pseudonyms))
  return [*scored, reject, ShardEnd(0, 'f', 6, 6, ())]


ERROR = InputError('empty-file')


def write_in_bundles(spec: ScoreSpec, bundles: list[list[ShardRow | ShardEnd]]) -> list[ShardResult]:
  """What `_WriteWhole` and, for pieces, the step behind it write; each list is a bundle."""
  write_whole = _WriteWhole(spec)
  written: list[ShardResult] = []
  pieces: list[Any] = []
  for items in bundles:
    write_whole.start_bundle()
    for item in items:
      written.extend(write_whole.process(item))
    pieces.extend(output.value.value for output in write_whole.finish_bundle())
  if pieces:
    assert {number for number, _ in pieces} == {0}
    written.extend(_write_grouped((0, [piece for _, piece in pieces]), spec))
  return written


@pytest.mark.parametrize('cut', range(1, 7))
@pytest.mark.parametrize('backwards', [False, True])
def test_a_shard_in_pieces_gives_the_same_file_as_a_whole_one(
  tmp_path: pathlib.Path, cut: int, backwards: bool
) -> None:
  spec = score_spec(tmp_path, make_bundle(tmp_path))
  items = one_shard()
  [whole] = write_in_bundles(spec, [items])
  [pieced] = write_in_bundles(spec, [items[cut:], items[:cut]] if backwards else [items[:cut], items[cut:]])
  assert pieced.content == whole.content
  assert whole.written == 6


def test_a_shard_is_written_as_soon_as_it_is_whole_whatever_comes_last(tmp_path: pathlib.Path) -> None:
  spec = score_spec(tmp_path, make_bundle(tmp_path))
  write_whole = _WriteWhole(spec)
  write_whole.start_bundle()
  *first, last = one_shard()[::-1]
  assert [result for item in first for result in write_whole.process(item)] == []
  assert [result.number for result in write_whole.process(last)] == [0]
  assert list(write_whole.finish_bundle()) == []


def test_pieces_without_an_end_are_a_bug(tmp_path: pathlib.Path) -> None:
  spec = score_spec(tmp_path, make_bundle(tmp_path))
  with pytest.raises(ValueError, match='the end of a shard got lost'):
    write_in_bundles(spec, [one_shard()[:-1]])


def test_two_models_score_what_was_decoded_once(
  tmp_path: pathlib.Path,
  shards: list[Shard],
  bundle: Bundle,
  runner: fn_runner.FnApiRunner,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  """Each has all the rows; where one of them has lost a shard, that shard is scored again by both."""
  spec = score_spec(tmp_path, bundle)
  darker = write_bundle(tmp_path / 'darker', '2', brightest=512)
  columns = dataclasses.replace(COLUMNS, model_version='2', config_digest='e' * 64)
  models = (
    dataclasses.replace(spec.models[0], staging=f'{spec.staging}/0'),
    RowsOf(darker, columns, f'{spec.staging}/1', 1),
  )
  spec = dataclasses.replace(spec, models=models)
  decoded: list[int] = []

  def spy(shard: Shard, *args: Any, **more: Any) -> Iterator[Any]:
    decoded.append(shard.number)
    return decode_shard(shard, *args, **more)

  monkeypatch.setattr(score_shards, 'decode_shard', spy)
  expected = [(0, *lines) for lines in expected_lines(spec)]
  expected += [(1, number, [halved(line) for line in lines]) for number, lines in expected_lines(spec)]
  for _ in range(2):
    with beam.Pipeline(runner=runner) as pipeline:
      results = pipeline | 'Shards' >> beam.Create(shards) | 'Score' >> ScoreShards(spec)
      found = results | 'ReadLines' >> beam.Map(lambda result: (result.model, *read_lines(result)))
      assert_that(found, equal_to(expected))
    lost = next(pathlib.Path(models[1].staging, 'predictions').glob('shard-00002-*'))
    lost.unlink()
  assert sorted(decoded) == [0, 1, 2, 2, 3]


def halved(line: Line) -> Line:
  return (*line[:3], None if line[3] is None else line[3] / 2)
