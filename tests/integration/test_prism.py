"""Whole jobs by Prism with workers of another environment: what they write is what this process writes."""

import hashlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pyarrow.dataset as ds
import pytest

from model.signatures import grey_levels, load_transform
from pipelines.cli import main
from pipelines.current import current
from pipelines.exits import Exit
from pipelines.run_record import read_record, recorded_runs
from tests.end_to_end.conftest import IMAGE_SIZE_PX, Chain
from tests.integration.prism import prism
from tests.integration.test_dataflow import assert_equal_rows, is_close
from tests.integration.worker_environment import install_sdist, worker_pool


@pytest.fixture(scope='module')
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
  """The flags of a job for Prism with an EXTERNAL pool of workers."""
  install_sdist()
  home = tmp_path_factory.mktemp('engine')
  with worker_pool(home) as pool, prism(home) as endpoint:
    yield [
      *('--runner=PortableRunner', f'--job_endpoint={endpoint}'),
      *('--environment_type=EXTERNAL', f'--environment_config={pool}'),
    ]


def digests(folder: pathlib.Path) -> dict[str, str]:
  files = [file for file in folder.rglob('*') if file.is_file()]
  return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def index(dataset: pathlib.Path) -> dict[Any, dict[str, Any]]:
  rows = ds.dataset(dataset / 'index', format='parquet', partitioning=None).to_table().to_pylist()
  return {(row['source_id'], row['frame']): row for row in rows}


def test_ingest_makes_the_same_dataset(chain: Chain, engine: list[str]) -> None:
  assert main([*chain.ingest('dataset-of-prism'), *engine]) == Exit.DONE
  found, expected = chain.root / 'dataset-of-prism', chain.root / 'dataset'
  assert digests(found / 'examples') == digests(expected / 'examples')
  assert_equal_rows(index(found), index(expected))
  there, here = (json.loads((folder / 'dataset.json').read_text()) for folder in (found, expected))
  for name in ('digest', 'counts', 'rows', 'reasons', 'labels', 'sources', 'duplicates'):
    assert there[name] == here[name], name
  shape = (IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1)
  levels = [
    grey_levels(load_transform(folder / 'transform_graph'), shape).numpy().tolist() for folder in (found, expected)
  ]
  assert is_close(*levels)
  assert sorted(path.name for path in found.iterdir()) == sorted(path.name for path in expected.iterdir())


def test_score_writes_the_same_rows(chain: Chain, engine: list[str]) -> None:
  assert main([*chain.score('scores-of-prism', '--deterministic'), *engine]) == Exit.DONE
  assert_equal_rows(chain.by_source('scores-of-prism/predictions'), chain.by_source('scores/predictions'))
  assert not (chain.root / 'scores-of-prism/.staging').exists()


def night(chain: Chain, output: str) -> list[str]:
  inbox = ['--inbox', str(chain.export.inbox), '--settle_seconds', '0', '--slice_files', '4']
  return ['nightly', *inbox, *chain.score(output, '--deterministic')[3:]]


def test_a_night_has_the_same_rows_and_records(chain: Chain, engine: list[str]) -> None:
  assert main(night(chain, 'nights')) == main([*night(chain, 'nights-of-prism'), *engine])
  here, there = str(chain.root / 'nights'), str(chain.root / 'nights-of-prism')
  keyed = [{(row['source_id'], row['frame']): row for row in current(path).to_pylist()} for path in (there, here)]
  assert_equal_rows(*keyed)
  records = [[read_record(path, run_id) for run_id in recorded_runs(path)] for path in (there, here)]
  assert len(records[0]) == len(records[1]) > 2
  for found, expected in zip(*records, strict=True):
    assert found.keys() == expected.keys()
    for name in ('job', 'state', 'rows', 'reasons', 'sources', 'statistics', 'predicted', 'entries', 'inbox', 'files'):
      assert is_close(found.get(name), expected.get(name)), name
  assert main([*night(chain, 'nights-of-prism'), *engine]) == Exit.NOTHING_TO_DO
