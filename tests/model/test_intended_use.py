import json
from typing import Any

import pytest

from model.intended_use import COLUMNS, OUTSIDE, REASONS, IntendedUse, common_use, from_facts, intended_use_of
from transforms.quality import FLAGS
from transforms.rows import ImageRow

Row = dict[str, Any]

CHEST: Row = {
  'transfer_syntax': '1.2.840.10008.1.2.1',
  'photometric': 'MONOCHROME2',
  'bits_stored': 12,
  'modality': 'DX',
  'body_part': 'CHEST',
  'view_position': 'PA',
  'sex': 'F',
  'age_years': 50,
  'rows': 2000,
  'columns': 2000,
}
PHOTO: Row = dict.fromkeys(COLUMNS) | {
  **{'transfer_syntax': 'jpeg', 'photometric': 'MONOCHROME2', 'bits_stored': 8},
  **{'rows': 2000, 'columns': 2000},
}


def chests(count: int, **facts: Any) -> list[Row]:
  return [CHEST | facts for _ in range(count)]


# 400 radiographs of adults: every fact is stated, and 4 is 1 %.
ADULTS = intended_use_of(
  [
    *(CHEST | {'age_years': 20 + number % 61, 'rows': 1500 + number, 'sex': 'FM'[number % 2]} for number in range(390)),
    *chests(4, view_position='AP', modality='CR', photometric='MONOCHROME1', sex='O'),
    *chests(3, view_position='LATERAL', modality='CT', body_part='HEAD', bits_stored=8),
    *chests(3, view_position='LL', modality='MR', body_part=None, photometric='RGB'),
  ]
)


def reasons(use: IntendedUse, row: Row) -> set[str]:
  """The flags without what they all say; it is there whenever one of the others is."""
  flags = use.flags(row)
  assert flags == tuple(sorted(flags))
  assert (OUTSIDE in flags) == bool(flags)
  return {flag.removeprefix('outside-') for flag in flags if flag != OUTSIDE}


@pytest.mark.parametrize(
  ('facts', 'expected'),
  [
    ({}, set()),
    ({'modality': 'CR', 'view_position': 'AP', 'photometric': 'MONOCHROME1'}, set()),
    ({'modality': 'CT'}, {'modality'}),  # 3 of 400 had it
    ({'modality': 'US'}, {'modality'}),
    ({'modality': 'other'}, {'modality'}),
    ({'modality': None}, {'modality'}),
    ({'view_position': 'LATERAL'}, {'view'}),
    ({'view_position': None}, {'view'}),
    ({'body_part': 'ABDOMEN'}, {'body-part'}),
    ({'body_part': None}, {'body-part'}),
    ({'photometric': 'RGB'}, {'colour'}),
    ({'photometric': 'PALETTE COLOR'}, {'colour'}),
    ({'photometric': 'other'}, set()),
    ({'photometric': None}, set()),
    ({'bits_stored': 8}, {'bits'}),
    ({'bits_stored': 16}, set()),
    ({'bits_stored': None}, set()),
    ({'sex': 'M'}, set()),
    ({'sex': 'O'}, set()),
    ({'sex': None}, set()),
    ({'age_years': None}, set()),
    ({'age_years': 14}, set()),  # 20 to 80, and a tenth of 60 more
    ({'age_years': 13}, {'age'}),
    ({'age_years': 86}, set()),
    ({'age_years': 87}, {'age'}),
    ({'columns': 1334, 'rows': 1500}, set()),
    ({'columns': 1333, 'rows': 1500}, {'size'}),
    ({'columns': 3000, 'rows': 2500}, set()),
    ({'columns': 3001, 'rows': 2500}, {'size'}),
    ({'rows': 1334, 'columns': 2900}, {'size'}),  # each is fine, their ratio is not
    ({'rows': None, 'columns': None}, set()),
    ({'modality': 'CT', 'rows': 512, 'columns': 512, 'view_position': None}, {'modality', 'size', 'view'}),
  ],
)
def test_a_radiograph_is_flagged_by_what_is_unlike_the_training_images(facts: Row, expected: set[str]) -> None:
  assert reasons(ADULTS, CHEST | facts) == expected


