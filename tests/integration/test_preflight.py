"""Each failure that is looked for before a job is sent, provoked on a real cluster, a real engine and real pools.

The command is a process of its own, as a person starts it; the seconds that it takes are printed, and are to be ten at
most on cores that others leave alone.
"""

import pathlib
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from apache_beam.version import __version__ as beam_version

from pipelines.exits import Exit
from pipelines.worker_pool import SECONDS_TO_CALL
from tests.distribution import ROOT
from tests.integration.flink_cluster import LIBRARIES, Cluster, flink_cluster, free_port
from tests.integration.large_bundle import write_large_bundle
from tests.integration.prism import prism
from tests.integration.worker_environment import environment_with, install_sdist, worker_pool
from transforms.identifiers import create_key

_RADBEAM = pathlib.Path(sys.executable).parent / 'radbeam'
_OTHER_BEAM = ROOT / '.cache/other-beam'
_CLASS = 'org/apache/beam/runners/flink/FlinkPipelineRunner.class'


@dataclass(frozen=True, slots=True)
class Site:
  """A job that is about to be sent: an input, a key, and where it would write."""

  root: pathlib.Path

  def job(self, name: str, *more: str) -> list[str]:
    """A command line without its engine."""
    return [
      *(name, '--input', str(self.root / 'inbox'), '--output', str(self.root / 'out')),
      *('--pseudonym_key_file', str(self.root / 'key'), *more),
    ]

  def ingest(self) -> list[str]:
    return self.job('ingest', '--labels', 'none')


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
  install_sdist()
  root = tmp_path_factory.mktemp('site')
  (root / 'inbox').mkdir()
  (root / 'inbox/note.txt').write_text('no image')
  create_key(str(root / 'key'))
  return Site(root)


@pytest.fixture(scope='module')
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
  with flink_cluster(tmp_path_factory.mktemp('flink')) as cluster:
    yield cluster


