"""Images on which the decoder fails: each costs itself, and somebody hears of it."""

import json
import pathlib
import signal
from collections import Counter

import pytest

from pipelines.exits import Exit
from tests.end_to_end.nights import Site, radiograph
from tests.jobs.failing_decoder import ABORTS, RAISES, run
from tests.transforms.archive_files import zip_bytes


@pytest.fixture
def site(tmp_path: pathlib.Path, tiny_models: pathlib.Path) -> Site:
  return Site(tmp_path / 'site', tiny_models)


def deliver(site: Site, name: str, greys: list[int]) -> None:
  members = [(f'{number}.dcm', radiograph(f'{name}.{number}', grey)) for number, grey in enumerate(greys)]
  site.deliver(f'{name}.zip', zip_bytes(members))


def outcomes(site: Site) -> Counter[str]:
  return Counter(row['reason'] or row['status'] for row in site.rows())


def test_an_image_that_ends_the_process_and_one_that_raises_cost_a_row_each(site: Site, tmp_path: pathlib.Path) -> None:
  deliver(site, '1', [10, ABORTS, 20, RAISES, 30])
  deliver(site, '2', [40, 50])
  first = run(site.command(), tmp_path / 'bad')
  assert first.returncode == -signal.SIGABRT
  second = run(site.command(), tmp_path / 'bad')
  assert second.returncode == Exit.ALARM, second.stderr
  assert outcomes(site) == {'scored': 5, 'internal-error': 2}
  details = sorted(row['detail'] for row in site.rows() if row['reason'])
  assert details[1] == 'decode process ended by SIGABRT'
  assert details[0].startswith('TypeError at transforms/decode.py:')
  assert 'Mustermann' not in first.stderr + second.stderr
  (night,) = site.records()
  assert [(alarm['code'], alarm['level']) for alarm in night['alarms']] == [('internal-error', 'fail')]
  assert (night['state'], night['exit_code']) == ('alarm', 7)
  assert 'fail: internal-error (radbeam itself failed on 2 images)' in second.stderr

  # The next night begins with what is new, and does not try what failed under this version.
  deliver(site, '3', [60])
  assert site.night() == Exit.DONE
  assert outcomes(site) == {'scored': 6, 'internal-error': 2}
  assert site.night('--retry_rejected') == Exit.DONE
  assert sorted(row['probability'] for row in site.rows()[-5:]) == [grey / 256 for grey in (10, 20, 30, RAISES, ABORTS)]
  assert site.night('--retry_rejected') == Exit.NOTHING_TO_DO


def test_what_failed_is_tried_again_by_another_version_after_what_is_new(site: Site, tmp_path: pathlib.Path) -> None:
  deliver(site, '1', [10, RAISES])
  assert run(site.command(), tmp_path / 'bad').returncode == Exit.ALARM
  for path in site.output.glob('runs/*.json'):  # as if an older version had written it
    record = json.loads(path.read_text())
    record['versions']['radbeam'] = '0.0.1'
    path.write_text(json.dumps(record))
  deliver(site, '2', [20])
  assert site.night('--slice_files', '1') == Exit.DONE
  assert [row['probability'] for row in site.rows()[2:]] == [grey / 256 for grey in (20, 10, RAISES)]
  assert site.night() == Exit.NOTHING_TO_DO


def test_a_decoder_that_fails_on_all_images_is_a_broken_program(site: Site, tmp_path: pathlib.Path) -> None:
  deliver(site, '1', list(range(10, 40)))
  failed = run(site.command(), tmp_path / 'bad', FAIL_ON_ALL='1')
  assert failed.returncode == Exit.CRASHED
  assert 'radbeam itself failed on 30 of 30 images' in failed.stderr
  assert (site.records(), site.records('score'), site.published()) == ([], [], set())
  assert site.night() == Exit.DONE  # mended; nothing of what failed is taken over
  assert outcomes(site) == {'scored': 30}


def test_score_and_ingest_go_on_after_an_abort_and_end_with_the_alarm(site: Site, tmp_path: pathlib.Path) -> None:
  deliver(site, '1', [10, RAISES, 20, ABORTS, *range(100, 120)])
  inputs = ['--input', str(site.inbox), '--pseudonym_key_file', str(site.key)]
  dataset = tmp_path / 'dataset'
  score = ['score', *inputs, '--bundle', str(site.models / '1'), '--output', str(site.output)]
  ingest = [
    'ingest',
    *inputs,
    '--labels',
    'none',
    '--image_size',
    '16',
    '--patient_from',
    'member',
    '--output',
    str(dataset),
  ]
  for command in (score, ingest):
    assert run(command, tmp_path / 'bad').returncode == -signal.SIGABRT
    again = run(command, tmp_path / 'bad')
    assert again.returncode == Exit.ALARM, again.stderr
  assert outcomes(site) == {'scored': 22, 'internal-error': 2}
  record = json.loads((dataset / 'dataset.json').read_text())
  assert (record['rows'], record['reasons']) == ({'ok': 22, 'rejected': 2}, {'internal-error': 2})
