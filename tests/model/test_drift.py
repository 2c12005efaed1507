import dataclasses
import json
import math
import pathlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.drawn_nights import HOSPITAL, Site, draw
from model.drift import (
  FALSE_ALARMS,
  Thresholds,
  Training,
  alarms_of,
  chi_squared_quantile,
  drift_of,
  effective_images,
  grouped,
  ks,
  pair_of,
  psi,
  read_training,
  to_statistics,
)
from transforms.statistics import merge

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any)
THRESHOLDS = Thresholds()


def training_of(site: Site, images: int = 3000, seed: int = 1, key: str | None = 'k') -> Training:
  sketch = draw(site, images, seed)
  return Training(sketch, draw(site, images // 5, seed + 1), key)


@pytest.fixture(scope='module')
def training() -> Training:
  return training_of(HOSPITAL)


# --- the two figures


@given(COUNTS, st.randoms())
def test_ks_of_values_that_are_their_bins_is_that_of_scipy(counts: list[int], chance: Any) -> None:
  other = [chance.randint(0, 20) for _ in counts]
  other[0] += 1
  values = [np.repeat(np.arange(len(counts)), one) for one in (counts, other)]
  assert ks(counts, other) == pytest.approx(stats.ks_2samp(*values, method='asymp').statistic)


def test_ks_of_bins_is_not_above_that_of_the_values() -> None:
  random = np.random.default_rng(0)
  one, other = random.normal(0, 1, 500), random.normal(0.5, 1.2, 300)
  edges = np.linspace(-4, 5, 12)
  binned = ks(*(np.histogram(values, edges)[0].tolist() for values in (one, other)))
  exact = stats.ks_2samp(one, other).statistic
  assert exact - 0.1 < binned <= exact


def test_psi_is_both_relative_entropies() -> None:
  p, q = [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]
  assert psi(p, q) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p))
  assert psi(p, p) == 0


def test_the_customary_limit_of_psi_and_that_of_ks_are_the_same_shift() -> None:
  """Of two normal distributions with the same deviation: PSI is the squared distance of the means."""
  fine = np.linspace(-8, 8.5, 4001)
  p, q = (np.diff(stats.norm.cdf(fine, mean)) + 1e-300 for mean in (0, math.sqrt(THRESHOLDS.max_psi)))
  assert psi(p.tolist(), q.tolist()) == pytest.approx(THRESHOLDS.max_psi, rel=1e-3)
  assert ks(p.tolist(), q.tolist()) == pytest.approx(THRESHOLDS.max_ks, abs=0.005)


@given(COUNTS)
def test_groups_hold_every_bin_once_and_a_tenth_but_for_what_is_left(counts: list[int]) -> None:
  groups = grouped(counts)
  assert [position for group in groups for position in group] == list(range(len(counts)))
  for group in groups:
    held = sum(counts[position] for position in group)
    assert held >= sum(counts) / 10 or group is groups[-1] or counts[group[-1] + 1] >= sum(counts) / 10
    assert len(group) == 1 or max(counts[position] for position in group) < sum(counts) / 10


def test_a_bin_that_holds_all_has_groups_beside_it() -> None:
  assert grouped([0, 0, 9, 0]) == [[0, 1], [2], [3]]


@pytest.mark.parametrize('degrees', [1, 2, 3, 5, 12, 30])
@pytest.mark.parametrize('alpha', [0.01, 1e-4, 1e-6])
def test_quantiles_of_chi_squared_are_those_of_scipy(degrees: int, alpha: float) -> None:
  assert chi_squared_quantile(degrees, alpha) == pytest.approx(stats.chi2.isf(alpha, degrees), rel=0.08)
  assert chi_squared_quantile(0, alpha) == 0


def test_figures_of_a_feature_by_hand() -> None:
  pair = pair_of({'DX': 600, 'CR': 400}, {'DX': 50, 'CR': 40, 'MG': 10}, 1000, 100, 'modality')
  p, q = [400.5 / 1001.5, 600.5 / 1001.5, 0.5 / 1001.5], [40.5 / 101.5, 50.5 / 101.5, 10.5 / 101.5]
  figures = pair.figures(0.01)
  assert figures == {
    'psi': pytest.approx(psi(p, q), abs=1e-4),
    'psi_noise': pytest.approx((1 / 1000 + 1 / 100) * stats.chi2.isf(0.01, 2), rel=0.02),
  }


def test_pixels_count_as_images() -> None:
  one = pair_of({'0': 300_000, '9': 700_000}, {'0': 40_000, '9': 60_000}, 1000, 100, 'intensity')
  other = pair_of({'0': 300, '9': 700}, {'0': 40, '9': 60}, 1000, 100, 'intensity')
  assert one.figures(0.01) == other.figures(0.01)


