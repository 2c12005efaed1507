import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.quality import histogram_of
from transforms.statistics import (
  INTENSITY_BINS,
  MAX_SCANNERS,
  Sketch,
  Statistics,
  grey_counts,
  input_bins,
  merge,
  reported,
  score_bin,
)

ROWS = st.fixed_dictionaries(
  {
    'scanner_id': st.sampled_from([None, 'a1', 'b2', 'c3']),
    'study_id': st.sampled_from([None, 's1', 's2', 's3']),
    'source_id': st.sampled_from(['x', 'y']),
    'modality': st.sampled_from([None, 'CR', 'DX', 'other']),
    'rows': st.sampled_from([None, 1, 512, 2047, 2048, 30_000]),
    'columns': st.sampled_from([None, 1, 512, 3000]),
    'age_years': st.sampled_from([None, 0, 9, 10, 90]),
    'quality': st.lists(st.sampled_from(['clipped', 'tiny', 'duplicate-pixels']), unique=True),
    'probability': st.floats(0, 1),
    'grey': st.integers(0, 255),
  }
)
Row = dict[str, Any]


def sketch_of(rows: Iterable[Row]) -> Statistics:
  sketch = Sketch()
  for row in rows:
    grey = grey_counts(histogram_of(np.full((4, 4), row['grey'], np.uint8)))
    sketch.add(row, input_bins(row) | score_bin(row['probability']), grey)
  return sketch.to_json()


@given(st.lists(ROWS, max_size=8), st.lists(ROWS, max_size=8), st.lists(ROWS, max_size=8))
def test_sums_do_not_depend_on_order_and_grouping(first: list[Row], second: list[Row], third: list[Row]) -> None:
  a, b, c = map(sketch_of, (first, second, third))
  assert merge([merge([a, b]), c]) == merge([a, merge([b, c])]) == merge([c, a, b])
  assert merge([a, {}]) == merge([{}, a]) == a


@given(st.lists(ROWS, max_size=12), st.integers(0, 12), st.randoms())
def test_a_sum_is_the_sketch_of_all_images(rows: list[Row], cut: int, chance: Any) -> None:
  for number, row in enumerate(rows):
    row['study_id'] = f'study {number}'  # none is cut in two
  shuffled = chance.sample(rows, len(rows))
  assert merge([sketch_of(shuffled[:cut]), sketch_of(shuffled[cut:])]) == sketch_of(rows)


@given(st.lists(ROWS, max_size=8))
def test_a_sketch_survives_json(rows: list[Row]) -> None:
  sketch = sketch_of(rows)
  assert json.loads(json.dumps(sketch)) == sketch


@given(st.lists(ROWS, max_size=12))
def test_every_image_is_counted_once_in_every_feature(rows: list[Row]) -> None:
  sketch = sketch_of(rows)
  for group in (sketch['all'], *sketch['scanners'].values()):
    features = dict(group['features'])
    pixels = features.pop('intensity', {})
    assert {sum(counts.values()) for counts in features.values()} <= {group['images']}
    assert sum(pixels.values()) == 16 * group['images']
  scanners = Counter(row['scanner_id'] for row in rows if row['scanner_id'])
  assert {scanner: group['images'] for scanner, group in sketch['scanners'].items()} == scanners


def test_merging_changes_no_part() -> None:
  parts = [sketch_of([{'grey': 1, 'probability': 0.5, 'scanner_id': 'a1'}]) for _ in range(2)]
  before = json.dumps(parts)
  merge(parts)
  assert json.dumps(parts) == before


def test_other_bins_are_not_added() -> None:
  with pytest.raises(ValueError, match="bins '0' cannot be added to one with the bins '1'"):
    merge([sketch_of([]), {'bins': '0'}])


def test_images_of_a_study_tell_less() -> None:
  rows = [{'study_id': study, 'grey': 0, 'probability': 0.5} for study in 'aaab']
  assert sketch_of(rows)['all'] | {'features': {}} == {'images': 4, 'study_squares': 10, 'features': {}}


