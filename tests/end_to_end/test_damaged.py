"""Nights and runs of scoring after a power cut, or a disk that lost something: records that cannot be read."""

import pathlib

import pytest

from pipelines.cli import main
from pipelines.current import current
from pipelines.exits import Exit
from pipelines.studies import current_studies
from tests.end_to_end.nights import Site, radiograph


@pytest.fixture
def site(tmp_path: pathlib.Path, tiny_models: pathlib.Path, scored_by_numpy: None) -> Site:
  """After a night of one image."""
  site = Site(tmp_path / 'site', tiny_models)
  site.deliver('a.dcm', radiograph('1', 10))
  assert site.night() == Exit.DONE
  return site


def record_of(site: Site, job: str) -> pathlib.Path:
  return site.output / 'runs' / f'{site.records(job)[-1]["run_id"]}.json'


def cut(path: pathlib.Path, share: float) -> pathlib.Path:
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * share)])
  return path


def greys(site: Site) -> list[float]:
  return sorted(256 * row['probability'] for row in current(str(site.output)).to_pylist())


def test_an_empty_record_of_a_slice_is_set_aside_and_its_files_scored_again(
  site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
  path = cut(record_of(site, 'score'), 0)
  assert greys(site) == []
  capfd.readouterr()
  assert site.night('--volume_alarm', 'off') == Exit.DONE
  assert f'the record of run {path.stem} is damaged: empty' in capfd.readouterr().err
  assert greys(site) == [10]
  assert pathlib.Path(f'{path}.damaged').exists()
  assert site.night() == Exit.NOTHING_TO_DO


def test_a_damaged_record_of_a_slice_stops_the_night_with_one_line_that_helps(
  site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
  path = cut(record_of(site, 'score'), 0.5)
  for more in ((), ('--dry_run',)):
    capfd.readouterr()
    assert site.night(*more) == Exit.USAGE
    (line,) = capfd.readouterr().err.splitlines()
    assert f'runs/{path.name} is damaged; restore it from a backup, or rename it to {path.name}.damaged' in line
  path.rename(f'{path}.damaged')
  assert site.night() == Exit.DONE
  assert greys(site) == [10]


def test_a_damaged_record_of_a_night_stops_nothing(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  path = cut(record_of(site, 'nightly'), 0.5)
  (site.output / 'runs' / 'notes.json').write_text('{"of": "another program"}')
  site.deliver('b.dcm', radiograph('2', 20))
  capfd.readouterr()
  assert site.night() == Exit.DONE
  shown = capfd.readouterr().err
  assert f'the record of run {path.stem} is damaged: left out' in shown
  assert 'notes' not in shown
  assert greys(site) == [10, 20]
  assert current_studies(str(site.output), 'tiny-1')['images_scored'].to_pylist() == [2]
  assert main(['runs', str(site.output)]) == Exit.DONE
  assert main(['prune', str(site.output), '--keep_days', '0', '--superseded_days', '0']) == Exit.NOTHING_TO_DO


@pytest.mark.parametrize(('share', 'code', 'records'), [(0, Exit.DONE, 2), (0.5, Exit.USAGE, 1)])
def test_a_run_of_scoring_that_lost_its_record_is_made_again_where_that_record_is_empty(
  site: Site, share: float, code: Exit, records: int
) -> None:
  command = ['score', '--input', str(site.inbox), '--bundle', str(site.models / '1'), '--output', str(site.output)]
  command += ['--pseudonym_key_file', str(site.key), '--max_reject_ratio', '1']
  assert main(command) == Exit.DONE
  path = next(
    path for path in (site.output / 'runs').iterdir() if b'work_digest' in path.read_bytes() and '-s' not in path.name
  )
  cut(path, share)
  assert main(command) == code
  whole = [run for run in current(str(site.output))['run_id'].to_pylist() if '-s' not in run]
  assert len(whole) == records - 1
