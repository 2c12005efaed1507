import pathlib
from collections.abc import Iterable

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.testing.util import assert_that, equal_to

from tests.transforms.archive_files import tar_bytes, zip_bytes
from tests.transforms.pictures import gradient, png
from transforms.decode import DecodeOptions
from transforms.elements import Limits
from transforms.inputs import list_input, name_inputs
from transforms.preprocess import PreprocessSpec
from transforms.read_beam import ListShards, read_shard
from transforms.shards import Shard, pack_shards

OPTIONS = DecodeOptions(PreprocessSpec(16))
PNG = png(gradient(20, 20, 8))

Row = tuple[str, str, str]


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> list[pathlib.Path]:
  """Two inputs of the same name, with an archive of each kind."""
  for name in ('a/in', 'b/in'):
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / 'broken.zip').write_bytes(b'PK\x03\x04')
    (tmp_path / name / 'stream.tgz').write_bytes(tar_bytes([('1', PNG), ('2', b'')], 'w:gz'))
    (tmp_path / name / 'x.zip').write_bytes(zip_bytes([(f'{number:03d}', PNG) for number in range(70)]))
    (tmp_path / name / 'M\udcfcller.png').write_bytes(PNG)
  return [tmp_path / 'a/in', tmp_path / 'b/in']


def expected_rows(name: str) -> list[Row]:
  rows = [(f'{name}/x.zip', f'{number:03d}', 'ok') for number in range(70)]
  return [
    *rows,
    (name, 'M\\xfcller.png', 'ok'),
    (f'{name}/broken.zip', '', 'archive-corrupt'),
    (f'{name}/stream.tgz', '1', 'ok'),
    (f'{name}/stream.tgz', '2', 'empty-file'),
  ]


def read_rows(shard: Shard) -> Iterable[Row]:
  for batch in read_shard(shard, OPTIONS):
    assert batch.listed == len(batch.sources)
    for read in batch.sources:
      [frame] = read.frames
      yield read.source.archive, read.source.member, frame.error.code if frame.error else 'ok'


def test_everything_below_the_inputs_is_in_one_shard_and_comes_out_with_its_outcome(
  folders: list[pathlib.Path], runner: fn_runner.FnApiRunner
) -> None:
  inputs = name_inputs([str(folder) for folder in folders])
  with beam.Pipeline(runner=runner) as pipeline:
    shards = pipeline | 'Inputs' >> beam.Create(inputs) | 'ListShards' >> ListShards(Limits(), cores=1)
    rows = shards | 'ReadRows' >> beam.FlatMap(read_rows)
    expected = pack_shards([batch for given in inputs for batch in list_input(given, Limits())], cores=1)
    assert len(expected) > 3
    assert_that(shards, equal_to(expected), label='CheckShards')
    assert_that(rows, equal_to(expected_rows('a/in') + expected_rows('b/in')), label='CheckRows')


def test_sources_of_a_shard_come_in_its_order_and_originals_of_the_first_only(folders: list[pathlib.Path]) -> None:
  [given] = name_inputs([str(folders[0] / 'x.zip')])
  [shard] = [Shard(0, tuple(list_input(given, Limits())))]
  assert len(shard.batches) == 3
  sources = [source for batch in read_shard(shard, OPTIONS, originals=2) for source in batch.sources]
  assert [source.source.member for source in sources] == [f'{number:03d}' for number in range(70)]
  kept = [source.source.member for source in sources if source.frames[0].original is not None]
  assert kept == ['000', '001']
