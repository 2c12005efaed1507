"""Jobs as Dataflow gets them: what is asked of the service, what is staged, and whether workers need nothing else."""

import json
import math
import pathlib
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pyarrow.dataset as ds
import pytest

from pipelines.cli import main
from pipelines.exits import Exit
from tests.distribution import ROOT
from tests.end_to_end.conftest import Chain
from tests.end_to_end.leaks import Search, armoured
from tests.end_to_end.planted import write_export
from tests.end_to_end.planted_texts import NAME, TEXTS
from tests.integration.dataflow_service import Service, dataflow_service
from tests.integration.worker_environment import PYTHON, environment, install_sdist
from tests.jobs.test_object_store import facts, upload
from transforms import storage

IMAGE = 'europe-docker.pkg.dev/clinic/radbeam/dataflow:0.1.0'
_CHANGING = {'run_id', 'scored_at', 'supersedes_run_id', 'config_digest'}


@pytest.fixture(scope='module', autouse=True)
def _our_package() -> None:
  install_sdist()


@pytest.fixture
def service(tmp_path: pathlib.Path) -> Iterator[Service]:
  with dataflow_service(tmp_path) as service:
    yield service


@pytest.fixture
def site(chain: Chain, bucket: str) -> str:
  """The bucket with what the jobs read."""
  upload(chain.export.inbox, f'{bucket}/inbox')
  upload(chain.root / 'bundle', f'{bucket}/bundle')
  key = pathlib.Path(chain.key)
  storage.copy_files([(str(key), f'{bucket}/secret/{key.name}'), (str(chain.export.labels), f'{bucket}/labels.csv')])
  return bucket


def engine(service: Service, bucket: str) -> list[str]:
  return [
    *('--runner=DataflowRunner', '--project=clinic', '--region=europe-west3', f'--temp_location={bucket}/temp'),
    *(f'--dataflow_endpoint={service.address}', '--no_auth', '--sdk_location=container'),
    *(f'--sdk_container_image={IMAGE}', '--worker_machine_type=n2-standard-4', '--job_name=nightly-score'),
  ]


def score(bucket: str) -> list[str]:
  return [
    *('score', '--input', f'{bucket}/inbox', '--bundle', f'{bucket}/bundle', '--output', f'{bucket}/scores'),
    *('--pseudonym_key_file', f'{bucket}/secret/pseudonym.key', '--max_reject_ratio', '0.9', '--deterministic'),
  ]


def rows(folder: str, to: pathlib.Path) -> dict[tuple[str, int | None], dict[str, Any]]:
  """All rows of a table in a bucket, by their key."""
  for file in storage.list_files(folder):
    copy = to / file.path.removeprefix(f'{folder}/')
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(storage.read_bytes(file.path))
  table = ds.dataset(to, format='parquet', partitioning=None).to_table().to_pylist()
  keyed = {(row['source_id'], row['frame']): row for row in table}
  assert len(keyed) == len(table)
  return keyed


def assert_equal_rows(found: dict[Any, dict[str, Any]], expected: dict[Any, dict[str, Any]]) -> None:
  assert found.keys() == expected.keys()
  assert found
  for key, row in found.items():
    for name in row.keys() - _CHANGING:
      assert is_close(row[name], expected[key][name]), name


def is_close(one: Any, other: Any) -> bool:
  if isinstance(one, list):
    return len(one) == len(other) and all(map(is_close, one, other))
  if isinstance(one, dict):
    return one.keys() == other.keys() and all(is_close(one[name], other[name]) for name in one)
  return math.isclose(one, other, rel_tol=0, abs_tol=1e-6) if isinstance(one, float) else bool(one == other)


def test_a_job_is_scored_by_what_was_staged(chain: Chain, site: str, service: Service, tmp_path: pathlib.Path) -> None:
  assert main([*score(site), *engine(service, site)]) == Exit.DONE, service.output
  (job,) = service.jobs
  assert_job_is_as_asked(job, site)
  found = rows(f'{site}/scores/predictions', tmp_path / 'found')
  assert_equal_rows(found, chain.by_source('scores/predictions'))
  assert [file.path for file in storage.list_files(f'{site}/scores') if '.staging' in file.path] == []


