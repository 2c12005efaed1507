import dataclasses
import datetime
import json
import pathlib
from typing import Any

import pytest

from benchmarks.drawn_nights import HOSPITAL, draw
from model.drift import KS_LIMIT, MIN_IMAGES, PSI_LIMIT, Training, to_statistics
from pipelines.alarms import drift_alarms, drift_figures, has_failed, uid_alarms, volume_alarms, volume_figures
from pipelines.night_options import NightlyOptions, WatchOptions
from tests.pipelines.tiny_bundle import make_bundle
from transforms.statistics import merge

FRIDAY = datetime.date(2026, 1, 30)
BRIGHT = dataclasses.replace(HOSPITAL, brightness=175.0)


def options(**flags: Any) -> WatchOptions:
  return NightlyOptions(inbox=('x',), bundle='x', output='x', **flags)


@pytest.fixture(scope='module')
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('bundle')
  training = Training(draw(HOSPITAL, 2000, 1), draw(HOSPITAL, 400, 2), 'k')
  (path / 'training_statistics.json').write_text(json.dumps(to_statistics(training)))
  return path


def test_the_defaults_are_those_of_drift() -> None:
  defaults = options()
  assert (defaults.max_psi, defaults.max_ks, defaults.min_drift_images) == (PSI_LIMIT, KS_LIMIT, MIN_IMAGES)
  assert defaults.drift_alarm == defaults.volume_alarm == defaults.uid_alarm == 'warn'


def test_thresholds_do_not_decide_what_is_scored_again() -> None:
  assert (
    options(max_psi=9.0, drift_alarm='fail', min_volume_ratio=0.1, uid_alarm='off').to_config() == options().to_config()
  )


def test_a_night_like_the_training_has_figures_and_no_alarm(bundle_path: pathlib.Path) -> None:
  drift = drift_figures(make_bundle(bundle_path), draw(HOSPITAL, 300, 3), options(), 'k')
  assert drift['available']
  assert drift['thresholds'] == {'psi': 0.25, 'ks': 0.2}
  assert drift_alarms(drift, options()) == []


@pytest.mark.parametrize(('level', 'failed'), [('warn', False), ('fail', True)])
def test_drift_is_an_alarm_of_all_images_and_of_each_scanner(
  bundle_path: pathlib.Path, level: str, failed: bool
) -> None:
  chosen = options(drift_alarm=level)
  night = merge([draw(BRIGHT, 300, 3), draw(dataclasses.replace(HOSPITAL, scanners=('e',)), 100, 4)])
  drift = drift_figures(make_bundle(bundle_path), night, chosen, 'k')
  alarms = drift_alarms(drift, chosen)
  assert [alarm['code'] for alarm in alarms] == ['drift', *['scanner-drift'] * 4]
  assert [alarm['detail'][:11] for alarm in alarms[1:]] == [f'scanner {name}: ' for name in 'abcd']
  assert 'intensity psi ' in alarms[0]['detail']
  assert alarms[0]['detail'].endswith('; 400 images, counted by study')
  assert {alarm['level'] for alarm in alarms} == {level}
  assert has_failed(alarms) is failed
  assert drift_alarms(drift, options(drift_alarm='off')) == []


def test_flags_move_the_thresholds(bundle_path: pathlib.Path) -> None:
  chosen = options(max_psi=99.0, max_ks=1.0)
  drift = drift_figures(make_bundle(bundle_path), draw(BRIGHT, 300, 3), chosen, 'k')
  assert drift_alarms(drift, chosen) == []
  few = options(min_drift_images=500)
  assert drift_figures(make_bundle(bundle_path), draw(BRIGHT, 300, 3), few, 'k')['why'] == 'too-few-images'


def test_a_bundle_of_before_is_no_alarm(tmp_path: pathlib.Path) -> None:
  drift = drift_figures(make_bundle(tmp_path), draw(BRIGHT, 300, 3), options(), 'k')
  assert (drift['available'], drift['why']) == (False, 'bundle-without-statistics')
  assert drift_alarms(drift, options(drift_alarm='fail')) == []


def nights(files: list[int]) -> list[dict[str, Any]]:
  """Newest first, the first of them on the Thursday before."""
  return [
    {'run_date': (FRIDAY - datetime.timedelta(days=1 + back)).isoformat(), 'volume': {'files': count}}
    for back, count in enumerate(files)
  ]