def test_images_without_a_value_have_no_place_in_an_order() -> None:
  pair = pair_of({'3': 50, 'unknown': 50}, {'3': 100}, 100, 100, 'age')
  figures = pair.figures(0.01)
  assert figures['ks'] == 0
  assert figures['psi'] > 0.5
  assert figures['ks_noise'] == pytest.approx(math.sqrt(-math.log(0.005) / 2 * (1 / 50 + 1 / 100)), abs=1e-4)


@pytest.mark.parametrize('feature', ['rows', 'modality'])
@pytest.mark.parametrize('bins', [{'unknown': 9}, {'3': 9}])
def test_samples_of_one_value_are_equal_whatever_their_sizes(feature: str, bins: dict[str, int]) -> None:
  figures = pair_of(bins, bins, 4000, 50, feature).figures(0.01)
  assert (figures['psi'], figures['psi_noise'], figures.get('ks', 0)) == (0, 0, 0)


@pytest.mark.parametrize(('training', 'night'), [({'unknown': 9}, {'3': 9}), ({'3': 9}, {'unknown': 9})])
def test_a_feature_that_one_side_never_has_differs(training: dict[str, int], night: dict[str, int]) -> None:
  figures = pair_of(training, night, 100, 100, 'rows').figures(0.01)
  assert figures['psi'] > 1
  assert 'ks' not in figures


# --- by chance


@pytest.mark.parametrize(('images', 'count'), [(50, 80), (200, 60), (2000, 12)])
def test_nights_without_drift_raise_no_alarm(training: Training, images: int, count: int) -> None:
  """At most `FALSE_ALARMS` of such nights: of this many, one would be too many to be chance."""
  assert FALSE_ALARMS <= 0.001
  nights = [drift_of(training, draw(HOSPITAL, images, 100 + seed), 'k') for seed in range(count)]
  assert all(night['available'] for night in nights)
  assert [alarms_of(night, THRESHOLDS) for night in nights] == [[]] * len(nights)


def test_nights_of_few_long_studies_raise_no_alarm(training: Training) -> None:
  """Sixty films of forty frames are not two thousand images."""
  films = dataclasses.replace(HOSPITAL, images_of_study=40)
  nights = [drift_of(training, draw(films, 2400, 300 + seed), 'k') for seed in range(30)]
  assert {night['effective_images'] for night in nights} == {60}
  assert [alarms_of(night, THRESHOLDS) for night in nights] == [[]] * len(nights)


def test_without_regard_to_noise_small_nights_would(training: Training) -> None:
  """What the noise is there for: the customary limit alone cries wolf."""
  night = drift_of(training, draw(HOSPITAL, 60, 5), 'k')
  assert any(one['psi'] > THRESHOLDS.max_psi / 2 for one in night['features'].values())
  assert not alarms_of(night, THRESHOLDS)


# --- by drift


@pytest.mark.parametrize(
  ('change', 'feature'),
  [
    ({'brightness': 165.0}, 'intensity'),
    ({'log_odds': 1.5}, 'score'),
    ({'rows': 1024}, 'rows'),
    ({'modality': 'CT'}, 'modality'),
    ({'age': 20}, 'age'),
    ({'flag': 'clipped'}, 'quality'),
  ],
)
@pytest.mark.parametrize('images', [100, 1000])
def test_drift_is_found(training: Training, change: dict[str, Any], feature: str, images: int) -> None:
  night = draw(dataclasses.replace(HOSPITAL, **change), images, 7)
  found = alarms_of(drift_of(training, night, 'k'), THRESHOLDS)
  assert feature in {excess.feature for excess in found if not excess.scanner}
  assert {excess.feature for excess in found} <= {feature, 'columns', 'aspect'}
  assert all(excess.value > excess.limit for excess in found)


def test_a_scanner_that_drifts_is_found_among_others(training: Training) -> None:
  sound = draw(dataclasses.replace(HOSPITAL, scanners=('a', 'b', 'c')), 900, 11)
  bad = draw(dataclasses.replace(HOSPITAL, scanners=('d',), brightness=170.0), 100, 12)
  figures = drift_of(training, merge([sound, bad]), 'k')
  assert {excess.scanner for excess in alarms_of(figures, THRESHOLDS) if excess.feature == 'intensity'} == {'d'}


