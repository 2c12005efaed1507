import dataclasses
import pickle

import pytest

from transforms.conditions import UNKNOWN_OF_RASTER, Candidate
from transforms.elements import HeaderFacts
from transforms.select import read_rules
from transforms.yaml_entries import RulesError

CHEST = """
rules:
  - exclude: localizers
    image_type: LOCALIZER
  - include: chest
    modality: [CR, DX]
    body_part: CHEST
  - exclude: broken-site  # after `chest`, so it never sees a chest
    modality: CR
  - include: others-of-2024
    study_date: {from: 2024-01-01, to: 2024-12-31}
default: exclude
"""


def image(format_: str = 'dicom', image_type: tuple[str, ...] = (), **facts: str) -> Candidate:
  return Candidate(format_, HeaderFacts(**facts), image_type)  # type: ignore[arg-type]


@pytest.mark.parametrize(
  ('candidate', 'left_out_by'),
  [
    (image(modality='DX', body_part='CHEST'), None),
    (image(modality='DX', body_part='CHEST', image_type=('ORIGINAL', 'PRIMARY', 'LOCALIZER')), 'localizers'),
    (image(modality='CR', body_part='HAND', study_date='20240101'), 'broken-site'),
    (image(modality='DX', body_part='HAND', study_date='20240101'), None),
    (image(modality='DX', body_part='HAND', study_date='20250101'), 'default'),
    (image('jpeg'), 'default'),
  ],
)
def test_the_first_rule_that_matches_decides(candidate: Candidate, left_out_by: str | None) -> None:
  assert read_rules(CHEST).leaves_out(candidate) == left_out_by


def test_what_no_rule_matches_goes_by_the_default() -> None:
  assert read_rules(CHEST.replace('default: exclude', 'default: include')).leaves_out(image('png')) is None


@pytest.mark.parametrize(
  ('rules', 'left_out_by'),
  [
    ('rules: [{exclude: pictures, format: jpeg}]\ndefault: include', 'pictures'),
    ('rules: [{include: pictures, format: jpeg}]\ndefault: exclude', None),
    ('rules: [{include: large, rows: {from: 9}}]\ndefault: exclude', None),
    ('rules: [{include: large, format: dicom, rows: {from: 9}}]\ndefault: exclude', 'default'),
    ('rules: [{include: chest, body_part: CHEST, rows: {from: 9}}]\ndefault: exclude', 'default'),
  ],
)
def test_an_unreadable_header_is_left_out_only_where_it_does_not_matter(rules: str, left_out_by: str | None) -> None:
  unreadable = dataclasses.replace(image('jpeg'), unknown=UNKNOWN_OF_RASTER)
  assert read_rules(rules).leaves_out(unreadable) == left_out_by


def test_rules_travel_to_workers_and_have_a_digest_of_what_they_say() -> None:
  rules = read_rules(CHEST)
  assert pickle.loads(pickle.dumps(rules)) == rules
  assert read_rules(CHEST.replace('# after `chest`', '# another remark')).digest == rules.digest
  assert read_rules(CHEST.replace('modality: [CR, DX]', 'modality: [CR]')).digest != rules.digest
  long = CHEST.replace('image_type: LOCALIZER', f'series_description: "{"a" * 300}@"')
  assert read_rules(long).digest != read_rules(long.replace('@', 'b')).digest


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'line 1: expected `rules` and `default`, found nothing'),
    ('- a', 'line 1: expected `rules` and `default`, found a list of 1'),
    ('rules: []\ndefault: include', 'line 1: expected a list of rules, found a list of 0'),
    ('default: include', 'line 1: rules is missing'),
    ('rules: [{include: a, rows: 1}]', 'line 1: default is missing'),
    ('rules: [{include: a, rows: 1}]\ndefault: keep', "line 2: default is 'keep'; expected include or exclude"),
    ('rules: [{include: a, rows: 1}]\ndefault: include\nwhen: x', "line 3: 'when' is no key of a file of selection"),
    (
      'rules:\n  - include: a\n    mod: CR\ndefault: include',
      "line 3: 'mod' is no key of a rule; expected include, ex",
    ),
    ('rules:\n  - include: a\ndefault: include', "line 2: the rule 'a' has no condition"),
    ('rules:\n  - rows: 1\ndefault: include', 'line 2: a rule needs `include: NAME` or `exclude: NAME`'),
    ('rules: [{include: a, exclude: b, rows: 1}]\ndefault: include', 'line 1: a rule needs'),
    ('rules: [{include: Doe Jane, rows: 1}]\ndefault: include', 'line 1: expected a name of at most 40 letters'),
    ('rules: [{include: a, rows: 1}, {exclude: a, rows: 2}]\ndefault: include', "'a' is taken"),
    ('rules: [{include: default, rows: 1}]\ndefault: include', "'default' is taken"),
    ('rules: [x]\ndefault: include', 'line 1: expected a rule, such as `- include: chest`, with its conditions below'),
  ],
)
def test_what_is_no_rule_is_refused_with_its_line(text: str, message: str) -> None:
  with pytest.raises(RulesError) as raised:
    read_rules(text)
  assert message in str(raised.value)
