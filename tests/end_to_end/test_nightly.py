"""The nightly job, from its command line to its records."""

import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from model import handler
from pipelines import night_slices, score_run
from pipelines.exits import Exit
from pipelines.studies import current_studies
from tests.end_to_end.nights import Site, radiograph
from transforms.identifiers import Pseudonyms


@pytest.fixture
def real_site(tmp_path: pathlib.Path, tiny_models: pathlib.Path) -> Site:
  """Whose nights load the SavedModels."""
  return Site(tmp_path / 'site', tiny_models)


@pytest.fixture
def site(real_site: Site, scored_by_numpy: None) -> Site:
  """Whose nights score by numpy."""
  return real_site


def test_each_night_scores_what_is_new_and_says_so(real_site: Site) -> None:
  site = real_site
  site.deliver_zip('one.zip', i1=10, i2=20)
  site.deliver('loose/i3.dcm', radiograph('3', 30))
  assert site.night() == Exit.DONE
  site.deliver_zip('two.zip', i4=40)
  site.deliver('notes.txt', b'nothing to see here')
  assert site.night() == Exit.DONE
  assert sorted((row['status'], row['probability']) for row in site.rows() if row['probability']) == [
    ('scored', grey / 256) for grey in (10, 20, 30, 40)
  ]
  first, second = site.records()
  assert (first['inbox']['new'], first['inbox']['done'], first['rows']) == (2, 0, {'scored': 3})
  assert (second['inbox']['new'], second['inbox']['done'], second['sources']['written']) == (2, 2, 2)
  assert second['predicted'] == {'healthy': 1}
  assert (first['quality'], second['quality']) == ({'low-contrast': 3, 'tiny': 3}, {'low-contrast': 1, 'tiny': 1})
  assert first['state'] == second['state'] == 'done'


def test_a_night_with_nothing_new_has_a_record_and_loads_neither_beam_nor_tensorflow(site: Site) -> None:
  site.deliver_zip('one.zip', i1=10)
  assert site.night() == Exit.DONE
  code = (
    'import sys; from pipelines.cli import main; code = main(sys.argv[1:]);'
    "heavy = {'tensorflow', 'apache_beam'} & set(sys.modules); print(heavy, file=sys.stderr) if heavy else None;"
    'raise SystemExit(99 if heavy else code)'
  )
  command = site.command('--volume_alarm', 'off')
  done = subprocess.run([sys.executable, '-c', code, *command], capture_output=True, text=True, check=False)
  assert (done.returncode, done.stderr.count('\n')) == (Exit.NOTHING_TO_DO, 1), done.stderr
  assert site.records()[-1]['state'] == 'nothing-to-do'
  assert site.records()[-1]['exit_code'] == Exit.NOTHING_TO_DO


