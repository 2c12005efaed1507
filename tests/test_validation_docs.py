"""The page on validation is that of the code."""

import pathlib
import re

from model.shifts import SHIFTS, Figures
from transforms.splits import BUCKETS

PAGE = (pathlib.Path(__file__).parent.parent / 'docs' / 'validation.md').read_text(encoding='utf-8')


def written(figures: Figures) -> str:
  return ', '.join(f'{name} {value:g}' for name, value in figures.items())


def test_the_changes_are_those_of_the_set() -> None:
  section = PAGE.split('\n## The changes\n', 1)[1].split('\n## ', 1)[0]
  rows = [
    [cell.strip() for cell in line.strip('|').split('|')] for line in section.splitlines() if line.startswith('| `')
  ]
  assert rows == [
    [f'`{shift.name}`', shift.family, shift.imitates, written(shift.mild), written(shift.strong)] for shift in SHIFTS
  ]


def test_the_folds_of_equal_shares_are_those_that_the_buckets_allow() -> None:
  found = re.search(r'K of ([\d, and\s]+) have equal shares', PAGE)
  assert found
  named = [int(number) for number in re.findall(r'\d+', found[1])]
  assert named == [folds for folds in range(2, BUCKETS) if BUCKETS % folds == 0]
  assert f'one of {BUCKETS} buckets' in PAGE