def test_without_a_study_frames_of_a_source_belong_together() -> None:
  rows = [{'source_id': source, 'grey': 0, 'probability': 0.5} for source in 'aab']
  assert sketch_of(rows)['all']['study_squares'] == 5


@pytest.mark.parametrize(
  ('row', 'bins'),
  [
    ({'rows': 2048, 'columns': 2048}, {'rows': '44', 'columns': '44', 'aspect': '0'}),
    ({'rows': 2047, 'columns': 1024}, {'rows': '44', 'columns': '40', 'aspect': '-8'}),
    ({'rows': 2048, 'columns': 2560}, {'columns': '45', 'aspect': '3'}),
    ({'rows': None, 'columns': 0}, {'rows': 'unknown', 'columns': 'unknown', 'aspect': 'unknown'}),
    ({'age_years': 0}, {'age': '0'}),
    ({'age_years': 90}, {'age': '9'}),
    ({}, {'age': 'unknown', 'modality': 'unknown', 'quality': 'none', 'bits_stored': 'unknown'}),
    ({'bits_stored': 12, 'modality': 'DX'}, {'bits_stored': '12', 'modality': 'DX'}),
    ({'quality': ['tiny', 'clipped', 'duplicate-content']}, {'quality': 'clipped tiny'}),
    ({'quality': ['outside-age', 'outside-intended-use', 'tiny']}, {'quality': 'tiny'}),
  ],
)
def test_header_facts_have_their_bins(row: Row, bins: dict[str, str]) -> None:
  found = input_bins(row)
  assert {name: found[name] for name in bins} == bins


@pytest.mark.parametrize(
  ('probability', 'position'), [(0.0, 0), (1e-4, 0), (0.5, 32), (0.499, 31), (0.999_999, 63), (1.0, 63)]
)
def test_scores_are_binned_by_their_log_odds(probability: float, position: int) -> None:
  assert score_bin(probability) == {'score': str(position)}


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_is_in_no_lower_bin(one: float, other: float) -> None:
  low, high = sorted([one, other])
  assert int(score_bin(low)['score']) <= int(score_bin(high)['score'])


def test_an_inner_bin_of_scores_is_a_quarter_of_a_log_odd() -> None:
  inside = [1 / (1 + math.exp(-odds)) for odds in (2.01, 2.24)]
  assert len({score_bin(probability)['score'] for probability in inside}) == 1
  assert score_bin(1 / (1 + math.exp(-2.26))) != score_bin(inside[0])


def test_grey_levels_are_counted_in_equal_bins() -> None:
  assert grey_counts(np.arange(256)) == tuple(sum(range(start, start + 8)) for start in range(0, 256, 8))
  assert len(grey_counts(np.zeros(256, np.int64))) == INTENSITY_BINS


def test_a_record_names_the_scanners_with_most_images() -> None:
  rows = [
    {'scanner_id': f'{number:03d}', 'source_id': str(copy), 'grey': 0, 'probability': 0.5}
    for number in range(MAX_SCANNERS + 6)
    for copy in range(1 + number)
  ]
  sketch = sketch_of(rows)
  short = reported(sketch)
  assert list(short['scanners']) == [f'{number:03d}' for number in range(6, MAX_SCANNERS + 6)] + ['other']
  assert short['scanners']['other']['images'] == sum(range(1, 7))
  assert merge(short['scanners'].values()) == merge(sketch['scanners'].values())
  assert short['all'] == sketch['all']
  assert reported(short) == short
  twice = reported(merge([short, short]))
  assert twice['scanners']['other']['images'] == 2 * sum(range(1, 7))


def test_few_scanners_are_all_named() -> None:
  sketch = sketch_of([{'scanner_id': 'a1', 'grey': 0, 'probability': 0.5}])
  assert reported(sketch) == sketch
  assert reported({}) == {}
