"""Holds the sources to the rules of the house, by reading them; every rule is shown to be able to fail."""

import ast
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping

import pytest

ROOT = pathlib.Path(__file__).parent.parent
HOUSE = ('pipelines', 'transforms', 'model')
TREES = (*HOUSE, 'benchmarks', 'tests')
MAX_LINES = 400

FORBIDDEN_IMPORTS: Mapping[str, tuple[str, ...]] = {
  'transforms': ('model', 'pipelines', 'benchmarks', 'tests'),
  'model': ('pipelines', 'benchmarks', 'tests'),
  'pipelines': ('benchmarks', 'tests'),
  'benchmarks': ('tests',),
}
HEAVY = ('apache_beam', 'tensorflow', 'tensorflow_transform', 'tfx_bsl', 'keras')
# Of transforms/, all but the wrappers *_beam.py and these are pure: neither they nor what they import loads Beam
# or TensorFlow, so that a decode worker stays small.
IMPURE = {
  'transforms.storage',
  'transforms.listed_files',
  'transforms.local_copies',
  'transforms.inputs',
  'transforms.features',
}
# The place where every error ends, and the one boundary around an image.
CATCH_ALLS = {'pipelines/cli.py', 'transforms/boundary.py'}


def sources(trees: Iterable[str] = TREES) -> Iterator[pathlib.Path]:
  for tree in trees:
    yield from sorted((ROOT / tree).rglob('*.py'))


def read(path: pathlib.Path) -> ast.Module:
  return ast.parse(path.read_text(encoding='utf-8'))


def name_of(path: pathlib.Path) -> str:
  return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


def imported(tree: ast.Module) -> set[str]:
  """Every module that is imported, and for `from a import b` also `a.b`."""
  names: set[str] = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
      names.add(node.module)
      names.update(f'{node.module}.{alias.name}' for alias in node.names)
  return names


def wrong_way(tree: ast.Module, package: str) -> set[str]:
  return {name for name in imported(tree) if name.partition('.')[0] in FORBIDDEN_IMPORTS.get(package, ())}


def loaded(module: str, graph: Mapping[str, set[str]]) -> set[str]:
  """The first parts of all that a module loads, directly and through modules of ours."""
  seen: set[str] = set()
  waiting = [module]
  while waiting:
    name = waiting.pop()
    if name not in seen:
      seen.add(name)
      waiting.extend(graph.get(name, ()))
  return {name.partition('.')[0] for name in seen}


def odd_imports(tree: ast.Module) -> list[str]:
  """Relative imports, and whole packages of ours."""
  relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
  whole = [
    node for node in ast.walk(tree) if isinstance(node, ast.Import) and any(alias.name in HOUSE for alias in node.names)
  ]
  return [ast.unparse(node) for node in [*relative, *whole]]


def holds_docstring_only(tree: ast.Module) -> bool:
  return len(tree.body) == 1 and ast.get_docstring(tree) is not None


def braces_without_f(tree: ast.Module) -> list[str]:
  """Texts of errors that would show `{name}` instead of a value."""
  raised = (part for node in ast.walk(tree) if isinstance(node, ast.Raise) for part in ast.walk(node))
  texts = (part.value for part in raised if isinstance(part, ast.Constant) and isinstance(part.value, str))
  return [text for text in texts if re.search(r'\{[A-Za-z_][\w.]*(\[\w+\])?(![rsa])?(:[^{}]*)?\}', text)]


def catch_alls(tree: ast.Module) -> list[int]:
  handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
  return [handler.lineno for handler in handlers if _catches_all(handler.type)]


def _catches_all(caught: ast.expr | None) -> bool:
  kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
  return any(kind is None or ast.unparse(kind) in ('Exception', 'BaseException') for kind in kinds)


def listed_packages(setup: ast.Module) -> set[str]:
  lists = [node.value for node in ast.walk(setup) if isinstance(node, ast.keyword) and node.arg == 'packages']
  return set(ast.literal_eval(lists[0]))


def packages_on_disk() -> set[str]:
  folders = {path.parent for path in sources(HOUSE)}
  return {'.'.join(folder.relative_to(ROOT).parts) for folder in folders}


def test_there_is_something_to_read() -> None:
  assert {path.relative_to(ROOT).parts[0] for path in sources()} == set(TREES)