def assert_job_is_as_asked(job: dict[str, Any], site: str) -> None:
  environment = job['environment']
  (pool,) = environment['workerPools']
  (image,) = pool['sdkHarnessContainerImages']
  assert image['containerImage'] == pool['workerHarnessContainerImage'] == IMAGE
  assert pool['machineType'] == 'n2-standard-4'
  assert pool['numThreadsPerWorker'] == 2
  assert 'no_use_multiple_sdk_containers' in environment['experiments']
  options = environment['sdkPipelineOptions']['options']
  assert (options['project'], options['region'], options['job_name']) == ('clinic', 'europe-west3', 'nightly-score')
  assert options['pipelineUrl'].startswith(f'{site}/temp/')
  assert (job['name'], job['type']) == ('nightly-score', 1)  # JOB_TYPE_BATCH, as REST has enums


@pytest.mark.parametrize('wait', [True, False])
def test_a_dataset_is_made_by_what_was_staged(
  wait: bool, chain: Chain, site: str, service: Service, tmp_path: pathlib.Path
) -> None:
  service.runs = wait
  ingest = chain.ingest('dataset', *engine(service, site), *(() if wait else ('--no_wait_until_finish',)))
  places = {str(chain.export.inbox): 'inbox', str(chain.export.labels): 'labels.csv', chain.key: 'secret/pseudonym.key'}
  places[str(chain.root / 'dataset')] = 'dataset'
  assert main([f'{site}/{places[word]}' if word in places else word for word in ingest]) == Exit.DONE, service.output
  if not wait:
    assert not storage.exists(f'{site}/dataset/dataset.json')
    service.run(service.jobs[0])
  assert_job_is_as_asked(service.jobs[0], site)
  there = json.loads(storage.read_bytes(f'{site}/dataset/dataset.json'))
  here = json.loads((chain.root / 'dataset/dataset.json').read_text())
  assert facts(there) == facts(here)
  assert storage.exists(f'{site}/dataset/transform_graph/transform_fn/saved_model.pb')
  assert_equal_rows(rows(f'{site}/dataset/index', tmp_path / 'found'), chain.by_source('dataset/index'))
  assert [file.path for file in storage.list_files(f'{site}/dataset') if '.staging' in file.path] == []


def test_the_launcher_of_a_template_does_not_wait_and_the_job_ends_alone(
  chain: Chain, site: str, service: Service, tmp_path: pathlib.Path
) -> None:
  service.runs = False
  assert main([*score(site), *engine(service, site), '--no_wait_until_finish']) == Exit.DONE
  assert [method for method, _ in service.asked] == ['POST']
  assert list(storage.list_files(f'{site}/scores/runs')) == []
  service.run(service.jobs[0])
  (record,) = storage.list_files(f'{site}/scores/runs')
  assert json.loads(storage.read_bytes(record.path))['state'] == 'done'
  assert_equal_rows(rows(f'{site}/scores/predictions', tmp_path / 'found'), chain.by_source('scores/predictions'))
  assert [file.path for file in storage.list_files(f'{site}/scores') if '.staging' in file.path] == []


@pytest.mark.parametrize('job', ['ingest', 'score'])
def test_nothing_planted_is_staged_or_asked_for(
  job: str, chain: Chain, site: str, service: Service, tmp_path: pathlib.Path
) -> None:
  write_export(tmp_path / 'planted')
  upload(tmp_path / 'planted/inbox', f'{site}/inbox')
  storage.copy_files([(str(tmp_path / 'planted/labels.csv'), f'{site}/labels.csv')])
  service.runs = False
  command = score(site) if job == 'score' else ['ingest', '--labels', f'{site}/labels.csv', *score(site)[1:-1]]
  if job == 'ingest':
    at = command.index('--bundle')
    del command[at : at + 2]
  assert main([*command, *engine(service, site), '--no_wait_until_finish']) == Exit.DONE
  assert any(NAME in file.path for file in storage.list_files(f'{site}/inbox'))
  staged = list(storage.list_files(f'{site}/temp'))
  assert {pathlib.PurePosixPath(file.path).name for file in staged} >= {'pipeline.pb'}
  content = b'\n'.join(
    [json.dumps(service.jobs).encode(), *(file.path.encode() + storage.read_bytes(file.path) for file in staged)]
  )
  content += armoured(content)
  assert f'{site}/secret/pseudonym.key'.encode() in content  # the path alone: so functions were unpacked
  assert Search(TEXTS, [pathlib.Path(chain.key).read_bytes()]).within(content) == []


