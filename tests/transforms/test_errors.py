import ast
import pathlib
import pickle
from collections.abc import Iterator

import pytest

from transforms.errors import CODES, InputError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize('code', CODES)
def test_every_code_says_what_it_means(code: str) -> None:
  assert code == code.lower()
  assert ' ' not in code
  assert len(CODES[code].meaning) > 5
  assert InputError(code).status == CODES[code].status in ('rejected', 'skipped')


def test_unknown_codes_are_refused() -> None:
  with pytest.raises(ValueError, match="'no-such-code' is no reason code"):
    InputError('no-such-code')


def test_errors_survive_pickling() -> None:
  error = pickle.loads(pickle.dumps(InputError('bomb', 'inflates 2000 times')))
  assert (type(error), error.code, error.detail, error.status) == (
    InputError,
    'bomb',
    'inflates 2000 times',
    'rejected',
  )


def used_codes(tree: ast.AST) -> Iterator[str]:
  for node in ast.walk(tree):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'InputError':
      yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def test_every_code_in_the_sources_is_documented() -> None:
  sources = [path for folder in ('transforms', 'pipelines') for path in (ROOT / folder).rglob('*.py')]
  used = {code: path.name for path in sources for code in used_codes(ast.parse(path.read_text()))}
  assert {'read-failed', 'inference-failed'} <= set(used)
  assert {code: name for code, name in used.items() if code not in CODES} == {}


def test_the_scan_finds_a_code() -> None:
  assert list(used_codes(ast.parse("raise InputError('made-up', f'{1}')"))) == ['made-up']
