"""The environment of workers: locked, without what only development needs, and it boots and works."""

import pathlib
import re
import subprocess
import sys

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.cli import main
from pipelines.exits import Exit
from tests.distribution import ROOT
from tests.end_to_end.conftest import Chain
from tests.integration.worker_environment import PYTHON, WORKER, environment, install_sdist, worker_pool


@pytest.fixture(scope='module', autouse=True)
def _our_package() -> None:
  install_sdist()


def in_worker(code: str, home: pathlib.Path) -> str:
  done = subprocess.run([PYTHON, '-c', code], env=environment(home), cwd=home, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  return done.stdout


def locked(path: str) -> dict[str, str]:
  return dict(re.findall(r'^([\w.-]+)==(\S+)', (ROOT / path).read_text(), re.M))


_INSTALLED = """
import re
from importlib.metadata import distributions
for one in distributions():
  print(re.sub(r'[-_.]+', '-', one.name).lower(), one.version)
"""
_ORIGINS = """
import pipelines.cli, transforms, model.bundle, apache_beam, cv2, tensorflow
print(*(module.__file__ for module in (pipelines, transforms, model, apache_beam, cv2, tensorflow)), sep='\\n')
"""
_IMPORT = """
import importlib.util
print(*(name for name in {names!r} if importlib.util.find_spec(name)))
"""


def test_what_is_installed_is_the_lock_and_our_package(tmp_path: pathlib.Path) -> None:
  installed = dict(line.split() for line in in_worker(_INSTALLED, tmp_path).splitlines())
  ours = {installed.pop(name) and name for name in ('pip', 'radbeam')}
  assert ours == {'pip', 'radbeam'}
  assert installed == locked('deploy/worker/requirements.lock') | locked('deploy/worker/build.lock')


def test_all_comes_from_the_environment_and_not_from_the_clone(tmp_path: pathlib.Path) -> None:
  origins = in_worker(_ORIGINS, tmp_path).splitlines()
  assert [path for path in origins if not path.startswith(f'{WORKER}/lib/')] == []


def test_what_only_development_needs_cannot_be_imported(tmp_path: pathlib.Path) -> None:
  names = ['pytest', 'mypy', 'ruff', 'uv', 'hypothesis', 'duckdb', 'matplotlib', 'sklearn', 'jinja2', 'benchmarks']
  assert in_worker(_IMPORT.format(names=names), tmp_path).split() == []
  assert in_worker(_IMPORT.format(names=['pydicom', 'model']), tmp_path).split() == ['pydicom', 'model']


def engine(address: str) -> list[str]:
  return [
    *('--runner=PortableRunner', '--job_endpoint=embed', '--environment_type=EXTERNAL'),
    f'--environment_config={address}',
  ]


def test_work_is_done_in_that_environment(tmp_path: pathlib.Path) -> None:
  with worker_pool(tmp_path) as address, beam.Pipeline(options=PipelineOptions(engine(address))) as pipeline:
    place = pipeline | beam.Create([None]) | beam.Map(lambda _: sys.executable)
    _ = place | beam.io.WriteToText(str(tmp_path / 'where'), shard_name_template='')
  assert (tmp_path / 'where').read_text() == f'{PYTHON}\n'


def test_a_worker_boots_and_scores(chain: Chain, tmp_path: pathlib.Path) -> None:
  with worker_pool(tmp_path) as address:
    score = chain.score('scores-of-workers', '--deterministic', *engine(address))
    assert main(score) == Exit.DONE, (tmp_path / 'pool.log').read_text()
  changing = {'run_id', 'scored_at', 'supersedes_run_id'}
  found, expected = chain.by_source('scores-of-workers/predictions'), chain.by_source('scores/predictions')
  assert found.keys() == expected.keys()
  for key, row in found.items():
    assert {name: value for name, value in row.items() if name not in changing} == {
      name: value for name, value in expected[key].items() if name not in changing
    }