def test_imports_point_one_way() -> None:
  found = {name_of(path): wrong_way(read(path), path.relative_to(ROOT).parts[0]) for path in sources()}
  assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
  ('package', 'text', 'wrong'),
  [
    ('transforms', 'from model import cnn', {'model', 'model.cnn'}),
    ('transforms', 'def f():\n  import pipelines.cli', {'pipelines.cli'}),
    ('model', 'from pipelines.exits import Exit', {'pipelines.exits', 'pipelines.exits.Exit'}),
    ('model', 'from transforms import splits', set()),
    ('pipelines', 'from tests import examples', {'tests', 'tests.examples'}),
  ],
)
def test_a_wrong_way_is_found(package: str, text: str, wrong: set[str]) -> None:
  assert wrong_way(ast.parse(text), package) == wrong


def test_pure_modules_load_neither_beam_nor_tensorflow() -> None:
  graph = {name_of(path): imported(read(path)) for path in sources(HOUSE)}
  pure = {name for name in graph if name.startswith('transforms.') and not name.endswith('_beam')} - IMPURE
  assert {name: heavy for name in pure if (heavy := loaded(name, graph) & set(HEAVY))} == {}
  assert all(loaded(name, graph) & set(HEAVY) for name in IMPURE), 'what is pure by now need not be listed'


def test_a_heavy_import_is_found_through_another_module() -> None:
  graph = {
    'transforms.pure': {'numpy'},
    'transforms.direct': imported(ast.parse('import tensorflow as tf')),
    'transforms.through': imported(ast.parse('from transforms import direct')),
  }
  assert loaded('transforms.pure', graph) == {'transforms', 'numpy'}
  assert 'tensorflow' in loaded('transforms.direct', graph)
  assert 'tensorflow' in loaded('transforms.through', graph)


def test_imports_are_absolute() -> None:
  assert {name_of(path): odd for path in sources() if (odd := odd_imports(read(path)))} == {}


@pytest.mark.parametrize(
  'text', ['from . import cnn', 'from .cnn import build', 'import model', 'import os, transforms']
)
def test_an_odd_import_is_found(text: str) -> None:
  assert odd_imports(ast.parse(text)) == [text]


def test_init_files_hold_a_docstring_and_nothing_else() -> None:
  inits = [path for path in sources(HOUSE) if path.name == '__init__.py']
  assert [name_of(path) for path in inits if not holds_docstring_only(read(path))] == []


@pytest.mark.parametrize('text', ['', 'import os', '"""Says."""\nfrom model import cnn', 'x = 1'])
def test_a_full_init_file_is_found(text: str) -> None:
  assert not holds_docstring_only(ast.parse(text))
  assert holds_docstring_only(ast.parse('"""Says."""'))


@pytest.mark.parametrize('tree', TREES)
def test_every_folder_with_sources_is_a_package(tree: str) -> None:
  folders = {path.parent for path in sources([tree])}
  assert [str(folder) for folder in folders if not (folder / '__init__.py').exists()] == []


def test_setup_lists_the_packages_on_disk() -> None:
  assert listed_packages(read(ROOT / 'setup.py')) == packages_on_disk()


def test_a_package_that_is_not_listed_is_found() -> None:
  assert listed_packages(ast.parse("setup(packages=['pipelines', 'model'])")) != packages_on_disk()


def test_texts_of_errors_show_values_and_not_their_names() -> None:
  assert {name_of(path): texts for path in sources() if (texts := braces_without_f(read(path)))} == {}


@pytest.mark.parametrize(
  ('text', 'found'),
  [
    ("raise ValueError('found {name}')", True),
    ("raise ValueError(f'found {name}, ' 'expected {other!r}')", True),
    ("raise ValueError('{size:.1f} is too much') from None", True),
    ("raise ValueError(f'found {name}, expected {other!r}')", False),
    ("raise ValueError('a set {1, 2}, a block {}')", False),
    ("text = '{name}'.format(name=1)", False),
  ],
)
def test_a_forgotten_f_is_found(text: str, found: bool) -> None:
  assert bool(braces_without_f(ast.parse(text))) is found


def test_files_do_one_thing() -> None:
  lengths = {name_of(path): len(path.read_text(encoding='utf-8').splitlines()) for path in sources()}
  assert {name: length for name, length in lengths.items() if length >= MAX_LINES} == {}


def test_only_defects_of_the_input_are_caught() -> None:
  found = {str(path.relative_to(ROOT)) for path in sources(HOUSE) if catch_alls(read(path))}
  assert found == CATCH_ALLS


@pytest.mark.parametrize('caught', ['', ' Exception', ' Exception as error', ' (ValueError, BaseException)'])
def test_a_catch_all_is_found(caught: str) -> None:
  assert catch_alls(ast.parse(f'try:\n  work()\nexcept{caught}:\n  pass')) == [3]
  assert catch_alls(ast.parse('try:\n  work()\nexcept (OSError, ValueError):\n  pass')) == []
