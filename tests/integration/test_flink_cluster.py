"""The cluster goes on when it loses a task manager, as `make flink-execution` expects: shown with a job in Java.

Beam has no part in it. The job is a batch, whose slow step is on both task managers.
"""

import pathlib
import subprocess
import time
import zipfile

import requests

from tests.integration.flink_cluster import LIBRARIES, Cluster, flink_cluster

_SECONDS_TO_END = 240
_JAVA = """
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;

public class Slow {
  public static void main(String[] arguments) throws Exception {
    StreamExecutionEnvironment flink = StreamExecutionEnvironment.getExecutionEnvironment();
    flink.setRuntimeMode(RuntimeExecutionMode.BATCH);
    flink.fromSequence(1, 1200).map(Slow::slowly).sinkTo(new DiscardingSink<>());
    flink.executeAsync("slow");
  }

  private static Long slowly(Long number) throws InterruptedException {
    Thread.sleep(20);
    return number;
  }
}
"""


def build(folder: pathlib.Path) -> pathlib.Path:
  (folder / 'Slow.java').write_text(_JAVA)
  subprocess.run(['javac', '-cp', f'{LIBRARIES}/*', '-d', folder / 'classes', folder / 'Slow.java'], check=True)
  with zipfile.ZipFile(folder / 'slow.jar', 'w') as jar:
    for file in (folder / 'classes').iterdir():
      jar.write(file, file.name)
  return folder / 'slow.jar'


def submit(cluster: Cluster, jar: pathlib.Path, main: str) -> str:
  url = f'http://{cluster.master}/v1/jars'
  with jar.open('rb') as file:
    uploaded = requests.post(f'{url}/upload', files={'jarfile': file}, timeout=30).json()['filename']
  name = pathlib.PurePosixPath(uploaded).name
  started = requests.post(f'{url}/{name}/run', json={'entryClass': main, 'parallelism': 4}, timeout=60)
  return str(started.json()['jobid'])


def wait_for_end(cluster: Cluster, job: str) -> str:
  end = time.monotonic() + _SECONDS_TO_END
  while (state := str(cluster.ask(f'jobs/{job}')['state'])) not in ('FINISHED', 'FAILED', 'CANCELED'):
    assert time.monotonic() < end, f'{state} after {_SECONDS_TO_END} s'
    time.sleep(0.5)
  return state


def test_a_job_survives_the_loss_of_a_task_manager(tmp_path: pathlib.Path) -> None:
  jar = build(tmp_path)
  (tmp_path / 'flink').mkdir()
  with flink_cluster(tmp_path / 'flink') as cluster:
    job = submit(cluster, jar, 'Slow')
    busy = cluster.wait_until_busy()
    cluster.kill(busy)
    assert wait_for_end(cluster, job) == 'FINISHED'
    cluster.assert_lost_and_gone_on(busy)