def alarms_of(files: int, last: list[int], **flags: Any) -> list[tuple[str, str]]:
  chosen = options(**flags)
  found = volume_alarms(volume_figures(files, nights(last), FRIDAY.isoformat()), chosen)
  return [(alarm['code'], alarm['level']) for alarm in found]


@pytest.mark.parametrize(
  ('files', 'last', 'alarms'),
  [
    (0, [100] * 14, [('no-files', 'warn')]),
    (0, [100] * 6 + [0] * 8, []),  # none is usual
    (0, [100] * 8 + [0] * 6, [('no-files', 'warn')]),
    (0, [100], [('no-files', 'warn')]),
    (0, [], []),
    (49, [100] * 14, [('few-files', 'warn')]),
    (50, [100] * 14, []),
    (900, [100] * 14, []),
    (49, [100] * 2, []),  # too few to tell
    (49, [100] * 3, [('few-files', 'warn')]),
    (49, [100] * 14 + [0] * 60, [('few-files', 'warn')]),  # what is older does not count
    (49, [50] * 14 + [100] * 60, []),
  ],
)
def test_volume_is_compared_with_the_last_nights(files: int, last: list[int], alarms: list[tuple[str, str]]) -> None:
  assert alarms_of(files, last) == alarms


@pytest.mark.parametrize(('files', 'alarms'), [(0, [('no-files', 'warn')]), (9, [('few-files', 'warn')]), (12, [])])
def test_a_quiet_day_of_the_week_is_compared_with_itself(files: int, alarms: list[tuple[str, str]]) -> None:
  week = [100, 100, 100, 100, 100, 100, 20]  # the last of them was a Friday
  assert alarms_of(files, week * 2) == alarms
  assert alarms_of(20, week) == [('few-files', 'warn')], 'one such Friday may have been a fault'


def test_a_day_of_the_week_without_files_is_expected_to_have_none() -> None:
  assert alarms_of(0, [100, 100, 100, 100, 100, 100, 0] * 2) == []


def test_a_busy_day_of_the_week_is_not_asked_for_more() -> None:
  assert alarms_of(50, [100, 100, 100, 100, 100, 100, 300] * 2) == []


def test_volume_flags() -> None:
  assert alarms_of(0, [100] * 14, volume_alarm='fail') == [('no-files', 'fail')]
  assert alarms_of(0, [100] * 14, volume_alarm='off') == []
  assert alarms_of(85, [100] * 14, min_volume_ratio=0.9) == [('few-files', 'warn')]
  assert alarms_of(0, [100] * 14, min_volume_ratio=0.0) == [('no-files', 'warn')]


def test_backfills_and_nights_that_did_not_count_are_left_out() -> None:
  [usual, old, backfill] = nights([100, 1, 5000])
  figures = volume_figures(
    7, [backfill | {'backfill': '2026-01-01..2026-01-02'}, old | {'volume': {}}, usual], '2026-01-30'
  )
  assert figures == {'files': 7, 'median_of_last': 100, 'runs_compared': 1}


def test_details_are_figures() -> None:
  [alarm] = volume_alarms(volume_figures(3, nights([100, 100, 100, 100, 100, 100, 20] * 2), '2026-01-30'), options())
  assert alarm['detail'] == '3 files, the median of 14 nights is 100, of this weekday 20'


@pytest.mark.parametrize('level', ['warn', 'fail'])
@pytest.mark.parametrize(
  ('within', 'over', 'shared'),
  [
    (2, 0, '2 with another of their run'),
    (0, 1, '1 with one of another run'),
    (2, 1, '2 with another of their run, 1 with one of another run'),
  ],
)
def test_images_of_one_uid_are_an_alarm(level: str, within: int, over: int, shared: str) -> None:
  found = uid_alarms({'content': 4, 'uid_clashes': within}, [{'uid_clashes': over}], level)
  detail = f'different images that share their SOP Instance UID: {shared}'
  assert found == [{'code': 'uid-clash', 'detail': detail, 'level': level}]


@pytest.mark.parametrize(('clashes', 'level'), [(2, 'off'), (0, 'warn')])
def test_images_of_one_uid_are_no_alarm(clashes: int, level: str) -> None:
  assert uid_alarms({'uid_clashes': clashes}, [], level) == []


def test_slices_of_an_earlier_version_count_no_uids() -> None:
  assert uid_alarms({'content': 1, 'pixels': 2}, [], 'fail') == []
