"""What is refused of Flink and other portable engines, as far as no engine is needed to see it."""

import contextlib
import http.server
import json
import pathlib
import sys
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from apache_beam.version import __version__ as beam_version

from pipelines.exits import UsageError
from pipelines.preflight_flink import check_jar, host_of, read_cluster, read_jar
from pipelines.preflight_portable import check_portable, is_loopback, problems
from pipelines.run_record import code_version
from pipelines.worker_facts import worker_facts
from pipelines.worker_pool import address_of

_CLASS = 'org/apache/beam/runners/flink/FlinkPipelineRunner.class'
_EMBEDDED = ['--runner=PortableRunner', '--job_endpoint=embed']


def refusal(*beam_args: str) -> str:
  with pytest.raises(UsageError) as raised:
    check_portable(beam_args)
  assert '\n' not in str(raised.value)
  return str(raised.value)


@pytest.mark.parametrize(
  ('words', 'text'),
  [
    (['--runner=FlinkRunner'], '--flink_job_server_jar is missing, and nothing is downloaded'),
    (['--runner=FlinkRunner', '--flink_version=2.0'], 'get org.apache.beam:beam-runners-flink-2.0-job-server:'),
    (['--runner=FlinkRunner', '--flink_job_server_jar=https://x/y.jar'], 'https://x/y.jar is no file of this machine'),
    (['--runner=FlinkRunner', '--flink_master=127.0.0.1:1'], '--flink_master 127.0.0.1:1 does not answer'),
    (['--runner=PortableRunner'], '--job_endpoint is missing'),
    (['--runner=PortableRunner', '--job_endpoint=127.0.0.1:1'], 'no job service answers at --job_endpoint 127.0.0.1:1'),
    (['--runner=PrismRunner'], '--prism_location is None, no file of this machine, and nothing is downloaded'),
    (['--runner=PrismRunner', '--prism_location=https://x/prism'], 'https://x/prism, no file of this machine'),
    (_EMBEDDED, "workers would start from Beam's own image, which has no radbeam"),
    ([*_EMBEDDED, '--environment_type=EXTERNAL'], "--environment_config is ''; expected HOST:PORT of a worker pool"),
    ([*_EMBEDDED, '--environment_type=EXTERNAL', '--environment_config=pool'], "--environment_config is 'pool'"),
    ([*_EMBEDDED, '--environment_type=EXTERNAL', '--environment_config={"url": 1'], 'expected HOST:PORT'),
    (
      [*_EMBEDDED, '--environment_type=EXTERNAL', '--environment_config={"url": "127.0.0.1:1"}'],
      'no worker pool answers at 127.0.0.1:1 (Connection refused)',
    ),
  ],
)
def test_what_cannot_work_is_one_line(words: list[str], text: str) -> None:
  assert text in refusal(*words)


@pytest.mark.parametrize(
  'words',
  [
    [],
    ['--runner=DirectRunner', '--environment_type=EXTERNAL'],
    [*_EMBEDDED, '--environment_type=LOOPBACK'],
    [*_EMBEDDED, '--environment_type=DOCKER', '--environment_config=registry/radbeam:1'],
    [*_EMBEDDED, '--setup_file=/clone/setup.py'],
    ['--runner=PrismRunner', f'--prism_location={sys.executable}'],
    [
      *_EMBEDDED,
      '--environment_type=EXTERNAL',
      '--environment_config=127.0.0.1:1',
      '--experiments=unchecked_worker_pool',
    ],
  ],
)
def test_what_may_work_passes(words: list[str]) -> None:
  check_portable(words)


def jar(folder: pathlib.Path, name: str = 'x.jar', **files: str) -> str:
  path = folder / name
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr('META-INF/MANIFEST.MF', 'Manifest-Version: 1.0\n')
    for key, text in files.items():
      file.writestr({'runner': _CLASS, 'beam': 'org/apache/beam/sdk/sdk.properties'}.get(key, key), text)
  return str(path)


def test_the_jar_of_this_beam_and_this_flink_passes(tmp_path: pathlib.Path) -> None:
  properties = f'# SDK\nversion={beam_version}\nsdk_version=x\n'
  check_jar(jar(tmp_path, runner='', beam=properties), '2.2')
  check_jar(jar(tmp_path, f'beam-runners-flink-2.2-job-server-{beam_version}.jar', runner=''), '2.2')
  check_jar(jar(tmp_path, runner=''), '2.2')  # it tells no version: nothing is known to be wrong


@pytest.mark.parametrize(
  ('name', 'files', 'text'),
  [
    ('x.jar', {}, "is a jar, but not that of Beam's job server for Flink"),
    ('x.jar', {'runner': '', 'beam': 'version=2.1.0\n'}, 'is for Beam 2.1.0'),
    ('x.jar', {'runner': '', '.flink-runtime.version.properties': 'project.version=1.20.3\n'}, 'is for Flink 1.20,'),
    (f'beam-runners-flink-2.0-job-server-{beam_version}.jar', {'runner': ''}, 'is for Flink 2.0, but 2.2 is in use'),
    ('beam-runners-flink-2.2-job-server-2.1.0.jar', {'runner': ''}, 'is for Beam 2.1.0'),
  ],
)
def test_another_jar_is_refused(tmp_path: pathlib.Path, name: str, files: dict[str, str], text: str) -> None:
  with pytest.raises(UsageError) as raised:
    check_jar(jar(tmp_path, name, **files), '2.2')
  assert text in str(raised.value)
  assert f'org.apache.beam:beam-runners-flink-2.2-job-server:{beam_version}' in str(raised.value)


