"""A run of two models that is killed: started again it ends with the rows of a run that was not."""

from pipelines.cli import main
from pipelines.exits import Exit
from tests.end_to_end.nights import Site
from tests.end_to_end.test_several_models import MODELS, command, record_of, rows
from tests.end_to_end.test_several_models import real_site as site
from tests.jobs.killed_jobs import kill_once_a_shard_is_finished, start

__all__ = ['site']


def test_a_killed_run_goes_on_for_both(site: Site) -> None:
  for number in range(40):
    site.deliver_zip(f'more-{number}.zip', **{f'i{100 + number}': number})
  assert main(command(site, 'whole', '1', '2')) == Exit.DONE
  again = site.root / 'killed'
  kill_once_a_shard_is_finished(start(command(site, again.name, '1', '2')), again / '.staging')
  assert not (again / 'predictions').exists()
  assert main(command(site, again.name, '1', '2')) == Exit.DONE
  for version in MODELS:
    assert rows(site, again.name, version) == rows(site, 'whole', version)
  assert record_of(site, again.name)['sources']['written'] == 46
  assert not (again / '.staging').exists()