@pytest.fixture(scope='module')
def pool(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
  with worker_pool(tmp_path_factory.mktemp('pool')) as address:
    yield address


@pytest.fixture(scope='module')
def jar(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """As much of Beam's jar as is looked at."""
  return write_jar(tmp_path_factory.mktemp('jar'), beam_version)


def write_jar(folder: pathlib.Path, beam: str) -> pathlib.Path:
  with zipfile.ZipFile(folder / 'job-server.jar', 'w') as file:
    file.writestr(_CLASS, b'')
    file.writestr('org/apache/beam/sdk/sdk.properties', f'# SDK source version\n\nversion={beam}\n')
  return folder / 'job-server.jar'


def flink(cluster: Cluster, jar: pathlib.Path | str | None) -> list[str]:
  given = [f'--flink_job_server_jar={jar}'] if jar else []
  return ['--runner=FlinkRunner', f'--flink_master={cluster.master}', '--flink_submit_uber_jar', *given]


def external(pool: str) -> list[str]:
  return ['--environment_type=EXTERNAL', f'--environment_config={pool}']


def refused(site: Site, command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
  """The one line of a command that ends before it sends or writes anything."""
  started = time.monotonic()
  done = subprocess.run([_RADBEAM, *command], capture_output=True, text=True, check=False, cwd=site.root)
  seconds = time.monotonic() - started
  (line,) = done.stderr.splitlines()
  with capsys.disabled():
    print(f'\n{seconds:.1f} s: {line}')
  assert done.returncode == Exit.USAGE
  assert line.startswith(f'radbeam {command[0]}: error: ')
  assert not (site.root / 'out').exists()
  return line


def test_a_master_that_does_not_answer(site: Site, jar: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  nobody = Cluster(site.root, f'127.0.0.1:{free_port()}', {})
  line = refused(site, [*site.ingest(), *flink(nobody, jar)], capsys)
  assert f'--flink_master {nobody.master} does not answer (Connection refused)' in line


def test_a_master_that_is_none(site: Site, jar: pathlib.Path, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
  line = refused(site, [*site.ingest(), *flink(Cluster(site.root, pool, {}), jar)], capsys)
  assert f'--flink_master {pool} is no Flink cluster' in line


def test_no_jar(site: Site, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
  line = refused(site, [*site.ingest(), *flink(cluster, None)], capsys)
  assert f'get org.apache.beam:beam-runners-flink-2.2-job-server:{beam_version} of Maven Central' in line
  line = refused(site, [*site.ingest(), *flink(cluster, '/nowhere/x.jar')], capsys)
  assert '--flink_job_server_jar /nowhere/x.jar is no file of this machine' in line
  assert cluster.uploaded() == []


def test_a_jar_of_something_else(site: Site, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
  (of_flink,) = LIBRARIES.glob('flink-dist-*.jar')
  line = refused(site, [*site.ingest(), *flink(cluster, of_flink)], capsys)
  assert "is a jar, but not that of Beam's job server for Flink" in line
  assert cluster.uploaded() == []


def test_a_jar_of_another_beam(
  site: Site, cluster: Cluster, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  line = refused(site, [*site.ingest(), *flink(cluster, write_jar(tmp_path, '2.76.0'))], capsys)
  assert f'is for Beam 2.76.0, but {beam_version} is in use' in line


def test_a_flink_that_this_beam_does_not_know(
  site: Site, jar: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  """The cluster is that of the other tests, told to say another version than its own."""
  with flink_cluster(tmp_path, (), '2.9.0') as newer:
    line = refused(site, [*site.ingest(), *flink(newer, jar)], capsys)
  assert f'{newer.master} is Flink 2.9; Beam {beam_version} runs on 1.19, 1.20, 2.0, 2.1, 2.2' in line


def test_workers_of_beam_s_own_image(
  site: Site, cluster: Cluster, jar: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  line = refused(site, [*site.ingest(), *flink(cluster, jar)], capsys)
  assert "workers would start from Beam's own image, which has no radbeam" in line


def test_a_pool_that_is_not_there(
  site: Site, cluster: Cluster, jar: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  nobody = f'localhost:{free_port()}'
  line = refused(site, [*site.ingest(), *flink(cluster, jar), *external(nobody)], capsys)
  assert f'no worker pool answers at {nobody} (Connection refused)' in line


def test_a_pool_that_is_none(
  site: Site, cluster: Cluster, jar: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  with prism(tmp_path) as endpoint:
    line = refused(site, [*site.ingest(), *flink(cluster, jar), *external(endpoint)], capsys)
  assert f'{endpoint}, which --environment_config names, starts no worker (UNIMPLEMENTED' in line


def test_a_pool_whose_workers_never_come_up(
  site: Site, cluster: Cluster, jar: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  with worker_pool(tmp_path, pathlib.Path('/bin/true')) as silent:
    line = refused(site, [*site.ingest(), *flink(cluster, jar), *external(silent)], capsys)
  assert f'has not called back within {SECONDS_TO_CALL} s' in line


def test_a_pool_of_another_beam(
  site: Site, cluster: Cluster, jar: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  with worker_pool(tmp_path, variables={'PYTHONPATH': str(_OTHER_BEAM)}) as other:
    line = refused(site, [*site.ingest(), *flink(cluster, jar), *external(other)], capsys)
  assert f'the worker pool {other} has Beam 2.76.0, but {beam_version} is here' in line


def test_a_pool_without_radbeam(
  site: Site, cluster: Cluster, jar: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  with worker_pool(tmp_path, variables=environment_with(tmp_path / 'without', None)) as bare:
    line = refused(
      site, [*site.ingest(), *flink(cluster, jar), *external(bare), '--setup_file=/clone/setup.py'], capsys
    )
  assert f'the worker pool {bare} has no radbeam; install radbeam 0.1.0 in its environment: --setup_file does' in line


def test_a_pool_of_another_radbeam(
  site: Site, cluster: Cluster, jar: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  with worker_pool(tmp_path, variables=environment_with(tmp_path / 'older', '0.0.9')) as older:
    line = refused(site, [*site.ingest(), *flink(cluster, jar), *external(older)], capsys)
  assert f'the worker pool {older} has radbeam 0.0.9, but 0.1.0 is here' in line


def test_a_model_that_the_pool_cannot_hold(
  site: Site, cluster: Cluster, jar: pathlib.Path, pool: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  write_large_bundle(tmp_path / 'bundle')
  score = site.job('score', '--bundle', str(tmp_path / 'bundle'), '--batch_size', '4096')
  line = refused(site, [*score, *flink(cluster, jar), *external(pool)], capsys)
  assert f'the model does not fit: the worker pool {pool} has' in line
  assert 'but 2 process(es) of' in line  # one for each task manager, which share this pool


def test_a_job_service_that_is_not_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
  nobody = f'localhost:{free_port()}'
  line = refused(site, [*site.ingest(), '--runner=PortableRunner', f'--job_endpoint={nobody}'], capsys)
  assert f'no job service answers at --job_endpoint {nobody}' in line


def test_a_job_service_that_is_none(site: Site, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
  line = refused(site, [*site.ingest(), '--runner=PortableRunner', f'--job_endpoint={pool}'], capsys)
  assert f'--job_endpoint {pool} is no job service of Beam (UNIMPLEMENTED)' in line


def test_a_pool_that_has_all_of_it_passes(
  site: Site, cluster: Cluster, jar: pathlib.Path, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
  started = time.monotonic()
  command = [*site.ingest(), *flink(cluster, jar), *external(pool), '--dry_run']
  done = subprocess.run([_RADBEAM, *command], capture_output=True, text=True, check=False, cwd=site.root)
  with capsys.disabled():
    print(f'\n{time.monotonic() - started:.1f} s: all is there')
  assert done.returncode == Exit.DONE, done.stderr
  assert 'was not checked' not in done.stderr