@pytest.mark.parametrize(
  ('facts', 'expected'),
  [
    ({}, {'format'}),  # modality, view and the like are not asked of what has no header
    ({'photometric': 'RGB', 'rows': 100, 'columns': 100}, {'format', 'colour', 'size'}),
    ({'transfer_syntax': 'png', 'bits_stored': 16}, {'format'}),
  ],
)
def test_a_picture_is_judged_by_what_it_can_state(facts: Row, expected: set[str]) -> None:
  assert reasons(ADULTS, PHOTO | facts) == expected


@pytest.mark.parametrize(
  ('row', 'expected'),
  [
    (PHOTO, set()),
    (PHOTO | {'transfer_syntax': 'png'}, set()),
    (PHOTO | {'photometric': 'RGB'}, {'colour'}),
    (CHEST, {'format'}),  # and its modality is not compared with that of pictures, which have none
    (CHEST | {'modality': 'CT', 'age_years': 3}, {'format'}),
  ],
)
def test_a_model_of_pictures_knows_no_headers(row: Row, expected: set[str]) -> None:
  assert reasons(intended_use_of([PHOTO] * 50), row) == expected


@pytest.mark.parametrize(
  ('counts', 'view', 'is_outside'),
  [
    ({'PA': 50, None: 50}, 'LATERAL', True),
    ({'PA': 49, None: 51}, 'LATERAL', False),  # most training images do not say: any may have been lateral
    ({'PA': 50, None: 50}, None, False),
    ({'PA': 99, None: 1}, None, True),  # one alone is a stray
    ({'PA': 98, None: 2}, None, False),
    ({'PA': 10}, 'AP', True),
    ({'PA': 9}, 'AP', False),
    ({'PA': 10_000, 'AP': 100, 'LL': 99}, 'AP', False),  # 100 are enough, however many there are
    ({'PA': 19_801, 'AP': 100, 'LL': 99}, 'LL', True),
    ({'PA': 199, 'AP': 1}, 'AP', True),
    ({'PA': 198, 'AP': 2}, 'AP', False),
    ({'PA': 297, 'AP': 3}, 'AP', False),
    ({'PA': 299, 'AP': 2}, 'AP', True),  # 1 % of 301 is more than 3
    ({}, 'AP', False),
  ],
)
def test_when_a_term_is_known(counts: dict[str | None, int], view: str | None, is_outside: bool) -> None:
  use = intended_use_of(row for term, count in counts.items() for row in chests(count, view_position=term))
  assert reasons(use, CHEST | {'view_position': view}) == ({'view'} if is_outside else set())


@pytest.mark.parametrize(
  ('ages', 'age', 'is_outside'),
  [
    ([3] * 20, 4, False),  # a year at least
    ([3] * 20, 5, True),
    ([30] * 9, 90, False),  # too few say
    ([30] * 10 + [None] * 10, 90, True),
    ([30] * 10 + [None] * 11, 90, False),
    ([30] * 1000 + [2], 2, True),  # a stray does not move the range
    ([30] * 200 + [2], 2, True),
  ],
)
def test_when_a_number_is_beyond(ages: list[int | None], age: int, is_outside: bool) -> None:
  use = intended_use_of(CHEST | {'age_years': one} for one in ages)
  assert reasons(use, CHEST | {'age_years': age}) == ({'age'} if is_outside else set())


def test_it_is_read_as_it_was_written() -> None:
  assert from_facts(json.loads(json.dumps(ADULTS.to_facts()))) == ADULTS
  assert from_facts(json.loads(json.dumps(IntendedUse().to_facts()))) == IntendedUse()


