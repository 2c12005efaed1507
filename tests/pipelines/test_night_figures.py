import datetime
import json

from pipelines.night_figures import Alarm, Drift, date_of, drift_of, figures_of, summary_fields, time_of
from tests.pipelines.night_records import FIRST, month, night, nothing_new


def test_figures_of_a_night() -> None:
  record = night(alarms=[{'code': 'drift-scores', 'level': 'fail', 'detail': 'psi 0.31'}])
  figures = figures_of(record)
  assert (figures.model, figures.slices, figures.files['new']) == ('chest-1.4', 3, 1500)
  assert figures.total_rows == sum(record['rows'].values()) == record['sources']['listed']
  assert figures.duration_s == record['seconds']['total']
  assert figures.alarms == (Alarm('drift-scores', 'fail', 'psi 0.31'),)
  assert figures.top_rejects(1) == [('decode-failed', record['reasons']['decode-failed'])]


def test_a_record_of_an_older_version_is_read() -> None:
  figures = figures_of({'job': 'nightly', 'run_id': '20260131T013000Z-a1b2c3d4', 'state': 'nothing-to-do', 'rows': {}})
  assert (figures.run_date, figures.exit_code, figures.duration_s, figures.drift) == ('2026-01-31', None, None, {})


def test_what_is_usual_on_a_weekday_goes_first() -> None:
  usual = {'files': 7, 'median_of_last': 1500, 'runs_compared': 14}
  assert figures_of(night(volume=usual)).usual_files == 1500
  assert figures_of(night(volume=usual | {'median_of_weekday': 420})).usual_files == 420


def test_without_stages_the_duration_is_from_start_to_end() -> None:
  begin = datetime.datetime(2026, 1, 31, 1, tzinfo=datetime.UTC)
  end = begin + datetime.timedelta(minutes=5)
  assert figures_of(night(seconds={}, started=begin.isoformat(), finished=end.isoformat())).duration_s == 300


def test_the_largest_drift_of_all_images_or_of_a_scanner() -> None:
  noise = {'psi_noise': 0.35, 'ks_noise': 0.1}
  drift = {
    'available': True,
    'images': 900,
    'features': {'score': {'psi': 0.05, 'ks': 0.2, **noise}, 'modality': {'psi': 0.3, 'psi_noise': 0.02}},
    'scanners': {
      'a1b2': {'known': True, 'features': {'score': {'psi': 0.34, 'ks': 0.15, **noise}}},
      'c3d4': {'known': False, 'features': {'intensity': {'psi': 0.2, 'ks': 0.25, **noise}}},
    },
  }
  assert drift_of(drift) == {'psi': Drift(0.3, 'modality'), 'ks': Drift(0.25, 'intensity of c3d4')}
  assert drift_of({'available': False, 'why': 'too-few-images'}) == {}
  assert drift_of({}) == {}


def test_the_detail_of_an_alarm_is_figures() -> None:
  alarms = [{'code': 'a', 'level': 'fail', 'detail': {'psi': 0.31, 'of': 9}}, {'code': 'b', 'detail': 7}]
  assert figures_of(night(alarms=alarms)).alarms == (
    Alarm('a', 'fail', 'psi 0.31, of 9'),
    Alarm('b', 'warn', '7'),
  )


def test_when_a_run_began_is_in_its_id() -> None:
  assert date_of('20260131T013000Z-a1b2c3d4-s0003') == '2026-01-31'
  assert time_of('20260131T013000Z-a1b2c3d4') == datetime.datetime(2026, 1, 31, 1, 30, tzinfo=datetime.UTC)
  assert (date_of('odd'), time_of('odd')) == ('', None)


def test_a_summary_is_ids_codes_and_figures() -> None:
  summary = summary_fields(figures_of(nothing_new(FIRST)))
  assert (summary['state'], summary['exit_code'], summary['rows']) == ('nothing-to-do', 3, {})
  assert all(json.dumps(summary_fields(figures_of(record))) for record in month())
