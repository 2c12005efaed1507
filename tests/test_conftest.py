import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parent.parent

_PASSES = 'def test_passes(): pass\n'
_SKIPS = 'import pytest\n@pytest.mark.skip\ndef test_skips(): pass\n'
_FAILS_AS_EXPECTED = 'import pytest\n@pytest.mark.xfail\ndef test_fails(): assert False\n'
_PASSES_UNEXPECTEDLY = 'import pytest\n@pytest.mark.xfail\ndef test_passes(): pass\n'
_SKIPS_ALL = 'import pytest\npytest.skip(allow_module_level=True)\n'
_TELLS_ITS_THREADS = """
import os
def test_tells():
  assert [os.environ.get(name) for name in ('TF_NUM_INTRAOP_THREADS', 'OMP_NUM_THREADS')] == {expected}
"""


def pytest_in(folder: pathlib.Path, processes: int, **environment: str) -> 'subprocess.CompletedProcess[str]':
  """Runs the tests of a folder as ours are run, without the plugins that they do not need."""
  ours = ('-p', 'xdist.plugin', '-p', 'tests.conftest', '-p', 'no:cacheprovider', '-n', str(processes))
  command = [sys.executable, '-m', 'pytest', '-q', *ours, str(folder), '--rootdir', str(folder)]
  inherited = {
    name: value for name, value in os.environ.items() if not name.endswith('_THREADS') and 'XDIST' not in name
  }
  given = inherited | environment | {'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1'}
  return subprocess.run(command, cwd=_ROOT, env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize('processes', [0, 2])
@pytest.mark.parametrize(
  ('text', 'code'),
  [(_PASSES, 0), (_SKIPS, 1), (_FAILS_AS_EXPECTED, 1), (_PASSES_UNEXPECTEDLY, 1), (_SKIPS_ALL, 1)],
  ids=['passes', 'skip', 'xfail', 'xpass', 'module'],
)
def test_a_skip_counts_as_a_failure(tmp_path: pathlib.Path, text: str, code: int, processes: int) -> None:
  (tmp_path / 'test_one.py').write_text(text)
  (tmp_path / 'test_two.py').write_text(_PASSES)
  done = pytest_in(tmp_path, processes)
  assert done.returncode == code, done.stdout
  assert ('counts as failed' in done.stdout) == bool(code)


@pytest.mark.parametrize(('processes', 'expected'), [(0, [None, '9']), (2, ['1', '9'])])
def test_one_of_several_processes_has_one_thread_unless_it_was_told_otherwise(
  tmp_path: pathlib.Path, processes: int, expected: list[str | None]
) -> None:
  (tmp_path / 'test_one.py').write_text(_TELLS_ITS_THREADS.format(expected=expected))
  done = pytest_in(tmp_path, processes, OMP_NUM_THREADS='9')
  assert done.returncode == 0, done.stdout


_NAMED_BY_BYTES = """
import os, pytest
@pytest.mark.parametrize('data', [os.urandom(20), b'few'])
def test_takes(data): pass
"""


def test_bytes_that_differ_do_not_name_a_test(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'test_one.py').write_text(_NAMED_BY_BYTES)
  done = pytest_in(tmp_path, 2)
  assert done.returncode == 0, done.stdout