def test_a_template_is_launched_with_its_parameters(
  chain: Chain, site: str, service: Service, tmp_path: pathlib.Path
) -> None:
  template = json.loads((ROOT / 'deploy/dataflow/score.json').read_text())
  given = {
    'input': f'{site}/inbox',
    'bundle': f'{site}/bundle',
    'output': f'{site}/scores',
    'pseudonym_key_file': f'{site}/secret/pseudonym.key',
    'deterministic': 'true',
    'sdk_container_image': IMAGE,
  }
  assert_parameters_are_taken(template, given)
  # What the service adds, and the address of this one.
  added = [word for word in engine(service, site) if word.startswith(('--project', '--region', '--temp', '--job_name'))]
  added += [f'--template_location={site}/temp/job_object', f'--dataflow_endpoint={service.address}', '--no_auth']
  launched = subprocess.run(
    [PYTHON, ROOT / 'deploy/dataflow/launch.py', *(f'--{name}={value}' for name, value in given.items()), *added],
    env=environment(tmp_path) | {'RADBEAM_JOB': 'score'},
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=False,
  )
  assert launched.returncode == Exit.DONE, launched.stderr
  assert service.asked == []  # the launcher's own service creates the job, from what the launcher leaves
  job = json.loads(storage.read_bytes(f'{site}/temp/job_object'))
  assert job['environment']['workerPools'][0]['workerHarnessContainerImage'] == IMAGE
  service.run(job)
  assert_equal_rows(rows(f'{site}/scores/predictions', tmp_path / 'found'), chain.by_source('scores/predictions'))


def assert_parameters_are_taken(template: dict[str, Any], given: dict[str, str]) -> None:
  """As the service checks them before it starts a launcher."""
  parameters = {parameter['name']: parameter for parameter in template['parameters']}
  assert {name for name, one in parameters.items() if not one.get('isOptional')} <= given.keys() <= parameters.keys()
  for name, value in given.items():
    assert all(re.search(regex, value) for regex in parameters[name]['regexes']), name


@pytest.mark.parametrize(
  ('change', 'flag'),
  [
    ({'--project': None}, '--project is missing'),
    ({'--region': None}, '--region is missing'),
    ({'--temp_location': None}, '--temp_location is missing'),
    ({'--temp_location': '/tmp/x'}, '--temp_location is /tmp/x'),
    ({'--sdk_container_image': None}, '--sdk_container_image is missing'),
    ({'--input': '/data/inbox'}, '--input is /data/inbox'),
    ({'--output': '/tmp/out'}, '--output is /tmp/out'),
    ({'--bundle': '/data/bundle'}, '--bundle is /data/bundle'),
    ({'--pseudonym_key_file': '/etc/key'}, '--pseudonym_key_file must be an object'),
    ({'--pseudonym_key_file': None}, '--pseudonym_key_file must be an object'),
    ({'--crosswalk': '/tmp/crosswalk'}, '--crosswalk is a folder of one machine'),
    (
      {'--worker_machine_type': 'n1-highcpu-1', '--batch_size': '512'},
      'the model does not fit: a worker of type n1-highcpu-1 has 0.9 GiB',
    ),
  ],
)
def test_what_dataflow_cannot_run_is_one_line_and_nothing_is_sent(
  change: dict[str, str | None], flag: str, site: str, service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
  job, *words = score(site)
  flags = dict(zip(words[: words.index('--deterministic') : 2], words[1::2], strict=False))
  flags |= dict(word.partition('=')[::2] for word in engine(service, site) if '=' in word)
  given = [f'{name}={value}' for name, value in (flags | change).items() if value is not None]
  assert main([job, *given, '--no_auth']) == Exit.USAGE
  lines = capfd.readouterr().err.splitlines()
  assert [line for line in lines if not line.startswith('radbeam score: error: ')] == []
  assert flag in lines[-1]
  assert service.asked == []
  assert list(storage.list_files(f'{site}/temp')) == []
