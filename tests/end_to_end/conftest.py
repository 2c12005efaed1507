"""One small synthetic export through ingest, train and score, for all tests of this folder."""

import fcntl
import os
import pathlib
import pickle
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as ds
import pytest

from pipelines.cli import main
from pipelines.synthetic import SyntheticExport, SyntheticOptions, write_synthetic_export
from transforms.identifiers import create_key

IMAGE_SIZE_PX = 64


@dataclass(frozen=True, slots=True)
class Chain:
  """Where one run of the chain left its results."""

  root: pathlib.Path
  export: SyntheticExport

  @property
  def key(self) -> str:
    return str(self.root / 'pseudonym.key')

  def ingest(self, output: str, *more: str) -> list[str]:
    """The command line of an ingest of the export."""
    return [
      *('ingest', '--input', str(self.export.inbox), '--labels', str(self.export.labels)),
      *('--output', str(self.root / output), '--image_size', str(IMAGE_SIZE_PX), '--pseudonym_key_file', self.key),
      *('--val_fraction', '0.25', '--test_fraction', '0.25', '--max_reject_ratio', '0.9', *more),
    ]

  def train(self, bundle: str, *more: str) -> list[str]:
    return [
      *('train', '--dataset', str(self.root / 'dataset'), '--bundle', str(self.root / bundle)),
      *('--epochs', '1', '--deterministic', *more),
    ]

  def score(self, output: str, *more: str) -> list[str]:
    return [
      *('score', '--input', str(self.export.inbox), '--bundle', str(self.root / 'bundle')),
      *('--output', str(self.root / output), '--pseudonym_key_file', self.key, '--max_reject_ratio', '0.9', *more),
    ]

  def rows(self, folder: str) -> list[dict[str, Any]]:
    """All rows of a folder of Parquet files."""
    rows: list[dict[str, Any]] = (
      ds.dataset(self.root / folder, format='parquet', partitioning=None).to_table().to_pylist()
    )
    return rows

  def by_source(self, folder: str) -> dict[tuple[str, int | None], dict[str, Any]]:
    """Rows by their key."""
    rows = self.rows(folder)
    keyed = {(row['source_id'], row['frame']): row for row in rows}
    assert len(keyed) == len(rows)
    return keyed


@pytest.fixture(scope='session')
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
  """One for all processes of the tests, made by the first that needs it; what a test adds there has its own name."""
  temporary = tmp_path_factory.getbasetemp()
  folder = (temporary.parent if 'PYTEST_XDIST_WORKER' in os.environ else temporary) / 'chain'
  folder.mkdir(exist_ok=True)
  with (folder / 'lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    made = folder / 'made.pickle'
    if not made.exists():
      made.write_bytes(pickle.dumps(make_chain(tmp_path_factory.mktemp('chain'))))
    found: Chain = pickle.loads(made.read_bytes())
  return found


def make_chain(root: pathlib.Path) -> Chain:
  made = Chain(root, write_synthetic_export(root, SyntheticOptions(patients=40, height_px=128)))
  create_key(made.key)
  assert main(made.ingest('dataset', '--crosswalk', str(root / 'crosswalk'))) == 0
  assert main(made.train('bundle')) == 0
  assert main(made.score('scores', '--deterministic')) == 0
  return made