def test_what_is_no_jar_is_refused(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'page.jar').write_text('<html>not found</html>')
  with pytest.raises(UsageError, match='is no jar; expected'):
    check_jar(str(tmp_path / 'page.jar'), '2.2')
  assert read_jar(str(tmp_path / 'page.jar')) is None


def test_a_job_server_needs_java(tmp_path: pathlib.Path) -> None:
  words = ['--runner=FlinkRunner', f'--flink_job_server_jar={jar(tmp_path, runner="")}']
  assert '/nowhere/java is not there, which starts the job server' in refusal(
    *words, '--job_server_java_launcher=/nowhere/java'
  )
  check_portable([*words, f'--job_server_java_launcher={sys.executable}'])


@contextlib.contextmanager
def answering(answers: dict[str, bytes]) -> Iterator[str]:
  """A server that gives what a cluster of that kind would give."""

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
      self.send_response(200 if self.path in answers else 404)
      self.end_headers()
      self.wfile.write(answers.get(self.path, b''))

    def log_message(self, *_: Any) -> None:
      pass

  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'127.0.0.1:{server.server_port}'
    server.shutdown()


def cluster(version: str) -> dict[str, bytes]:
  manager = {'path': 'pekko.tcp://flink@10.0.0.7:41235/user/rpc/taskmanager_0', 'slotsNumber': 3}
  answers: dict[str, Any] = {'config': {'flink-version': version}, 'taskmanagers': {'taskmanagers': [manager]}}
  return {f'/v1/{name}': json.dumps(value).encode() for name, value in answers.items()}


@pytest.mark.parametrize('scheme', ['', 'http://'])
def test_a_cluster_is_read(scheme: str) -> None:
  with answering(cluster('2.0.1')) as master:
    found = read_cluster(f'{scheme}{master}')
  assert (found.version, found.hosts, found.slots) == ('2.0', ('10.0.0.7',), 3)


@pytest.mark.parametrize(
  ('answers', 'text'),
  [
    ({}, 'it answers 404'),
    ({'/v1/config': b'<html>'}, 'its answer is not that of a REST API'),
    ({'/v1/config': b'[]'}, 'its answer is not that of a REST API'),
    ({'/v1/config': b'{}'}, 'its answer names no version'),
  ],
)
def test_what_is_no_cluster_is_said(answers: dict[str, bytes], text: str) -> None:
  with answering(answers) as master, pytest.raises(UsageError) as raised:
    read_cluster(master)
  assert f'{master} is no Flink cluster ({text}); expected HOST:PORT' in str(raised.value)


def test_side_cars_of_task_managers_elsewhere_are_not_asked(tmp_path: pathlib.Path) -> None:
  pool = ['--environment_type=EXTERNAL', '--environment_config=localhost:1']
  with answering(cluster('2.2.0')) as master:
    check_portable(
      [
        *('--runner=FlinkRunner', f'--flink_master={master}', '--flink_submit_uber_jar', *pool),
        f'--flink_job_server_jar={jar(tmp_path, runner="")}',
      ]
    )


@pytest.mark.parametrize(
  ('path', 'host'),
  [
    ('pekko.tcp://flink@127.0.0.1:41235/user/rpc/taskmanager_0', '127.0.0.1'),
    ('akka.tcp://flink@tm-1.flink:6122/user/rpc/taskmanager_0', 'tm-1.flink'),
    ('pekko.tcp://flink@[::1]:41235/user/rpc/taskmanager_0', '::1'),
  ],
)
def test_hosts_of_task_managers(path: str, host: str) -> None:
  assert host_of(path) == host


@pytest.mark.parametrize(
  ('host', 'loopback'), [('localhost', True), ('127.0.1.1', True), ('::1', True), ('10.0.0.7', False), ('pool', False)]
)
def test_loopback(host: str, loopback: bool) -> None:
  assert is_loopback(host) is loopback


def test_addresses() -> None:
  assert address_of('pool:50000') == ('pool', 50000)
  assert address_of('[::1]:50000') == ('::1', 50000)
  for wrong in ('pool', ':1', 'pool:x', ''):
    with pytest.raises(ValueError, match='is not HOST:PORT'):
      address_of(wrong)


def test_a_worker_like_this_process_has_no_problems() -> None:
  facts = worker_facts()
  assert problems(facts, 'pool:1') == []
  assert facts['beam'] == beam_version
  assert facts['memory_bytes'] > 1 << 30
  assert facts['cores'] >= 1


@pytest.mark.parametrize(
  ('differs', 'texts'),
  [
    ({'beam': '2.1.0'}, [f'has Beam 2.1.0, but {beam_version} is here']),
    ({'python': '3.9'}, ['has Python 3.9, but']),
    ({'radbeam': None}, [f'has no radbeam; install radbeam {code_version()} in its environment']),
    ({'radbeam': '9.9'}, [f'has radbeam 9.9, but {code_version()} is here']),
    ({'beam': '2.1.0', 'radbeam': None}, ['has Beam 2.1.0', 'has no radbeam']),
  ],
)
def test_what_differs_on_the_worker_is_said(differs: dict[str, Any], texts: list[str]) -> None:
  found = problems(worker_facts() | differs, 'pool:1')
  assert len(found) == len(texts)
  assert all(text in line and 'the worker pool pool:1' in line for line, text in zip(found, texts, strict=True))


def test_a_worker_that_cannot_answer_is_said() -> None:
  assert 'a worker of the pool pool:1 cannot run what Beam' in problems({'problem': 'KeyError: x'}, 'pool:1')[0]
