import os
import pathlib
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipelines.arguments import parse
from pipelines.exits import Exit
from pipelines.night_options import NightlyOptions
from tests.deploy.manifests import DEPLOY, KUBERNETES, cron_job, documents, pod, script

VERSION = '1.33'


@pytest.mark.parametrize('document', documents(), ids=lambda document: document['kind'])
def test_every_manifest_is_valid(document: dict[str, Any]) -> None:
  kubernetes_validate.validate(document, VERSION, strict=True)


def test_the_validation_can_object() -> None:
  broken = cron_job()
  broken['spec']['concurrencyPolicies'] = 'Forbid'
  with pytest.raises(kubernetes_validate.ValidationError):
    kubernetes_validate.validate(broken, VERSION, strict=True)


def test_all_containers_are_confined() -> None:
  assert pod()['securityContext']['runAsNonRoot']
  assert pod()['automountServiceAccountToken'] is False
  for container in (*pod()['containers'], *pod()['initContainers']):
    context = container['securityContext']
    assert context['readOnlyRootFilesystem']
    assert not context['allowPrivilegeEscalation']
    assert context['capabilities'] == {'drop': ['ALL']}
    assert container['resources']['limits']['memory']


def test_what_is_mounted_is_there_and_what_is_there_is_mounted() -> None:
  containers = (*pod()['containers'], *pod()['initContainers'])
  mounted = {mount['name'] for container in containers for mount in container['volumeMounts']}
  assert mounted == {volume['name'] for volume in pod()['volumes']}
  claims = {
    volume['persistentVolumeClaim']['claimName']
    for volume in pod()['volumes']
    if len(volume) > 1 and 'persistentVolumeClaim' in volume
  }
  made = {document['metadata']['name'] for document in documents() if document['kind'] == 'PersistentVolumeClaim'}
  assert claims == made


def run_script(tmp_path: pathlib.Path, code: int) -> 'subprocess.CompletedProcess[str]':
  """Runs the container's script with a job that does nothing but end."""
  job = tmp_path / 'radbeam'
  job.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
  job.chmod(0o700)
  environment = {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}
  return subprocess.run(['/bin/sh', '-c', script()], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize('code', list(Exit))
def test_exit_codes_mean_to_the_cluster_what_they_mean(tmp_path: pathlib.Path, code: Exit) -> None:
  fine = {Exit.DONE, Exit.NOTHING_TO_DO, Exit.LOCKED, Exit.DEADLINE}
  assert run_script(tmp_path, code).returncode == (0 if code in fine else code)
  rules = cron_job()['spec']['jobTemplate']['spec']['podFailurePolicy']['rules']
  final = next(rule['onExitCodes']['values'] for rule in rules if rule['action'] == 'FailJob')
  assert (code in final) == (code not in fine and code != Exit.CRASHED)


def test_the_flags_and_the_configuration_are_those_of_the_job(tmp_path: pathlib.Path) -> None:
  job, *arguments = run_script(tmp_path, 0).stdout.split()
  assert job == 'nightly'
  config = arguments.index('--config') + 1
  assert arguments[config] == '/etc/radbeam/nightly.yaml'
  arguments[config] = str(_local(tmp_path))
  options, extras = parse('nightly', arguments)
  assert isinstance(options, NightlyOptions)
  assert (extras, options.deadline, options.volume_alarm) == ([], '06:30', 'fail')
  mounts = {mount['mountPath'] for mount in pod()['containers'][0]['volumeMounts']}
  for path in (*_given()['inbox'].split(), _given()['bundle'], _given()['output']):
    assert any(path == mount or path.startswith(f'{mount}/') for mount in mounts)


def _given() -> dict[str, Any]:
  given: dict[str, Any] = yaml.safe_load((DEPLOY / 'nightly.yaml').read_text())
  return given


def _local(folder: pathlib.Path) -> pathlib.Path:
  """The configuration with an output that can be written here."""
  path = folder / 'nightly.yaml'
  path.write_text(yaml.safe_dump(_given() | {'output': str(folder)}))
  return path


def test_the_copy_of_the_configuration_is_the_same() -> None:
  assert (KUBERNETES / 'nightly.yaml').read_bytes() == (DEPLOY / 'nightly.yaml').read_bytes()


def test_the_job_ends_by_itself_before_it_is_ended() -> None:
  hour, minute = map(int, _given()['deadline'].split(':'))
  start = int(cron_job()['spec']['schedule'].split()[1])
  seconds = ((hour - start) % 24) * 3600 + minute * 60
  assert cron_job()['spec']['jobTemplate']['spec']['activeDeadlineSeconds'] > seconds + 3600