def test_a_scanner_is_compared_with_itself() -> None:
  dark, bright = (
    dataclasses.replace(HOSPITAL, scanners=(name,), brightness=b) for name, b in (('a', 60.0), ('b', 180.0))
  )
  both = [merge([draw(dark, 600, seed), draw(bright, 600, seed + 1)]) for seed in (1, 3)]
  figures = drift_of(Training(both[0], both[1], 'k'), draw(dark, 300, 9), 'k')
  assert figures['scanners']['a']['known']
  assert figures['scanners']['a']['features']['intensity']['psi'] < 0.1
  assert {excess.feature for excess in alarms_of(figures, THRESHOLDS)} == {'intensity', 'scanner'}


def test_a_new_scanner_is_seen_as_new_and_compared_in_what_the_model_sees(training: Training) -> None:
  new = draw(dataclasses.replace(HOSPITAL, scanners=('new',), modality='CT', brightness=175.0), 300, 13)
  figures = drift_of(training, new, 'k')
  assert figures['features']['scanner']['psi'] > 1
  assert not figures['scanners']['new']['known']
  assert set(figures['scanners']['new']['features']) == {'intensity', 'score'}
  assert ('new', 'intensity') in {(one.scanner, one.feature) for one in alarms_of(figures, THRESHOLDS)}


def test_ids_under_another_key_are_not_compared(training: Training) -> None:
  figures = drift_of(training, draw(HOSPITAL, 300, 13), 'another')
  assert 'scanner' not in figures['features']
  assert {part['known'] for part in figures['scanners'].values()} == {False}


def test_scanners_with_few_images_have_no_figures(training: Training) -> None:
  few = draw(dataclasses.replace(HOSPITAL, scanners=('a',)), 40, 1)
  many = draw(dataclasses.replace(HOSPITAL, scanners=('b',)), 60, 2)
  figures = drift_of(training, merge([few, many]), 'k')
  assert set(figures['scanners']) == {'b'}
  assert set(drift_of(training, merge([few, many]), 'k', min_images=40)['scanners']) == {'a', 'b'}


def test_the_rest_of_the_scanners_is_no_scanner(training: Training) -> None:
  night = draw(dataclasses.replace(HOSPITAL, scanners=('other', 'a')), 400, 3)
  assert set(drift_of(training, night, 'k')['scanners']) == {'a'}


@pytest.mark.parametrize(('images', 'why'), [(0, 'too-few-images'), (49, 'too-few-images'), (50, '')])
def test_few_images_are_not_compared(training: Training, images: int, why: str) -> None:
  figures = drift_of(training, draw(HOSPITAL, images, 1), 'k')
  assert (figures['available'], figures.get('why', '')) == (not why, why)
  assert bool(alarms_of(figures, THRESHOLDS)) is False


def test_a_night_without_statistics_has_no_drift(training: Training) -> None:
  assert drift_of(training, {}, 'k') == {'available': False, 'why': 'too-few-images'}


def test_other_bins_are_not_compared(training: Training) -> None:
  night = draw(HOSPITAL, 100, 1) | {'bins': '0'}
  assert drift_of(training, night, 'k') == {'available': False, 'why': 'other-bins'}


def test_a_higher_threshold_silences_an_alarm(training: Training) -> None:
  figures = drift_of(training, draw(dataclasses.replace(HOSPITAL, log_odds=1.5), 500, 7), 'k')
  assert alarms_of(figures, THRESHOLDS)
  assert alarms_of(figures, Thresholds(50.0, 1.0)) == []


def test_figures_are_json(training: Training) -> None:
  figures = drift_of(training, draw(HOSPITAL, 100, 1), 'k')
  assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_the_effective_size_is_that_of_kish() -> None:
  assert effective_images({'images': 4, 'study_squares': 16}) == 1
  assert effective_images({'images': 4, 'study_squares': 4}) == 4
  assert effective_images({'images': 0, 'study_squares': 0}) == 0


# --- of bundles


def test_a_training_is_read_as_it_was_written(tmp_path: pathlib.Path, training: Training) -> None:
  file = tmp_path / 'training_statistics.json'
  file.write_text(json.dumps(to_statistics(training)))
  assert read_training(file) == training


@pytest.mark.parametrize('content', [None, '{}', '{"intensity": {"bins": 32}, "scores": {}, "counts": {}}'])
def test_bundles_of_before_have_no_drift(tmp_path: pathlib.Path, content: str | None) -> None:
  file = tmp_path / 'training_statistics.json'
  if content:
    file.write_text(content)
  night = draw(HOSPITAL, 100, 1)
  assert drift_of(read_training(file), night, 'k') == {'available': False, 'why': 'bundle-without-statistics'}
