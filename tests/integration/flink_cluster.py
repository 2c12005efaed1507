"""A Flink session cluster of two task managers on this machine, as a site has it on several; loopback only."""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.distribution import ROOT

LIBRARIES: Final = ROOT / '.cache/flink/lib'
TASK_MANAGERS: Final = ('tm0', 'tm1')
_SECONDS_TO_START: Final = 300

_MASTER: Final = 'org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint'
_TASK_MANAGER: Final = 'org.apache.flink.runtime.taskexecutor.TaskManagerRunner'
# What Flink's own scripts open to it (conf/config.yaml, env.java.opts.all): the wheel has no scripts.
_OPENED: Final = (
  *('java.io', 'java.lang', 'java.lang.invoke', 'java.lang.reflect', 'java.net', 'java.nio', 'java.text', 'java.time'),
  *('java.util', 'java.util.concurrent', 'java.util.concurrent.atomic', 'java.util.concurrent.locks', 'sun.nio.ch'),
)
# The scripts would share out the memory as well.
_MEMORY: Final = {
  'framework.heap.size': '128m',
  'task.heap.size': '384m',
  'framework.off-heap.size': '128m',
  'task.off-heap.size': '0b',
  'network.min': '64m',
  'network.max': '64m',
  'managed.size': '256m',
  'jvm-metaspace.size': '256m',
  'jvm-overhead.min': '192m',
  'jvm-overhead.max': '192m',
}
_LOGGING: Final = """
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = File
appender.file.name = File
appender.file.type = FILE
appender.file.fileName = ${sys:log.file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601} %-5p %c{1} - %m%n
"""


@dataclass(frozen=True, slots=True)
class Cluster:
  """A cluster that runs.

  Attributes:
    home: configuration, logs, and below `upload/` what was submitted.
    master: its REST address, as `--flink_master` takes it.
  """

  home: pathlib.Path
  master: str
  processes: dict[str, 'subprocess.Popen[bytes]']

  def ask(self, path: str) -> Any:
    """What the REST API answers."""
    with urllib.request.urlopen(f'http://{self.master}/v1/{path}', timeout=5) as answer:
      return json.load(answer)

  def uploaded(self) -> list[pathlib.Path]:
    """The jars that were submitted and are still there."""
    return sorted((self.home / 'upload').rglob('*.jar'))

  def busy_task_manager(self) -> str | None:
    """One that works on a job right now."""
    for job in self.ask('jobs/overview')['jobs']:
      for vertex in self.ask(f'jobs/{job["jid"]}')['vertices']:
        for subtask in self.ask(f'jobs/{job["jid"]}/vertices/{vertex["id"]}')['subtasks']:
          if subtask['status'] == 'RUNNING' and subtask.get('taskmanager-id') in self.processes:
            return str(subtask['taskmanager-id'])
    return None

  def wait_until_busy(self) -> str:
    """The first task manager that works on a job."""
    end = time.monotonic() + _SECONDS_TO_START
    while (busy := self.busy_task_manager()) is None:
      assert time.monotonic() < end, f'nothing runs after {_SECONDS_TO_START} s'
      time.sleep(0.1)
    return busy

  def assert_lost_and_gone_on(self, task_manager: str) -> None:
    """Flink has seen the loss, and its one job ended well nevertheless."""
    (job,) = self.ask('jobs/overview')['jobs']
    assert job['state'] == 'FINISHED'
    assert f'TaskManager with id {task_manager} is no longer reachable' in str(
      self.ask(f'jobs/{job["jid"]}/exceptions')
    )

  def kill(self, task_manager: str) -> None:
    """Ends a task manager at once, as a machine that loses its power."""
    self.processes[task_manager].send_signal(signal.SIGKILL)


