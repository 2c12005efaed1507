"""`ingest` and `score` executed by a real Flink cluster: the rows are those of this process, also when it loses a part.

The cluster, the pool of workers and the comparison are those of `tests/integration`; the jar is Beam's own.
"""

import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipelines.cli import main
from pipelines.exits import Exit
from tests.end_to_end.conftest import Chain
from tests.integration.flink_cluster import Cluster, flink_cluster
from tests.integration.test_dataflow import assert_equal_rows
from tests.integration.test_flink import engine
from tests.integration.test_prism import digests, index
from tests.integration.worker_environment import install_sdist, worker_pool

_RADBEAM = pathlib.Path(sys.executable).parent / 'radbeam'
_SECONDS_TO_END = 900


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> Iterator[Cluster]:
  """A cluster for each test: one of them loses a task manager."""
  (tmp_path / 'flink').mkdir()
  with flink_cluster(tmp_path / 'flink') as cluster:
    yield cluster


@pytest.fixture(scope='module')
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
  install_sdist()
  with worker_pool(tmp_path_factory.mktemp('pool')) as address:
    yield address


def run_and_kill(command: list[str], cluster: Cluster, home: pathlib.Path) -> str:
  """Runs a job whose first busy task manager is killed; gives its name."""
  with (home / 'job.log').open('w') as log:
    process = subprocess.Popen([_RADBEAM, *command], cwd=home, stdout=log, stderr=log)
  try:
    busy = cluster.wait_until_busy()
    cluster.kill(busy)
    assert process.wait(_SECONDS_TO_END) == Exit.DONE, (home / 'job.log').read_text()
  finally:
    process.kill()
  return busy


def assert_same_dataset(chain: Chain, name: str) -> None:
  found, expected = chain.root / name, chain.root / 'dataset'
  assert digests(found / 'examples') == digests(expected / 'examples')
  assert_equal_rows(index(found), index(expected))


def assert_same_scores(chain: Chain, name: str) -> None:
  assert_equal_rows(chain.by_source(f'{name}/predictions'), chain.by_source('scores/predictions'))
  assert not (chain.root / name / '.staging').exists()


def test_ingest_makes_the_same_dataset(chain: Chain, cluster: Cluster, jar: str, pool: str) -> None:
  assert main([*chain.ingest('executed'), *engine(cluster.master, jar, pool)]) == Exit.DONE
  assert_same_dataset(chain, 'executed')


def test_score_writes_the_same_rows(chain: Chain, cluster: Cluster, jar: str, pool: str) -> None:
  command = [*chain.score('executed-scores', '--deterministic'), *engine(cluster.master, jar, pool)]
  assert main(command) == Exit.DONE
  assert_same_scores(chain, 'executed-scores')


def test_ingest_survives_the_loss_of_a_task_manager(
  chain: Chain, cluster: Cluster, jar: str, pool: str, tmp_path: pathlib.Path
) -> None:
  command = [*chain.ingest('survived'), *engine(cluster.master, jar, pool), '--parallelism=2']  # half of the slots stay
  cluster.assert_lost_and_gone_on(run_and_kill(command, cluster, tmp_path))
  assert_same_dataset(chain, 'survived')


def test_score_survives_the_loss_of_a_task_manager(
  chain: Chain, cluster: Cluster, jar: str, pool: str, tmp_path: pathlib.Path
) -> None:
  score = chain.score('survived-scores', '--deterministic')
  command = [*score, *engine(cluster.master, jar, pool), '--parallelism=2']
  cluster.assert_lost_and_gone_on(run_and_kill(command, cluster, tmp_path))
  assert_same_scores(chain, 'survived-scores')
