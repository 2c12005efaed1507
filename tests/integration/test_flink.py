"""Jobs as a Flink cluster gets them: what it receives is taken apart again, and workers need nothing else.

Beam's own job-server jar is not needed for that: a stand-in takes its place, which is started by the cluster as the
real one would be, and ends at once. So Flink's execution of a pipeline is not tested here.
"""

import pathlib
import shutil
import subprocess
import zipfile
from collections.abc import Iterator

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from google.protobuf import json_format

from pipelines.cli import main
from pipelines.exits import Exit
from tests.end_to_end.conftest import Chain
from tests.end_to_end.leaks import Search, armoured
from tests.end_to_end.planted import write_export
from tests.end_to_end.planted_texts import TEXTS
from tests.integration.flink_cluster import Cluster, flink_cluster
from tests.integration.test_dataflow import assert_equal_rows
from tests.integration.test_prism import digests, index
from tests.integration.worker_environment import PYTHON, environment, install_sdist, worker_pool

_CLASS = 'org/apache/beam/runners/flink/FlinkPipelineRunner'
_JAVA = """
package org.apache.beam.runners.flink;
public class FlinkPipelineRunner {
  public static void main(String[] arguments) throws Exception {
    if (FlinkPipelineRunner.class.getResource("/BEAM-PIPELINE/pipeline-manifest.json") == null) {
      throw new IllegalStateException("no pipeline in this jar");
    }
    throw new IllegalStateException("a stand-in was started, and has found its pipeline");
  }
}
"""
_RUN = """
import json, pathlib, sys, zipfile
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment
from google.protobuf import json_format
with zipfile.ZipFile(sys.argv[1]) as jar:
  text = jar.read('BEAM-PIPELINE/pipeline/pipeline.json')
proto = json_format.Parse(text, beam_runner_api_pb2.Pipeline())
here = EmbeddedPythonEnvironment.default().to_runner_api(None)
for one in proto.components.environments.values():
  assert one.urn == 'beam:env:external:v1', one.urn
  one.CopyFrom(here)
fn_runner.FnApiRunner().run_via_runner_api(proto, PipelineOptions([])).wait_until_finish()
"""


@pytest.fixture(scope='module')
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
  install_sdist()
  with flink_cluster(tmp_path_factory.mktemp('flink')) as cluster:
    yield cluster


@pytest.fixture(scope='module')
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
  install_sdist()
  with worker_pool(tmp_path_factory.mktemp('pool')) as address:
    yield address


@pytest.fixture(scope='module')
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """A jar with the class that a cluster starts."""
  folder = tmp_path_factory.mktemp('jar')
  source = folder / f'{_CLASS}.java'
  source.parent.mkdir(parents=True)
  source.write_text(_JAVA)
  subprocess.run(['javac', '-d', folder / 'classes', source], check=True)
  jar = folder / 'stand-in.jar'
  with zipfile.ZipFile(jar, 'w') as file:
    file.write(folder / f'classes/{_CLASS}.class', f'{_CLASS}.class')
  return jar


def engine(master: str, jar: pathlib.Path | str, pool: str) -> list[str]:
  return [
    *('--runner=FlinkRunner', f'--flink_master={master}', '--flink_submit_uber_jar', f'--flink_job_server_jar={jar}'),
    *('--parallelism=4', '--environment_type=EXTERNAL', f'--environment_config={pool}'),
  ]


def received(cluster: Cluster, command: list[str], to: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> pathlib.Path:
  """The jar that a command sends, once the cluster has started it."""
  before = set(cluster.uploaded())
  assert main(command) == Exit.CRASHED
  assert 'stand-in' in next(iter(cluster.home.glob('jm.log'))).read_text()
  (jar,) = set(cluster.uploaded()) - before
  capfd.readouterr()
  return pathlib.Path(shutil.copy(jar, to / 'received.jar'))


def run_received(jar: pathlib.Path, home: pathlib.Path) -> None:
  """Runs what was sent in the environment of workers, which has nothing of the launcher."""
  done = subprocess.run(
    [PYTHON, '-c', _RUN, jar], env=environment(home), cwd=home, capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr


def test_what_the_cluster_receives_of_a_score_gives_the_rows(
  chain: Chain,
  cluster: Cluster,
  stand_in: pathlib.Path,
  pool: str,
  tmp_path: pathlib.Path,
  capfd: pytest.CaptureFixture[str],
) -> None:
  command = [*chain.score('scores-of-flink', '--deterministic'), *engine(cluster.master, stand_in, pool)]
  run_received(received(cluster, command, tmp_path, capfd), tmp_path)
  assert_equal_rows(chain.by_source('scores-of-flink/predictions'), chain.by_source('scores/predictions'))


def test_what_the_cluster_receives_of_an_ingest_gives_the_dataset(
  chain: Chain,
  cluster: Cluster,
  stand_in: pathlib.Path,
  pool: str,
  tmp_path: pathlib.Path,
  capfd: pytest.CaptureFixture[str],
) -> None:
  command = [*chain.ingest('dataset-of-flink'), *engine(cluster.master, stand_in, pool)]
  run_received(received(cluster, command, tmp_path, capfd), tmp_path)
  found, expected = chain.root / 'dataset-of-flink', chain.root / 'dataset'
  assert digests(found / 'examples') == digests(expected / 'examples')
  assert_equal_rows(index(found), index(expected))


def test_nothing_planted_is_sent(
  chain: Chain,
  cluster: Cluster,
  stand_in: pathlib.Path,
  pool: str,
  tmp_path: pathlib.Path,
  capfd: pytest.CaptureFixture[str],
) -> None:
  write_export(tmp_path / 'planted')
  score = chain.score('scores-of-planted')
  score[score.index('--input') + 1] = str(tmp_path / 'planted/inbox')
  jar = received(cluster, [*score, *engine(cluster.master, stand_in, pool)], tmp_path, capfd)
  with zipfile.ZipFile(jar) as file:
    assert any(name.startswith('BEAM-PIPELINE/pipeline/') for name in file.namelist())
    content = b'\n'.join(name.encode() + file.read(name) for name in file.namelist())
    pipeline = json_format.Parse(file.read('BEAM-PIPELINE/pipeline/pipeline.json'), beam_runner_api_pb2.Pipeline())
    content += pipeline.SerializeToString()
  content += armoured(content)
  assert chain.key.encode() in content  # the path alone: so functions were unpacked
  assert Search(TEXTS, [pathlib.Path(chain.key).read_bytes()]).within(content) == []
