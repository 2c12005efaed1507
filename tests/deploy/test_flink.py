"""The session cluster with our workers as side-cars, and the launcher of a job on it.

Pods are held to Kubernetes' schemas here; the FlinkDeployment to that of its operator in tests/integration.
"""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions

from pipelines.arguments import own_flags, parse
from pipelines.beam_options import check_beam_args, pipeline_options
from pipelines.options import ScoreOptions
from pipelines.preflight_portable import is_loopback, pool_address
from pipelines.worker_memory import GIB, Model, Worker, check_model_fits
from tests.deploy.manifests import FLINK, documents, flink_deployment, flink_job
from tests.deploy.test_kubernetes import VERSION
from tests.deploy.test_worker_image import locked

CORE = [document for document in documents(FLINK) if document['kind'] != 'FlinkDeployment'] + [flink_job()]


def cluster_pod(of: str) -> dict[str, Any]:
  """The pod of job or task manager, as far as it is ours to say; the operator adds image and command."""
  spec: dict[str, Any] = flink_deployment()['spec'][of]['podTemplate']['spec']
  return spec


def launcher_pod() -> dict[str, Any]:
  spec: dict[str, Any] = flink_job()['spec']['template']['spec']
  return spec


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
  (found,) = (one for one in pod['containers'] if one['name'] == name)
  return dict(found)


PODS = {
  'job manager': cluster_pod('jobManager'),
  'task manager': cluster_pod('taskManager'),
  'launcher': launcher_pod(),
}


def beam_args() -> list[str]:
  _, *arguments = container(launcher_pod(), 'launcher')['command'][1:]
  return parse('score', arguments)[1]


def given() -> PipelineOptions:
  return pipeline_options(beam_args())


@pytest.mark.parametrize('document', CORE, ids=lambda document: document['kind'])
def test_every_manifest_is_valid(document: dict[str, Any]) -> None:
  kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize('pod', PODS.values(), ids=PODS)
def test_every_pod_is_valid(pod: dict[str, Any]) -> None:
  whole = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'x'}, 'spec': pod}
  kubernetes_validate.validate(whole, VERSION, strict=True)
  with pytest.raises(kubernetes_validate.ValidationError):
    kubernetes_validate.validate(whole | {'spec': pod | {'sideCars': []}}, VERSION, strict=True)


@pytest.mark.parametrize('pod', PODS.values(), ids=PODS)
def test_all_containers_are_confined(pod: dict[str, Any]) -> None:
  """As the namespace enforces it: Kubernetes' standard `restricted`."""
  assert pod['securityContext']['runAsNonRoot']
  assert pod['securityContext']['seccompProfile'] == {'type': 'RuntimeDefault'}
  assert pod['automountServiceAccountToken'] is False
  for one in (*pod['containers'], *pod.get('initContainers', ())):
    context = one['securityContext']
    assert not context['allowPrivilegeEscalation']
    assert context['capabilities'] == {'drop': ['ALL']}
    assert one['name'] == 'flink-main-container' or (context['readOnlyRootFilesystem'] and one['resources']['limits'])


def test_what_is_mounted_is_there_and_what_is_there_is_mounted() -> None:
  claimed = set()
  for pod in PODS.values():
    containers = (*pod['containers'], *pod.get('initContainers', ()))
    mounted = {mount['name'] for one in containers for mount in one.get('volumeMounts', ())}
    assert mounted == {volume['name'] for volume in pod.get('volumes', ())}
    claims = (volume.get('persistentVolumeClaim', {}) for volume in pod.get('volumes', ()))
    claimed |= {claim['claimName'] for claim in claims if claim}
  assert claimed == {one['metadata']['name'] for one in CORE if one['kind'] == 'PersistentVolumeClaim'}


def test_the_command_is_one_of_ours_and_of_beam_s() -> None:
  program, job, *arguments = container(launcher_pod(), 'launcher')['command']
  assert (program, job) == ('radbeam', 'score')
  options, extras = parse(job, arguments)
  assert isinstance(options, ScoreOptions)
  check_beam_args(extras, own_flags(job))


