"""YAML that a site writes by hand: values that know their line, so that an error can say where it is."""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

_NAME: Final = re.compile(r'[A-Za-z][A-Za-z0-9_-]{0,39}')


class RulesError(ValueError):
  """A file of rules cannot be used; the text says in which line, what was found, what was expected."""


@dataclass(frozen=True, slots=True)
class Entry:
  """A value and the line where it begins, from 1.

  Attributes:
    value: a plain scalar, a list of entries, or a dict from key to entry.
  """

  value: Any
  line: int

  def error(self, text: str) -> RulesError:
    """The error to raise about this value."""
    return RulesError(f'line {self.line}: {text}')

  def mapping(self, what: str) -> dict[str, 'Entry']:
    """The entries of a mapping.

    Raises:
      RulesError: if it is none; `what` says what was expected.
    """
    if not isinstance(self.value, dict):
      raise self.error(f'expected {what}, found {self.shown}')
    return self.value

  def sequence(self, what: str) -> list['Entry']:
    """The entries of a list that is not empty.

    Raises:
      RulesError: if it is none; `what` says what was expected.
    """
    if not isinstance(self.value, list) or not self.value:
      raise self.error(f'expected {what}, found {self.shown}')
    return self.value

  def one_or_more(self) -> list['Entry']:
    """A list as it is, anything else as a list of itself."""
    return self.sequence('a value or a list of them') if isinstance(self.value, list) else [self]

  def name(self) -> str:
    """A plain identifier: it goes into tables, so no free text is let through.

    Raises:
      RulesError: if it is none.
    """
    if not isinstance(self.value, str) or not _NAME.fullmatch(self.value):
      raise self.error(
        f'expected a name of at most 40 letters, digits, dashes and underscores that begins with a letter, '
        f'found {self.shown}'
      )
    return self.value

  @property
  def shown(self) -> str:
    """What is found here, in few words."""
    if isinstance(self.value, dict):
      return 'keys and values' if self.value else 'nothing'
    if isinstance(self.value, list):
      return f'a list of {len(self.value)}'
    return 'nothing' if self.value is None else repr(self.value)[:80]


def read_yaml(text: str) -> Entry:
  """Reads a document; a key that stands twice is an error, which YAML itself lets pass.

  Raises:
    RulesError: if it is no YAML.
  """
  try:
    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    return _entry(root, loader, ()) if root else Entry(None, 1)
  except yaml.MarkedYAMLError as error:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    raise RulesError(f'line {line}: no YAML: {error.problem}') from None
  except yaml.YAMLError:
    raise RulesError('no YAML: it holds characters that are not allowed') from None


def check_keys(entries: dict[str, Entry], known: Iterable[str], what: str) -> None:
  """Refuses keys that mean nothing.

  Raises:
    RulesError: at the first one.
  """
  known = list(known)
  for key, entry in entries.items():
    if key not in known:
      raise entry.error(f'{key!r} is no key of {what}; expected {", ".join(known)}')


def _entry(node: yaml.Node, loader: yaml.SafeLoader, above: tuple[int, ...]) -> Entry:
  line = node.start_mark.line + 1
  if id(node) in above:
    raise RulesError(f'line {line}: an alias of what it stands in')
  above = (*above, id(node))
  if isinstance(node, yaml.SequenceNode):
    return Entry([_entry(child, loader, above) for child in node.value], line)
  if isinstance(node, yaml.MappingNode):
    return Entry(_pairs(node, loader, above), line)
  return Entry(_scalar(node, loader, line), line)


def _pairs(node: yaml.MappingNode, loader: yaml.SafeLoader, above: tuple[int, ...]) -> dict[str, Entry]:
  entries: dict[str, Entry] = {}
  for key_node, value_node in node.value:
    key = str(key_node.value)
    if key in entries:
      raise RulesError(f'line {key_node.start_mark.line + 1}: {key!r} stands twice')
    value = _entry(value_node, loader, above)
    entries[key] = Entry(value.value, key_node.start_mark.line + 1)
  return entries


def _scalar(node: yaml.Node, loader: yaml.SafeLoader, line: int) -> str | int | float | bool | datetime.date | None:
  try:
    value: str | int | float | bool | datetime.date | None = loader.construct_object(node)
  except ValueError:  # a date such as 2024-13-45
    raise RulesError(f'line {line}: {str(node.value)[:80]!r} looks like a value, but is none; quote it') from None
  return value
