import datetime
import pathlib

import pytest

from pipelines import prune
from pipelines.cli import main
from pipelines.current import current
from pipelines.exits import Exit
from pipelines.ledger import load_ledger
from pipelines.night_options import PruneOptions
from pipelines.run_record import read_record
from tests.end_to_end.nights import Site, radiograph
from tests.pipelines.tiny_bundle import write_bundle

TODAY = datetime.datetime.now(datetime.UTC).date()


def days_ago(days: int) -> str:
  return (TODAY - datetime.timedelta(days=days)).isoformat()


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
  """Three nights, 40, 20 and 0 days ago; the second night's image came again in the third."""
  write_bundle(tmp_path / 'models/1', '1')
  site = Site(tmp_path / 'site', tmp_path / 'models')
  crosswalk = ('--crosswalk', str(tmp_path / 'crosswalk'))
  site.deliver('a.dcm', radiograph('1', 10))
  site.night('--run_date', days_ago(40), *crosswalk)
  site.deliver('b.dcm', radiograph('2', 20))
  site.night('--run_date', days_ago(20), *crosswalk)
  site.deliver('c.dcm', radiograph('2', 30))
  site.night('--run_date', days_ago(0), *crosswalk)
  return site


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
  assert main([*superseded, '30', '--apply']) == Exit.NOTHING_TO_DO
  assert main([*superseded, '10', '--apply']) == Exit.DONE
  assert grey(site) == [10, 30]
  assert [bool(record.get('pruned')) for record in site.records('score')] == [False, True, False]


def test_a_prune_that_was_killed_is_finished_by_the_next(site: Site) -> None:
  options = PruneOptions(output=str(site.output), keep_days=30)
  first = next(one for one in prune.find_doomed(options, TODAY) if 'predictions' in one.record)
  prune.mark(options.output, first.record, TODAY)  # and is killed here
  assert grey(site) == [30]
  assert read_record(options.output, first.record['run_id'])['pruned'] == TODAY.isoformat()
  assert first.record['run_id'] in {one.record['run_id'] for one in prune.find_doomed(options, TODAY)}
  assert main(['prune', str(site.output), '--keep_days', '1000', '--apply']) == Exit.DONE
  assert prune.find_doomed(PruneOptions(output=str(site.output), keep_days=1000), TODAY) == []


def test_an_output_that_is_not_there_is_wrong_usage(tmp_path: pathlib.Path) -> None:
  assert main(['prune', str(tmp_path / 'nowhere'), '--keep_days', '1']) == Exit.USAGE