def test_launcher_and_workers_see_the_same_files() -> None:
  places = []
  for one in (container(launcher_pod(), 'launcher'), container(cluster_pod('taskManager'), 'workers')):
    shared = {mount['mountPath']: mount['name'] for mount in one['volumeMounts'] if mount['mountPath'] != '/jars'}
    places.append((shared, one['image']))
  assert places[0] == places[1]
  options, _ = parse('score', container(launcher_pod(), 'launcher')['command'][2:])
  assert isinstance(options, ScoreOptions)
  for path in (*options.input, options.output, *options.bundle, options.pseudonym_key_file):
    assert path
    assert any(path == mount or path.startswith(f'{mount}/') for mount in places[0][0]), path


def test_the_pool_is_the_side_car_of_the_worker_image() -> None:
  workers = container(cluster_pod('taskManager'), 'workers')
  assert workers['args'] == ['--worker_pool']
  assert 'command' not in workers  # the image's entry, which is Beam's
  address = pool_address('flinkrunner', given())
  assert address == 'localhost:50000'  # the port is written into Beam's entry
  assert is_loopback(address.partition(':')[0])
  (policy,) = (one for one in CORE if one['kind'] == 'NetworkPolicy')
  open_ports = {port['port'] for rule in policy['spec']['ingress'] for port in rule['ports']}
  assert 50000 not in open_ports
  assert {8081, 6121} <= open_ports


def test_versions_of_flink_beam_and_radbeam_are_one() -> None:
  spec, flink = flink_deployment()['spec'], given().view_as(FlinkRunnerOptions)
  minor = spec['flinkVersion'].removeprefix('v').replace('_', '.')
  assert spec['image'].startswith(f'flink:{minor}.')
  assert minor in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
  beam = locked('deploy/worker/requirements.lock')['apache-beam']
  assert flink.flink_job_server_jar == f'/jars/beam-runners-flink-{minor}-job-server-{beam}.jar'
  pinned = re.findall(r'newTag: (\S+)', (FLINK.parent / 'kubernetes/kustomization.yaml').read_text())
  text = ''.join((FLINK / name).read_text() for name in ('session.yaml', 'job.yaml'))
  assert set(re.findall(r'image: radbeam:(\S+)', text)) == set(pinned)


def test_the_master_is_the_rest_service_of_the_cluster() -> None:
  flink = given().view_as(FlinkRunnerOptions)
  assert flink.flink_submit_uber_jar
  assert flink.flink_master == f'{flink_deployment()["metadata"]["name"]}-rest:8081'
  spec = flink_deployment()['spec']
  slots = int(spec['flinkConfiguration']['taskmanager.numberOfTaskSlots'])
  assert flink.parallelism == slots * spec['taskManager']['replicas']


def test_the_default_network_fits_the_workers() -> None:
  limit = container(cluster_pod('taskManager'), 'workers')['resources']['limits']['memory']
  slots = int(flink_deployment()['spec']['flinkConfiguration']['taskmanager.numberOfTaskSlots'])
  worker = Worker(int(limit.removesuffix('Gi')) * GIB - 3 * GIB // 2, cores=8, processes=1, threads=slots)
  check_model_fits(Model(200 << 20, 224 * 224, 3, 64), worker, 'the side-car, but for the reserve of docs/engines.md')


def test_values_of_flink_s_configuration_are_texts() -> None:
  assert all(isinstance(value, str) for value in flink_deployment()['spec']['flinkConfiguration'].values())


def test_the_job_is_not_made_with_the_cluster() -> None:
  named = yaml.safe_load((FLINK / 'kustomization.yaml').read_text())['resources']
  assert {path.name for path in FLINK.glob('*.yaml')} - set(named) == {'job.yaml', 'kustomization.yaml'}
