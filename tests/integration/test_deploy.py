"""What schedules the nightly run, against the schedulers' own checkers."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

import pytest

from pipelines.arguments import parse
from pipelines.exits import Exit
from tests.deploy.manifests import DEPLOY, script

ROOT = DEPLOY.parent
_AIRFLOW = ROOT / '.venv-airflow/bin/python'  # `make integration` makes it, as it does promtool
_PROMTOOL = pathlib.Path(sys.executable).parent / 'promtool'
_HADOLINT = pathlib.Path(sys.executable).parent / 'hadolint'
_UNITS = ('radbeam-nightly.service', 'radbeam-nightly.timer', 'radbeam-alarm@x.service')


def run(command: Sequence[str | pathlib.Path], **environment: str) -> 'subprocess.CompletedProcess[str]':
  return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> pathlib.Path:
  """The root of a machine that has systemd's own units, ours, and the commands that they run."""
  shutil.copytree('/lib/systemd/system', tmp_path / 'usr/lib/systemd/system', symlinks=True)
  shutil.copytree(DEPLOY / 'systemd', tmp_path / 'etc/systemd/system')
  for command in ('opt/radbeam/bin/radbeam', 'usr/bin/logger'):
    path = tmp_path / command
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy('/bin/true', path)
  return tmp_path


def verify(machine: pathlib.Path) -> 'subprocess.CompletedProcess[str]':
  return run(['systemd-analyze', 'verify', '--man=no', f'--root={machine}', *_UNITS])


def test_systemd_has_nothing_to_object(machine: pathlib.Path) -> None:
  done = verify(machine)
  assert (done.returncode, done.stderr) == (0, '')


def test_systemd_can_object(machine: pathlib.Path) -> None:
  (machine / 'opt/radbeam/bin/radbeam').unlink()
  assert verify(machine).returncode != 0


def test_the_service_is_confined() -> None:
  unit = DEPLOY / 'systemd/radbeam-nightly.service'
  done = run(['systemd-analyze', 'security', '--offline=true', '--threshold=15', unit])  # 1.5 of 10
  assert done.returncode == 0, done.stdout


def test_exit_codes_mean_to_systemd_what_they_mean() -> None:
  text = (DEPLOY / 'systemd/radbeam-nightly.service').read_text()
  found = {
    name: {int(code) for code in codes.split()} for name, codes in re.findall(r'^(\w+ExitStatus)=(.*)$', text, re.M)
  }
  assert found == {
    'SuccessExitStatus': {Exit.NOTHING_TO_DO, Exit.LOCKED, Exit.DEADLINE},
    'RestartPreventExitStatus': {Exit.USAGE, Exit.TOO_MANY_REJECTS, Exit.ALARM},
  }


def test_the_flags_of_the_service_are_those_of_the_job() -> None:
  text = (DEPLOY / 'systemd/radbeam-nightly.service').read_text()
  (command,) = re.findall(r'^ExecStart=/opt/radbeam/bin/radbeam nightly (.*)$', text, re.M)
  arguments = command.replace('--config /etc/radbeam/nightly.yaml', '--inbox i --bundle b --output o').split()
  _, extras = parse('nightly', arguments)
  assert extras == []


def test_shellcheck_has_nothing_to_object(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'nightly.sh'
  path.write_text(f'#!/bin/sh\n{script()}')
  assert run(['shellcheck', path, ROOT / '.ci/run']).stdout == ''
  path.write_text('#!/bin/sh\nrm $1\n')
  assert run(['shellcheck', path]).returncode != 0


def test_prometheus_has_nothing_to_object_to_the_alerts() -> None:
  done = run([_PROMTOOL, 'check', 'rules', '--lint-fatal', DEPLOY / 'prometheus/alerts.yaml'])
  assert done.returncode == 0, done.stdout + done.stderr


_LOAD = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
dag, = bag.dags.values()
assert (dag.catchup, dag.max_active_runs) == (False, 1)
print(dag.dag_id, [(task.task_id, task.retries) for task in dag.tasks])
"""
_OUTCOME = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location('dag', sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
try:
  module.run(('/bin/sh', '-c', 'exit ' + sys.argv[2]))
except Exception as error:
  print(type(error).__name__)
"""


@pytest.fixture
def airflow_home(tmp_path: pathlib.Path) -> dict[str, str]:
  return {'AIRFLOW_HOME': str(tmp_path), 'AIRFLOW__CORE__LOAD_EXAMPLES': 'false'}


def test_airflow_loads_the_dag(airflow_home: dict[str, str]) -> None:
  done = run([_AIRFLOW, '-c', _LOAD, DEPLOY / 'airflow'], **airflow_home)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1] == "radbeam_nightly [('score', 2)]"


@pytest.mark.parametrize('code', list(Exit))
def test_exit_codes_mean_to_airflow_what_they_mean(code: Exit, airflow_home: dict[str, str]) -> None:
  expected = {
    Exit.DONE: '',
    Exit.CRASHED: 'AirflowException',  # which is tried again
    Exit.NOTHING_TO_DO: 'AirflowSkipException',
    Exit.LOCKED: 'AirflowSkipException',
    Exit.DEADLINE: 'AirflowSkipException',
  }.get(code, 'AirflowFailException')
  done = run([_AIRFLOW, '-c', _OUTCOME, DEPLOY / 'airflow/radbeam_nightly.py', str(int(code))], **airflow_home)
  assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [expected] if expected else []), done.stderr


def test_the_command_of_the_dag_is_that_of_the_job() -> None:
  text = (DEPLOY / 'airflow/radbeam_nightly.py').read_text()
  (command,) = re.findall(r"^COMMAND = \('/opt/radbeam/bin/radbeam', 'nightly', (.*)\)$", text, re.M)
  assert command == "'--config', '/etc/radbeam/nightly.yaml'"
  assert "'--run_date', date" in text


@pytest.mark.parametrize('path', sorted(DEPLOY.rglob('*Dockerfile')), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_hadolint_has_nothing_to_object(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
  done = run([_HADOLINT, path])
  assert (done.returncode, done.stdout) == (0, '')
  (tmp_path / 'Dockerfile').write_text('FROM debian\nRUN cd /x\n')
  assert run([_HADOLINT, tmp_path / 'Dockerfile']).returncode != 0
