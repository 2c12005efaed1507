import datetime

import pytest

from transforms.yaml_entries import Entry, RulesError, read_yaml


def test_values_know_their_lines() -> None:
  root = read_yaml('a: 1\nb:\n  - x\n  - {c: 2024-01-31}\n')
  entries = root.mapping('keys')
  assert (entries['a'], entries['b'].line) == (Entry(1, 1), 2)
  text, inner = entries['b'].sequence('a list')
  assert (text, inner.line) == (Entry('x', 3), 4)
  assert inner.mapping('keys')['c'].value == datetime.date(2024, 1, 31)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('a: 1\na: 2', "line 2: 'a' stands twice"),
    ('a: [1', 'line 1: no YAML: '),
    ('a: 1\nb: !!python/object:os.system {}', 'line 2: '),
    ('a: 2024-13-45', "line 1: '2024-13-45' looks like a value, but is none; quote it"),
    ('a: \x00', 'no YAML'),
    ('a: &x\n  - *x', 'line 1: an alias of what it stands in'),
    ('a: &x\n  - {b: *x}', 'line 1: an alias of what it stands in'),
  ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, message: str) -> None:
  with pytest.raises(RulesError) as raised:
    read_yaml(text).mapping('keys')['b'].name()
  assert str(raised.value).startswith(message)


@pytest.mark.parametrize('text', ['', '# nothing', '- a', 'a', '7', '[]'])
def test_what_is_no_mapping_is_refused(text: str) -> None:
  with pytest.raises(RulesError, match='line 1: expected keys, found'):
    read_yaml(text).mapping('keys')


@pytest.mark.parametrize('name', ['Doe, Jane', 'a b', '1a', 'ä', 'a' * 41, '', 7, None, True])
def test_a_name_is_a_plain_identifier(name: object) -> None:
  with pytest.raises(RulesError, match='line 3: expected a name'):
    Entry(name, 3).name()
  assert Entry('chest-pa_1', 3).name() == 'chest-pa_1'
