"""The README's tables are those of the code."""

import dataclasses
import pathlib
import re

from pipelines.events import EVENTS
from pipelines.exits import Exit
from pipelines.flags import flag_of
from pipelines.metrics_file import METRICS
from pipelines.night_options import WatchOptions
from pipelines.options import ArchiveJobOptions
from pipelines.schemas import PREDICTIONS, STUDIES
from transforms.burned_in import read_regions
from transforms.conditions import FACTS
from transforms.errors import CODES
from transforms.quality import FLAGS
from transforms.select import read_rules

README = (pathlib.Path(__file__).parent.parent / 'README.md').read_text(encoding='utf-8')
DOCS = pathlib.Path(__file__).parent.parent / 'docs'


def table(heading: str) -> list[list[str]]:
  """Cells of the table below a heading."""
  section = README.split(f'\n## {heading}\n', 1)[1].split('\n## ', 1)[0]
  lines = [line for line in section.splitlines() if line.startswith('|')]
  return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]


def test_every_column_of_the_predictions_is_described_in_order_of_use() -> None:
  described = [name for cells in table('The predictions table') for name in re.findall(r'`(\w+)`', cells[0])]
  assert sorted(described) == sorted(PREDICTIONS.names)


def test_thresholds_are_those_of_the_code() -> None:
  described = {
    cells[0].strip('`-'): cells[1].strip('`') for cells in table('Drift and volume') if cells[0].startswith('`')
  }
  flags = {field.name: flag_of(field) for field in dataclasses.fields(WatchOptions)}
  alarms = {name: str(flag.default) for name, flag in flags.items() if flag.group == 'alarms'}
  assert described == alarms


def test_every_column_of_the_studies_is_described() -> None:
  described = [name for cells in table('The studies table') for name in re.findall(r'`(\w+)`', cells[0])]
  assert sorted(described) == sorted(STUDIES.names)


def test_every_reason_code_is_described_as_in_the_code() -> None:
  described = [tuple(cells) for cells in table('Reason codes')]
  assert described == [(f'`{name}`', code.status, code.meaning) for name, code in CODES.items()]


def test_every_quality_flag_is_described_as_in_the_code() -> None:
  assert [tuple(cells) for cells in table('Quality flags')] == [(f'`{name}`', text) for name, text in FLAGS.items()]


def test_every_fact_that_rules_can_ask_for_is_described() -> None:
  described = [name for cells in table('Which images') for name in re.findall(r'`(\w+)`', cells[0])]
  assert sorted(described) == sorted(FACTS)


def test_the_examples_of_rules_can_be_used() -> None:
  rules, regions = re.findall(r'```yaml\n(.*?)```', README, re.DOTALL)
  assert [rule.name for rule in read_rules(rules).rules] == ['localizers', 'chest-radiographs', 'chest-by-name']
  assert [region.name for region in read_regions(regions)] == ['epiq-banner', 'any-ultrasound']


def test_exit_codes_are_those_of_the_code() -> None:
  described = {int(cells[0]) for cells in table('Exit codes')}
  assert described == set(Exit)


def test_every_event_is_described_as_in_the_code() -> None:
  assert [tuple(cells) for cells in table('Logs')] == [(f'`{code}`', kind.meaning) for code, kind in EVENTS.items()]


def test_every_metric_is_described_as_in_the_code() -> None:
  described = [tuple(cells) for cells in table('Metrics and spans')]
  assert described == [(f'`radbeam_night_{name}`', text) for name, text in METRICS.items()]


def test_codes_and_limits_of_archives_are_those_of_the_code() -> None:
  text = (DOCS / 'archives.md').read_text(encoding='utf-8')
  limits = {field.name for field in dataclasses.fields(ArchiveJobOptions) if flag_of(field).group == 'limits'}
  named = set(re.findall(r'`--(\w+)`', text))
  assert {'max_member_bytes', 'max_spooled_bytes', 'max_inflated_bytes', 'max_members'} <= named <= limits
  codes = set(re.findall(r'`([a-z]+(?:-[a-z]+)+|bomb)`', text))
  assert {code for code in CODES if code.startswith('archive-')} - {'archive-empty'} <= codes <= set(CODES)


def test_no_placeholder_is_left() -> None:
  assert '@@' not in README
