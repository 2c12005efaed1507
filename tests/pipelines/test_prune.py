import datetime
import json
import pathlib
import shutil

import pytest

from pipelines import retention
from pipelines.cli import main
from pipelines.current import current
from pipelines.exits import Exit
from pipelines.ledger import load_ledger
from pipelines.lock import held_lock
from tests.end_to_end.nights import Site, radiograph

TODAY = datetime.datetime.now(datetime.UTC).date()


def days_ago(days: int) -> str:
  return (TODAY - datetime.timedelta(days=days)).isoformat()


@pytest.fixture(scope='module')
def three_nights(tmp_path_factory: pytest.TempPathFactory, tiny_models: pathlib.Path) -> Site:
  """40, 20 and 0 days ago; the second night's image came again in the third."""
  root = tmp_path_factory.mktemp('nights')
  site = Site(root / 'site', tiny_models)
  crosswalk = ('--crosswalk', str(root / 'crosswalk'))
  site.deliver('a.dcm', radiograph('1', 10))
  site.night('--run_date', days_ago(40), *crosswalk)
  site.deliver('b.dcm', radiograph('2', 20))
  site.night('--run_date', days_ago(20), *crosswalk)
  site.deliver('c.dcm', radiograph('2', 30))
  site.night('--run_date', days_ago(0), *crosswalk)
  return site


@pytest.fixture
def site(three_nights: Site, tmp_path: pathlib.Path) -> Site:
  """After the three nights."""
  shutil.copytree(three_nights.root.parent / 'crosswalk', tmp_path / 'crosswalk')
  return three_nights.copied(tmp_path / 'site')


def grey(site: Site) -> list[float]:
  return sorted(256 * row['probability'] for row in current(str(site.output)).to_pylist())


def test_without_apply_it_is_only_said_what_would_go(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  before = sorted(site.output.rglob('*'))
  assert main(['prune', str(site.output), '--keep_days', '30']) == Exit.DONE
  shown = capfd.readouterr().err
  assert f'of {days_ago(40)}' in shown
  assert days_ago(20) not in shown
  assert 'nothing was deleted' in shown
  assert sorted(site.output.rglob('*')) == before


def test_old_rows_go_and_their_records_and_entries_stay(site: Site, tmp_path: pathlib.Path) -> None:
  crosswalk = tmp_path / 'crosswalk'
  command = ['prune', str(site.output), '--keep_days', '30', '--crosswalk', str(crosswalk), '--apply']
  assert grey(site) == [10, 30]
  entries = load_ledger(str(site.output)).entries
  assert main(command) == Exit.DONE
  assert grey(site) == [30]
  assert load_ledger(str(site.output)).entries == entries
  assert len(list(crosswalk.glob('*.parquet'))) == 2
  assert not list(site.output.glob(f'*/run_date={days_ago(40)}/*/*/*'))
  assert site.night() == Exit.NOTHING_TO_DO  # what was scored is not scored again
  assert main(command) == Exit.NOTHING_TO_DO


def test_runs_of_which_no_row_stands_may_go_earlier(site: Site) -> None:
  superseded = ['prune', str(site.output), '--keep_days', '100', '--superseded_days']
  assert main([*superseded, '50', '--apply']) == Exit.NOTHING_TO_DO
  assert main([*superseded, '10', '--apply']) == Exit.DONE
  assert grey(site) == [10, 30]
  assert [bool(record.get('pruned')) for record in site.records('score')] == [False, True, False]


def test_what_it_did_is_a_record_of_its_own(site: Site, tmp_path: pathlib.Path) -> None:
  log = tmp_path / 'log'
  command = ['prune', str(site.output), '--keep_days', '30', '--apply', '--log_file', str(log)]
  assert main(command) == Exit.DONE
  (record,) = site.records('prune')
  marked = [one['run_id'] for job in ('score', 'nightly') for one in site.records(job) if 'pruned' in one]
  assert record['pruned_runs'] == sorted(marked)
  assert (record['removed_files'], record['removed_rows'], record['exit_code']) == (2, 2, 0)  # an image and its study
  assert record['run_id'] > max(one['run_id'] for one in site.records())
  events = [json.loads(line) for line in log.read_text().splitlines()]
  (said,) = [event for event in events if event['event'] == 'runs-pruned']
  assert (said['run_id'], said['runs'], said['removed_files']) == (record['run_id'], 2, 2)
  assert main(command) == Exit.NOTHING_TO_DO
  assert [one['state'] for one in site.records('prune')] == ['done', 'nothing-to-do']
  assert site.night() == Exit.NOTHING_TO_DO  # and nights are not disturbed by such records
  assert main(['runs', str(site.output)]) == Exit.DONE


def test_what_an_earlier_prune_marked_and_did_not_remove_is_removed(site: Site) -> None:
  (first, *_) = site.records('score')
  retention.mark(str(site.output), first['run_id'], TODAY)  # and is killed here
  assert grey(site) == [30]
  assert list(site.output.glob(f'predictions/*/*/run_id={first["run_id"]}/*'))
  assert main(['prune', str(site.output), '--keep_days', '1000', '--apply']) == Exit.DONE
  assert not list(site.output.glob(f'predictions/run_date={first["run_date"]}'))
  assert main(['prune', str(site.output), '--keep_days', '1000', '--apply']) == Exit.NOTHING_TO_DO


def test_a_night_that_died_is_cleared_away_and_still_told_of(site: Site) -> None:
  died = '20200101T000000Z-0badcafe'
  orphan = site.output / f'studies/run_date=2020-01-01/model=tiny-1/run_id={died}/part-00000-of-00001.parquet'
  orphan.parent.mkdir(parents=True)
  orphan.write_bytes(b'')
  (site.output / '.lock').write_text(json.dumps({'run_id': died}))
  assert main(['prune', str(site.output), '--keep_days', '30', '--apply']) == Exit.DONE
  assert not orphan.exists()
  assert site.records('prune')[0]['recovered_lock'] == died


def test_it_waits_for_no_night(site: Site) -> None:
  with held_lock(str(site.output), 'a-night'):
    assert main(['prune', str(site.output), '--keep_days', '30', '--apply']) == Exit.LOCKED
    assert main(['prune', str(site.output), '--keep_days', '30']) == Exit.DONE
  assert grey(site) == [10, 30]


def test_an_output_that_is_not_there_is_wrong_usage(tmp_path: pathlib.Path) -> None:
  assert main(['prune', str(tmp_path / 'nowhere'), '--keep_days', '1']) == Exit.USAGE
