import dataclasses
from typing import Any

import pytest

from pipelines.inbox import InboxFile
from pipelines.ledger import Entry, Ledger
from pipelines.night_options import NightlyOptions
from pipelines.night_work import Work, cut_slices, plan_work
from transforms.storage import StoredFile

SKIP = 'skip1'


def options(**values: Any) -> NightlyOptions:
  return NightlyOptions(**{'inbox': ('in',), 'bundle': 'b', 'output': 'out', 'run_date': '2026-02-01'} | values)


def file(name: str, second: int = 1, size: int = 7, crc: str = 'crc') -> InboxFile:
  return InboxFile(0, StoredFile(f'/in/{name}', size, str(second * 10**9), crc32c=crc), name)


def entry(name: str, **values: Any) -> Entry:
  known = Entry('20260101T000000Z-a-s0000', '2026-01-01', 'cnn-1', SKIP, name, 7, '1', 'crc', False)
  return dataclasses.replace(known, **values)


def names(work: Work) -> list[str]:
  return [file.path_id for _, file in work.wanted]


def test_what_is_done_is_not_wanted_again_and_what_changed_is() -> None:
  ledger = Ledger([entry('done'), entry('changed'), entry('rejected', rejected=True)])
  work = plan_work([file('done'), file('changed', crc='other'), file('new'), file('rejected')], ledger, SKIP, options())
  assert sorted(names(work)) == ['changed', 'new']
  assert work.done == 2


@pytest.mark.parametrize(
  ('values', 'expected'),
  [
    ({'only_failed': True}, ['rejected']),
    ({'overwrite': True}, ['done', 'new', 'other-model', 'rejected']),
    ({'done_by': 'any'}, ['new']),
    ({}, ['new', 'other-model']),
    ({'backfill': '2026-01-01..2026-01-31'}, ['other-model']),
    ({'backfill': '2026-01-01..2026-01-31', 'overwrite': True}, ['done', 'other-model', 'rejected']),
    ({'backfill': '2026-01-02..2026-01-31'}, []),
  ],
)
def test_what_is_wanted_is_for_the_user_to_say(values: dict[str, Any], expected: list[str]) -> None:
  ledger = Ledger([entry('done'), entry('rejected', rejected=True), entry('other-model', skip_digest='skip2')])
  files = [file(name) for name in ('done', 'rejected', 'other-model', 'new')]
  assert sorted(names(plan_work(files, ledger, SKIP, options(**values)))) == expected


def test_a_backfill_is_filed_under_the_days_of_the_old_rows() -> None:
  ledger = Ledger([entry('a', skip_digest='skip2'), entry('b', skip_digest='skip2', run_date='2026-01-03')])
  work = plan_work([file('a'), file('b'), file('new')], ledger, SKIP, options(backfill='2026-01-01..2026-01-31'))
  assert [(day, file.path_id) for day, file in work.wanted] == [('2026-01-01', 'a'), ('2026-01-03', 'b')]


def test_a_backfill_counts_what_is_no_longer_there() -> None:
  ledger = Ledger([entry('here', skip_digest='x'), entry('gone', skip_digest='x'), entry('changed', skip_digest='x')])
  work = plan_work([file('here'), file('changed', crc='y')], ledger, SKIP, options(backfill='2026-01-01..2026-01-01'))
  assert (names(work), work.gone) == (['here'], 2)


def test_what_came_first_comes_first_and_what_another_model_scored_comes_last() -> None:
  ledger = Ledger([entry('scored', skip_digest='skip2')])
  files = [file('scored', 1), file('late', 30), file('early', 20)]
  assert names(plan_work(files, ledger, SKIP, options())) == ['early', 'late', 'scored']


def test_slices_are_bounded_by_files_and_by_bytes_and_lose_nothing() -> None:
  wanted = [('2026-01-01', file(str(number), size=size)) for number, size in enumerate([10, 10, 50, 10, 10, 10, 10])]
  slices = list(cut_slices(wanted, 3, 40))
  assert [[one.file.size_bytes for one in cut.files] for cut in slices] == [[10, 10], [50], [10, 10, 10], [10]]
  assert [one for cut in slices for one in cut.files] == [one for _, one in wanted]


def test_a_slice_is_of_one_day() -> None:
  slices = list(cut_slices([('2026-01-01', file('a')), ('2026-01-02', file('b'))], 10, 1000))
  assert [(cut.run_date, len(cut.files)) for cut in slices] == [('2026-01-01', 1), ('2026-01-02', 1)]
