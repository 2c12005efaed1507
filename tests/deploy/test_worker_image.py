"""The image of workers, as far as it can be held to the code without being built."""

import ast
import re

from tests.deploy.dockerfiles import read, sources
from tests.deploy.manifests import DEPLOY
from tests.distribution import ROOT
from tests.test_house import listed_packages

DOCKERFILE = DEPLOY / 'worker/Dockerfile'
BEAM, BUILD, FINAL = read(DOCKERFILE)


def locked(path: str) -> dict[str, str]:
  return dict(re.findall(r'^([\w.-]+)==(\S+)', (ROOT / path).read_text(), re.M))


def test_the_lock_of_workers_is_part_of_ours() -> None:
  ours, workers = locked('requirements.lock'), locked('deploy/worker/requirements.lock')
  assert workers.items() <= ours.items()
  assert ours.keys() - workers.keys() >= {'pytest', 'mypy', 'ruff', 'matplotlib', 'scikit-learn', 'jinja2', 'duckdb'}
  assert locked('deploy/worker/build.lock').items() <= ours.items()


def test_every_requirement_of_workers_is_locked_with_hashes() -> None:
  setup = ast.parse((ROOT / 'setup.py').read_text())
  (required,) = (
    node.value for node in ast.walk(setup) if isinstance(node, ast.keyword) and node.arg == 'install_requires'
  )
  names = {re.split(r'[\[<>=]', name)[0] for name in ast.literal_eval(required)}
  assert names <= locked('deploy/worker/requirements.lock').keys()
  for path in ('requirements.lock', 'build.lock'):
    entries = re.split(r'^(?=[\w.-]+==)', (DEPLOY / 'worker' / path).read_text(), flags=re.M)[1:]
    assert [entry.split()[0] for entry in entries if '--hash=sha256:' not in entry] == []


def test_beam_is_of_one_version_and_python_too() -> None:
  beam = locked('deploy/worker/requirements.lock')['apache-beam']
  (python,) = set(re.findall(r'--python-version (\S+)', (DEPLOY / 'worker/requirements.lock').read_text()))
  assert BEAM.base == f'apache/beam_python{python}_sdk:{beam}'
  assert {BUILD.base, FINAL.base} == {f'python:{python}-slim-bookworm'}


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
  assert [name for name in sources(BUILD) if not (ROOT / name).exists()] == []
  assert sources(FINAL) == []
  allowed = (DEPLOY / 'worker/Dockerfile.dockerignore').read_text().split('*\n', 1)[1].split()
  patterns = {line.removeprefix('!') for line in allowed if line.startswith('!')}
  reached = {'deploy/worker/*.lock' if name.endswith('.lock') else name for name in sources(BUILD)}
  assert reached == patterns


def test_all_our_packages_are_in_it() -> None:
  packages = {name.partition('.')[0] for name in listed_packages(ast.parse((ROOT / 'setup.py').read_text()))}
  assert packages <= set(sources(BUILD))


def test_only_what_is_locked_is_installed() -> None:
  installs = [part for value in BUILD.values('RUN') for part in value.split('&&') if 'pip install' in part]
  assert len(installs) == 3
  assert all('--require-hashes' in part or '--no-index --no-deps' in part for part in installs)
  assert '--no-build-isolation' in installs[1]
  assert '--no-build-isolation' in installs[2]
  assert [value for value in FINAL.values('RUN') if 'pip' in value] == []


def test_workers_run_without_root_and_install_nothing() -> None:
  assert FINAL.values('USER') == ['10001:10001']
  order = [one.name for one in FINAL.instructions]
  assert 'RUN' not in order[order.index('USER') :]
  (variables,) = FINAL.values('ENV')
  assert {'RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1', 'PIP_NO_INDEX=1'} <= set(variables.split())
  assert FINAL.values('ENTRYPOINT') == ['["/opt/apache/beam/boot"]']


def test_what_the_schedulers_call_is_in_it() -> None:
  checks = ' '.join(FINAL.values('RUN'))
  kubernetes = (DEPLOY / 'kubernetes/cronjob.yaml').read_text()
  for command in ('install', 'radbeam'):
    assert re.search(rf'\b{command}\b', kubernetes)
    assert re.search(rf'\b{command}\b', checks)
  (zone,) = re.findall(r'name: TZ, value: (\S+?)}', kubernetes)
  assert f'/usr/share/zoneinfo/{zone}' in checks
