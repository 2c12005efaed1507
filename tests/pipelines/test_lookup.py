import datetime
import json
import pathlib
import shutil

import pytest

from pipelines import retention
from pipelines.cli import main
from pipelines.exits import Exit
from pipelines.lookup import as_text
from tests.end_to_end.nights import Site, radiograph


@pytest.fixture(scope='module')
def two_nights(tmp_path_factory: pytest.TempPathFactory, tiny_models: pathlib.Path) -> Site:
  root = tmp_path_factory.mktemp('nights')
  site = Site(root / 'site', tiny_models)
  site.deliver_zip('a.zip', i1=10, i2=20)
  site.deliver('sub/b.dcm', radiograph('3', 30, study='8'))
  for _ in range(2):
    site.night('--crosswalk', str(root / 'crosswalk'), '--overwrite')
  return site


@pytest.fixture
def site(two_nights: Site, tmp_path: pathlib.Path) -> Site:
  """After the two nights."""
  shutil.copytree(two_nights.root.parent / 'crosswalk', tmp_path / 'crosswalk')
  return two_nights.copied(tmp_path / 'site')


def look_up(site: Site, beginning: str, *more: str) -> int:
  crosswalk = ('--crosswalk', str(site.root.parent / 'crosswalk'))
  return main(['lookup', beginning, *crosswalk, '--pseudonym_key_file', str(site.key), *more])


@pytest.mark.parametrize(
  ('column', 'members'),
  [
    ('image_id', ['sub/b.dcm']),
    ('source_id', ['sub/b.dcm']),
    ('file_id', ['sub/b.dcm']),
    ('study_id', ['sub/b.dcm']),
    ('series_id', ['i1.dcm', 'i2.dcm', 'sub/b.dcm']),
    ('patient_id', ['i1.dcm', 'i2.dcm', 'sub/b.dcm']),
  ],
)
def test_an_id_leads_back_to_every_place_that_it_stands_for(
  site: Site, column: str, members: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
  row = next(row for row in site.rows() if row['probability'] == 30 / 256)
  assert look_up(site, row[column][:12], '--json') == Exit.DONE
  places = json.loads(capfd.readouterr().out)
  assert sorted(place['member'] for place in places) == members
  assert {place['kind'] for place in places} == {column.removesuffix('_id')}
  assert {place['run_id'] for place in places} == {site.records('score')[-1]['run_id']}  # the newest
  loose = next(place for place in places if place['member'] == 'sub/b.dcm')
  assert (loose['study_instance_uid'], loose['sop_instance_uid']) == ('1.2.840.8', '1.2.826.3')


def test_a_file_is_found_with_all_that_is_in_it(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  row = next(row for row in site.rows() if row['probability'] == 10 / 256)
  assert look_up(site, row['file_id']) == Exit.DONE
  shown = capfd.readouterr().out
  assert shown.count('inbox/a.zip') == 2


def test_what_is_not_there_or_not_one_is_one_line(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  assert look_up(site, '0' * 32) == Exit.NOTHING_TO_DO
  assert 'is in none of 2 crosswalks' in capfd.readouterr().err
  assert look_up(site, 'zz') == Exit.USAGE
  assert '8 to 32 hexadecimal digits' in capfd.readouterr().err
  empty = str(site.root)
  assert main(['lookup', '0' * 8, '--crosswalk', empty, '--pseudonym_key_file', str(site.key)]) == Exit.USAGE
  assert 'holds no crosswalk-*.parquet' in capfd.readouterr().err


def test_what_became_of_it_is_shown_where_its_rows_are_there(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  row = next(row for row in site.rows() if row['probability'] == 30 / 256)
  output = ('--output', str(site.output), '--json')
  assert look_up(site, row['image_id'], *output) == Exit.DONE
  (place,) = json.loads(capfd.readouterr().out)
  assert (place['status'], place['probability'], place['predicted_label']) == (
    'scored',
    30 / 256,
    row['predicted_label'],
  )
  for record in site.records('score'):
    retention.mark(str(site.output), record['run_id'], datetime.date(2026, 1, 1))
  assert look_up(site, row['image_id'], *output) == Exit.DONE
  (place,) = json.loads(capfd.readouterr().out)
  assert (place['member'], place['status'], place['probability']) == ('sub/b.dcm', None, None)
  assert look_up(site, row['image_id'], '--output', str(site.root / 'nowhere')) == Exit.USAGE


def test_another_key_is_told_from_an_id_that_is_not_there(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  study = site.rows()[0]['study_id']
  site.key.write_bytes(bytes(range(100, 132)))
  assert look_up(site, study) == Exit.USAGE
  assert '2 of them are of another' in capfd.readouterr().err
  image = site.rows()[0]['image_id']
  assert look_up(site, image) == Exit.DONE


def test_a_crosswalk_that_others_may_read_is_refused(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  image = site.rows()[0]['image_id']
  path = next((site.root.parent / 'crosswalk').glob('*.parquet'))
  path.chmod(0o640)
  assert look_up(site, image) == Exit.USAGE
  shown = capfd.readouterr()
  assert 'chmod -R go=' in shown.err
  assert shown.out == ''


def test_a_dry_run_shows_nobody(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  assert look_up(site, site.rows()[0]['image_id'], '--dry_run') == Exit.DONE
  shown = capfd.readouterr()
  assert 'would search 2 crosswalks with 6 rows' in shown.err
  assert shown.out == ''


def test_that_somebody_asked_is_an_event_without_the_answer(site: Site, tmp_path: pathlib.Path) -> None:
  log = tmp_path / 'log'
  image = site.rows()[0]['image_id']
  assert look_up(site, image, '--log_file', str(log)) == Exit.DONE
  assert look_up(site, '0' * 32, '--log_file', str(log)) == Exit.NOTHING_TO_DO
  events = [json.loads(line) for line in log.read_text().splitlines()]
  asked = [(one['id'], one['places']) for one in events if one['event'] == 'id-looked-up']
  assert asked == [(image, 1), ('0' * 32, 0)]
  assert not any(text in log.read_text() for text in ('1.2.', 'zip', 'inbox'))


def test_what_would_command_a_terminal_is_taken_out() -> None:
  assert as_text({'member': '\x1b[2Ja', 'frame': None}) == 'member  ?[2Ja\nframe'
