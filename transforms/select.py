"""Which images a site wants, by rules on header facts: decided before a pixel is decoded."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from transforms.conditions import FACTS, Candidate, Condition, hold, read_conditions
from transforms.yaml_entries import Entry, check_keys, read_yaml

DEFAULT: Final = 'default'
_ACTIONS: Final = ('include', 'exclude')
Action = Literal['include', 'exclude']


@dataclass(frozen=True, slots=True)
class Rule:
  """Takes in or leaves out what all of its conditions hold for."""

  name: str
  action: Action
  conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Rules:
  """In the order of the file; the first that matches decides, and the default where none does."""

  rules: tuple[Rule, ...]
  default: Action

  def leaves_out(self, candidate: Candidate) -> str | None:
    """The name of the rule that leaves an image out; None for one that is taken.

    An image whose header cannot be read is left out only where the rules do
    not depend on it: otherwise the defect has to show.
    """
    for rule in self.rules:
      holds = hold(rule.conditions, candidate)
      if holds is None:
        return None
      if holds:
        return rule.name if rule.action == 'exclude' else None
    return DEFAULT if self.default == 'exclude' else None

  @property
  def digest(self) -> str:
    """SHA-256 of the rules as they were understood, hexadecimal: comments and layout do not change it."""
    return hashlib.sha256(repr(self).encode()).hexdigest()


def read_rules(text: str) -> Rules:
  """Reads the YAML of `--select`.

  Raises:
    RulesError: naming the line.
  """
  root = read_yaml(text)
  entries = root.mapping('`rules` and `default`')
  check_keys(entries, ('rules', 'default'), 'a file of selection rules')
  for key in ('rules', 'default'):
    if key not in entries:
      raise root.error(f'{key} is missing; expected a list of `rules`, and a `default` for what none of them matches')
  if entries['default'].value not in _ACTIONS:
    raise entries['default'].error(f'default is {entries["default"].shown}; expected include or exclude')
  rules: dict[str, Rule] = {}
  for entry in entries['rules'].sequence('a list of rules'):
    rule = _read_rule(entry)
    if rule.name in (*rules, DEFAULT):
      raise entry.error(f'{rule.name!r} is taken; every rule needs a name of its own')
    rules[rule.name] = rule
  return Rules(tuple(rules.values()), entries['default'].value)


def _read_rule(entry: Entry) -> Rule:
  entries = dict(entry.mapping('a rule, such as `- include: chest`, with its conditions below'))
  check_keys(entries, (*_ACTIONS, *FACTS), 'a rule')
  actions = [action for action in _ACTIONS if action in entries]
  if len(actions) != 1:
    raise entry.error('a rule needs `include: NAME` or `exclude: NAME`, and not both')
  name = entries.pop(actions[0]).name()
  if not entries:
    raise entry.error(f'the rule {name!r} has no condition; what is meant for all others is the `default`')
  return Rule(name, 'include' if actions[0] == 'include' else 'exclude', read_conditions(entries))