@contextlib.contextmanager
def flink_cluster(
  home: pathlib.Path, task_managers: Sequence[str] = TASK_MANAGERS, version: str | None = None
) -> Iterator[Cluster]:
  """Starts a cluster, which ends with the block.

  Args:
    home: for what it needs and leaves.
    task_managers: their names.
    version: that it says it is of, other than its own.
  """
  master = f'127.0.0.1:{free_port()}'
  _configure(home, master)
  if version:
    (home / 'classes').mkdir()
    (home / 'classes/.flink-runtime.version.properties').write_text(f'project.version={version}\n')
  cluster = Cluster(home, master, {'jm': _start(home, 'jm', _MASTER, '512m')})
  try:
    for name in task_managers:
      settings = {'taskmanager.resource-id': name, 'taskmanager.cpu.cores': '2.0'}
      settings |= {f'taskmanager.memory.{key}': value for key, value in _MEMORY.items()}
      given = [word for key, value in settings.items() for word in ('-D', f'{key}={value}')]
      cluster.processes[name] = _start(home, name, _TASK_MANAGER, '640m', *given)
    _wait(cluster, len(task_managers))
    yield cluster
  finally:
    for process in cluster.processes.values():
      process.kill()
      process.wait()


def free_port() -> int:
  """A port of this machine where nothing listens."""
  with socket.create_server(('127.0.0.1', 0)) as found:
    return int(found.getsockname()[1])


def _configure(home: pathlib.Path, master: str) -> None:
  here = '127.0.0.1'
  settings = {
    **dict.fromkeys(('jobmanager.rpc.address', 'jobmanager.bind-host', 'taskmanager.host'), here),
    **dict.fromkeys(('taskmanager.bind-host', 'rest.address', 'rest.bind-address'), here),
    'rest.port': master.rpartition(':')[2],
    'jobmanager.rpc.port': free_port(),
    'jobmanager.memory.process.size': '1g',
    'taskmanager.numberOfTaskSlots': 2,
    'parallelism.default': 4,
    # Else the scheduler may run what takes longest on one slot, and a lost task manager ends the job.
    'execution.batch.adaptive.auto-parallelism.enabled': 'false',
    'restart-strategy.type': 'fixed-delay',
    'restart-strategy.fixed-delay.attempts': 10,
    'restart-strategy.fixed-delay.delay': '2 s',
    'heartbeat.interval': 2000,
    'heartbeat.timeout': 12000,
    'io.tmp.dirs': home / 'tmp',
    'web.upload.dir': home / 'upload',
  }
  for folder in ('conf', 'tmp', 'upload'):
    (home / folder).mkdir()
  (home / 'conf/config.yaml').write_text(''.join(f'{name}: {value}\n' for name, value in settings.items()))
  (home / 'conf/log4j.properties').write_text(_LOGGING)


def _start(home: pathlib.Path, name: str, main: str, heap: str, *given: str) -> 'subprocess.Popen[bytes]':
  command = [
    *('java', '-Xms64m', f'-Xmx{heap}', '-XX:+UseSerialGC', f'-Dlog.file={home / name}.log'),
    f'-Dlog4j.configurationFile={home}/conf/log4j.properties',
    *(f'--add-opens=java.base/{package}=ALL-UNNAMED' for package in _OPENED),
    *('-cp', f'{home}/classes:{LIBRARIES}/*', main, '--configDir', f'{home}/conf', *given),
  ]
  with (home / f'{name}.out').open('wb') as output:
    return subprocess.Popen(command, cwd=home, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _wait(cluster: Cluster, task_managers: int) -> None:
  end = time.monotonic() + _SECONDS_TO_START
  while time.monotonic() < end and all(process.poll() is None for process in cluster.processes.values()):
    with contextlib.suppress(OSError):
      if cluster.ask('overview')['taskmanagers'] == task_managers:
        return
    time.sleep(0.3)
  said = '\n'.join(file.read_text()[-2000:] for file in sorted(cluster.home.glob('*.[lo][ou][gt]')))
  raise AssertionError(f'the task managers did not register in {_SECONDS_TO_START} s:\n{said}')
