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


@pytest.mark.parametrize(
  ('text', 'code'),
  [(_PASSES, 0), (_SKIPS, 1), (_FAILS_AS_EXPECTED, 1), (_PASSES_UNEXPECTEDLY, 1), (_SKIPS_ALL, 1)],
  ids=['passes', 'skip', 'xfail', 'xpass', 'module'],
)
def test_a_skip_counts_as_a_failure(tmp_path: pathlib.Path, text: str, code: int) -> None:
  (tmp_path / 'test_one.py').write_text(text)
  (tmp_path / 'test_two.py').write_text(_PASSES)
  command = [sys.executable, '-m', 'pytest', '-q', '-p', 'tests.conftest', '-p', 'no:cacheprovider', str(tmp_path)]
  done = subprocess.run([*command, '--rootdir', str(tmp_path)], cwd=_ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == code, done.stdout
  assert ('counts as failed' in done.stdout) == bool(code)