OLD = {
  'modality': {'CR': 60, 'DX': 40},
  'view_position': {'PA': 40, 'unknown': 60},
  'photometric': {'MONOCHROME1': 50, 'MONOCHROME2': 49, 'RGB': 1},
}


@pytest.mark.parametrize(
  ('row', 'expected'),
  [
    (CHEST, set()),
    (CHEST | {'modality': 'CT'}, {'modality'}),
    (CHEST | {'view_position': 'LL'}, set()),  # too few said
    (CHEST | {'photometric': 'RGB'}, {'colour'}),
    (CHEST | {'age_years': 1, 'rows': 9, 'columns': 9, 'bits_stored': 8, 'body_part': 'HEAD'}, set()),  # not kept then
    (PHOTO, set()),
  ],
)
def test_a_bundle_from_before_flags_what_it_knows(row: Row, expected: set[str]) -> None:
  old = from_facts(OLD)
  assert old.images == 100
  assert reasons(old, row) == expected
  assert reasons(from_facts(old.to_facts()), row) == expected


def test_what_knows_nothing_flags_nothing() -> None:
  assert from_facts({}).flags(CHEST | {'modality': 'CT', 'rows': 1}) == ()
  assert intended_use_of([]).flags(CHEST) == ()


@pytest.mark.parametrize(
  ('facts', 'message'),
  [
    ({'version': 3}, 'has the version 3, expected 2'),
    ({'version': 2, 'images': 1, 'terms': {}}, "KeyError: 'ranges'"),
    ({'version': 2, 'images': 1, 'terms': {}, 'ranges': {'rows': {'low': 1}}}, 'TypeError'),
    ({'modality': ['CT']}, 'AttributeError'),
  ],
)
def test_what_cannot_be_read_is_named(facts: Row, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    from_facts(facts)


def test_flags_are_those_of_the_table_and_columns_those_of_rows() -> None:
  assert {OUTSIDE, *REASONS} == {flag for flag in FLAGS if flag.startswith('outside-')}
  assert set(COLUMNS) <= set(ImageRow.__dataclass_fields__)


def test_a_reader_sees_what_is_outside() -> None:
  told = dict(ADULTS.describe())
  assert told['modality'] == 'DX 390, CR 4, CT 3 (too few), MR 3 (too few)'
  assert told['age_years'] == '20 to 80; outside is below 14 and above 86'
  assert dict(intended_use_of(chests(9)).describe())['sex'] == 'F 9 (not judged: too few state it)'
  assert dict(intended_use_of(chests(9)).describe())['rows'] == '2000 to 2000 (not judged: 9 of 9 state it)'


YOUNG = intended_use_of([CHEST | {'age_years': 20 + number % 11, 'modality': 'CR'} for number in range(200)])
MIXED = intended_use_of(
  [CHEST | {'age_years': 25 + number % 50, 'modality': ('CR', 'DX')[number % 2]} for number in range(200)]
)
PHOTOS = intended_use_of([PHOTO] * 50)


@pytest.mark.parametrize(
  ('uses', 'facts', 'expected'),
  [
    ([YOUNG, MIXED], {'modality': 'CR', 'age_years': 28}, set()),
    ([YOUNG, MIXED], {'modality': 'DX', 'age_years': 28}, {'modality'}),
    ([YOUNG, MIXED], {'modality': 'CR', 'age_years': 60}, {'age'}),
    ([YOUNG, MIXED], {'modality': 'CR', 'age_years': 18}, {'age'}),
    ([MIXED, MIXED], {'modality': 'DX', 'age_years': 60}, set()),
    ([YOUNG, PHOTOS], {'modality': 'DX', 'age_years': 80}, {'format', 'modality', 'age'}),
  ],
)
def test_what_is_outside_for_one_model_is_outside_for_several(
  uses: list[IntendedUse], facts: Row, expected: set[str]
) -> None:
  for some in (uses, uses[::-1]):
    assert reasons(common_use(some), CHEST | facts) == expected
    assert from_facts(common_use(some).to_facts()) == common_use(some)
