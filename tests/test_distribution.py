"""What a worker gets: our sdist, installed elsewhere, can unpickle and run what the launcher pickled."""

import pathlib
import sys

import pytest
from apache_beam.internal import pickler

from pipelines.dataset_shards import DatasetSpec
from pipelines.ingest import WriteDatasetShards
from tests.distribution import build_sdist, run
from transforms.decode import DecodeOptions
from transforms.splits import PatientRule, SplitSpec

_UNPICKLE = """
import pathlib, sys
from apache_beam.internal import pickler
transform = pickler.loads(pathlib.Path(sys.argv[1]).read_bytes())
import pipelines
print(pathlib.Path(pipelines.__file__).parent, type(transform).__name__, transform.spec.decode.spec.image_size)
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """A folder with nothing but what pip installs from our sdist."""
  scratch = tmp_path_factory.mktemp('sdist')
  archive = build_sdist(scratch)
  pip = (sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation', '--no-index')
  run(*pip, '--target', str(scratch / 'site'), str(archive), cwd=scratch)
  return scratch / 'site'


def test_a_transform_is_unpickled_where_only_the_sdist_is_installed(
  installed: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  spec = DatasetSpec(DecodeOptions(), 'folder', PatientRule(), SplitSpec())
  (tmp_path / 'pickled').write_bytes(pickler.dumps(WriteDatasetShards(spec, 'staging', 'key')))
  monkeypatch.setenv('PYTHONPATH', str(installed))
  printed = run(sys.executable, '-P', '-c', _UNPICKLE, str(tmp_path / 'pickled'), cwd=tmp_path)
  assert printed.split() == [str(installed / 'pipelines'), 'WriteDatasetShards', '224']


def test_the_report_s_template_and_the_console_script_are_installed(installed: pathlib.Path) -> None:
  assert (installed / 'model/report/evaluation.html.j2').is_file()
  assert (installed / 'bin/radbeam').is_file()


def test_tests_and_benchmarks_are_not_installed(installed: pathlib.Path) -> None:
  assert {path.name for path in installed.iterdir() if (path / '__init__.py').is_file()} == {
    'pipelines',
    'transforms',
    'model',
  }