def test_an_empty_inbox_is_nothing_new_and_a_missing_one_wrong_usage(
  site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
  assert site.night() == Exit.NOTHING_TO_DO
  site.inbox.rmdir()
  assert site.night() == Exit.USAGE
  assert f'--inbox {site.inbox} does not exist' in capfd.readouterr().err


def test_the_pointer_decides_the_model_and_rolling_back_scores_only_what_that_has_not_seen(real_site: Site) -> None:
  site = real_site
  site.deliver_zip('one.zip', i1=10)
  site.night()
  site.roll_out('2')
  site.deliver_zip('two.zip', i2=20)
  site.night('--done_by', 'any')  # leaves the first to a backfill
  site.roll_out('1')
  site.night()
  assert [(row['model_version'], row['probability']) for row in site.rows()] == [
    ('1', 10 / 256),
    ('2', 20 / 512),
    ('1', 20 / 256),
  ]


@pytest.mark.parametrize('content', ['', 'one\ntwo\n'])
def test_a_pointer_that_names_no_one_model_is_wrong_usage(
  site: Site, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
  site.pointer.write_text(content)
  assert site.night() == Exit.USAGE
  assert 'whose one line names it' in capfd.readouterr().err


def test_a_pointer_may_name_the_model_from_where_it_lies(site: Site) -> None:
  pointer = pathlib.Path(shutil.copytree(site.models, site.root / 'models')) / 'current'
  pointer.write_text('2')
  site.deliver_zip('one.zip', i1=10)
  site.pointer = pointer
  assert site.night() == Exit.DONE
  assert site.rows()[0]['model_version'] == '2'


def test_rejected_files_count_as_done_unless_they_are_asked_for(site: Site) -> None:
  site.deliver_zip('good.zip', i1=10)
  broken = site.deliver_zip('broken.zip', i2=20)
  whole = broken.read_bytes()
  site.deliver('broken.zip', whole[:-60])
  assert site.night() == Exit.DONE
  assert site.night() == Exit.NOTHING_TO_DO
  assert site.night('--only_failed') == Exit.DONE
  assert site.records()[-1]['inbox']['new'] == 1
  site.deliver('broken.zip', whole)
  assert site.night() == Exit.DONE
  assert site.rows()[-1]['probability'] == 20 / 256
  assert site.night('--only_failed') == Exit.NOTHING_TO_DO


def test_a_changed_file_supersedes_the_run_that_scored_it_and_a_touched_one_is_done(site: Site) -> None:
  path = site.deliver_zip('one.zip', i1=10)
  site.night()
  os.utime(path, (1_800_000_000, 1_800_000_000))
  assert site.night() == Exit.NOTHING_TO_DO
  assert len(site.records()[-1]['touched']) == 1
  assert site.night() == Exit.NOTHING_TO_DO
  assert site.records()[-1]['touched'] == []  # known by now
  site.deliver_zip('one.zip', i1=11)
  site.night()
  first, second = site.records('score')
  assert (first['supersedes_run_id'], second['supersedes_run_id']) == (None, first['run_id'])
  assert site.rows()[-1]['supersedes_run_id'] == first['run_id']


def test_the_work_is_cut_into_slices_that_share_ids_with_a_run_over_everything(real_site: Site) -> None:
  site = real_site
  for number in range(5):
    site.deliver(f'{number}.dcm', radiograph(str(number), 10 * number + 1))
  assert site.night('--slice_files', '2') == Exit.DONE
  assert [len(record['entries']) for record in site.records('score')] == [2, 2, 1]
  sliced = site.rows()
  assert site.night('--overwrite') == Exit.DONE
  whole = site.rows()[len(sliced) :]
  same = ('image_id', 'source_id', 'study_id', 'probability', 'pixel_sha256')
  assert [[row[name] for name in same] for row in sliced] == [[row[name] for name in same] for row in whole]


def test_a_night_loads_its_model_once_for_all_slices(real_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
  loaded: list[str] = []
  load = tf.saved_model.load

  def note(path: str) -> object:
    loaded.append(path)
    return load(path)

  monkeypatch.setattr(tf.saved_model, 'load', note)
  handler._kept_model.cache_clear()
  for number in range(3):
    real_site.deliver(f'{number}.dcm', radiograph(str(number), 10 + number))
  assert real_site.night('--slice_files', '1') == Exit.DONE
  assert len(real_site.records('score')) == 3
  assert sorted(row['probability'] for row in real_site.rows()) == [10 / 256, 11 / 256, 12 / 256]
  assert loaded == [str(real_site.models / '1' / 'saved_model')]


def test_at_the_deadline_the_rest_is_left_to_the_next_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
  for number in range(3):
    site.deliver(f'{number}.dcm', radiograph(str(number), 10))
  with monkeypatch.context() as patched:
    begun: list[str] = []
    execute = score_run.execute

    def note(*args: object) -> object:
      begun.append('slice')
      return execute(*args)  # type: ignore[arg-type]

    patched.setattr(night_slices, 'execute', note)
    patched.setattr(
      night_slices,
      'now',
      lambda: datetime.datetime.max.replace(tzinfo=datetime.UTC) if begun else datetime.datetime.now(datetime.UTC),
    )
    assert site.night('--slice_files', '1', '--deadline', '06:30') == Exit.DEADLINE
  record = site.records()[-1]
  assert (record['state'], record['exit_code'], record['inbox']['left'], len(record['slices'])) == ('deadline', 6, 2, 1)
  assert site.night() == Exit.DONE
  assert len(site.rows()) == 3


def test_the_deadline_is_the_next_such_time_of_day() -> None:
  started = datetime.datetime(2026, 3, 1, 22, 0).astimezone()
  assert night_slices.deadline_of('06:30', started) == datetime.datetime(2026, 3, 2, 6, 30).astimezone()
  assert night_slices.deadline_of('23:15', started) == datetime.datetime(2026, 3, 1, 23, 15).astimezone()
  assert night_slices.deadline_of(None, started) is None


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  for number in range(3):
    site.deliver(f'{number}.dcm', radiograph(str(number), 10))
  assert site.night('--dry_run', '--slice_files', '2') == Exit.DONE
  assert 'would score 3 files' in (shown := capfd.readouterr().err)
  assert 'in 2 slices by tiny-1' in shown
  assert not site.output.exists()


def test_runs_are_in_order_also_where_the_clock_goes_back(site: Site) -> None:
  site.deliver_zip('one.zip', i1=10)
  site.night()
  (record,) = site.records()
  for path in site.output.glob('runs/*.json'):  # as if that night had been in the future
    path.write_text(path.read_text().replace(record['run_id'][:8], '20990101'))
    path.rename(path.with_name(path.name.replace(record['run_id'][:8], '20990101')))
  site.night()
  first, second = site.records()
  assert first['run_id'].startswith('20990101')
  assert second['run_id'] > first['run_id']


def test_a_backfill_scores_the_past_beside_the_old_rows(site: Site) -> None:
  for day in (1, 2, 3):
    site.deliver_zip(f'{day}.zip', **{f'i{day}': 10 * day})
    site.night('--run_date', f'2026-01-0{day}')
  site.roll_out('2')
  assert site.night('--backfill', '2026-01-01..2026-01-02', '--run_date', '2026-02-01') == Exit.DONE
  found = [(record['run_date'], record['model']['version'], record['rows']) for record in site.records('score')]
  assert found[3:] == [('2026-01-01', '2', {'scored': 1}), ('2026-01-02', '2', {'scored': 1})]
  assert site.records()[-1]['backfill'] == '2026-01-01..2026-01-02'
  assert {row['probability'] for row in site.rows()} == {10 / 256, 20 / 256, 30 / 256, 10 / 512, 20 / 512}
  assert site.night('--backfill', '2026-01-01..2026-01-02') == Exit.NOTHING_TO_DO


def studies(site: Site) -> dict[str, tuple[float, int, int]]:
  """By study: its probability, and how many of its images were scored, over how many runs."""
  pseudonyms = Pseudonyms(site.key.read_bytes())
  names = {pseudonyms.optional('study', f'1.2.840.{number}'): str(number) for number in range(10)}
  rows = current_studies(str(site.output), 'tiny-1').to_pylist()
  return {names[row['study_id']]: (row['probability'], row['images_scored'], len(row['image_run_ids'])) for row in rows}


def test_a_study_has_one_row_over_all_nights_in_which_its_images_came(site: Site) -> None:
  site.deliver('a.dcm', radiograph('1', 10, study='1'))
  site.deliver('b.dcm', radiograph('2', 20, study='2'))
  site.night()
  assert studies(site) == {'1': (10 / 256, 1, 1), '2': (20 / 256, 1, 1)}
  site.deliver('late.dcm', radiograph('3', 30, study='1'))
  site.night()
  assert studies(site) == {'1': (30 / 256, 2, 2), '2': (20 / 256, 1, 1)}
  site.deliver('corrected.dcm', radiograph('3', 5, study='1'))
  site.night()
  assert studies(site) == {'1': (10 / 256, 2, 2), '2': (20 / 256, 1, 1)}
  first, *_, last = site.records()
  assert [published['studies'] for published in last['studies']] == [1]
  (row,) = pq.read_table(site.output / last['studies'][0]['folder'], partitioning=None).to_pylist()
  assert row['run_id'] == last['run_id']
  assert first['run_id'] < row['supersedes_run_id'] < last['run_id']


def test_the_studies_of_a_night_without_a_record_do_not_count_and_come_again(site: Site) -> None:
  site.deliver('a.dcm', radiograph('1', 10, study='1'))
  site.night()
  (record,) = site.records()
  (site.output / 'runs' / f'{record["run_id"]}.json').unlink()
  (site.output / '.lock').write_text(json.dumps({'run_id': record['run_id']}))
  assert studies(site) == {}
  assert site.night() == Exit.DONE  # nothing new, but a slice that no night has counted
  assert studies(site) == {'1': (10 / 256, 1, 1)}
  assert len(list(site.output.glob('studies/*/*/*'))) == 1


def test_a_night_without_files_where_some_are_usual_is_told_or_fails(
  site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
  for number in range(3):
    site.deliver_zip(f'{number}.zip', i1=10)
    assert site.night('--run_date', f'2026-01-0{number + 1}') == Exit.DONE
  assert site.night('--run_date', '2026-01-04') == Exit.NOTHING_TO_DO
  assert 'warn: no-files' in capfd.readouterr().err
  record = site.records()[-1]
  assert [(alarm['code'], alarm['level']) for alarm in record['alarms']] == [('no-files', 'warn')]
  assert record['volume'] == {'files': 0, 'median_of_last': 1, 'runs_compared': 3}
  assert site.night('--run_date', '2026-01-05', '--volume_alarm', 'fail') == Exit.ALARM
  assert site.records()[-1]['state'] == 'alarm'
  assert site.night('--run_date', '2026-01-06', '--volume_alarm', 'off') == Exit.NOTHING_TO_DO
  assert site.records()[-1]['alarms'] == []
