import json
import os
import pathlib
import subprocess
import sys

import pytest

from pipelines.cli import main
from pipelines.exits import Exit
from pipelines.runs_text import duration_text
from tests.pipelines.night_records import FIRST, month, night, nothing_new, run_id, slice_of, write_records
from transforms import storage

pytestmark = pytest.mark.usefixtures('_as_before')
_ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def output(tmp_path: pathlib.Path) -> str:
  return write_records(tmp_path / 'out', list(month()))


def test_the_nights_are_a_table(output: str, capsys: pytest.CaptureFixture[str]) -> None:
  assert main(['runs', output]) == Exit.DONE
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 31
  headings = 'run date state exit model new scored rejected skipped psi ks time reasons notes'
  assert ' '.join(lines[0].split()) == headings
  ids = [line.split()[0] for line in lines[1:]]
  assert ids == sorted(ids, reverse=True)
  (drifted,) = [line for line in lines if line.startswith('20260126T')]
  assert drifted.split()[1:5] == ['2026-01-26', 'alarm', '7', 'chest-1.5']
  assert drifted.endswith('fail: drift (score psi 0.36 (at most 0.10))')
  (rejected,) = [line for line in lines if ' too-many-rejects ' in line]
  assert 'unsupported-transfer-syntax' in rejected
  assert 'no-pixel-data' not in '\n'.join(lines), 'skipped is no reject'


def test_figures_stand_under_their_headings(output: str, capsys: pytest.CaptureFixture[str]) -> None:
  assert main(['runs', '--output', output, '--last', '3']) == Exit.DONE
  head, *lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 3
  newest = list(month())[-1]
  for name, figure in (('scored', newest['rows']['scored']), ('new', newest['inbox']['new'])):
    end = head.index(f' {name} ') + len(name) + 1
    assert lines[0][:end].endswith(f' {figure}')


def test_the_nights_are_json(output: str, capsys: pytest.CaptureFixture[str]) -> None:
  assert main(['runs', output, '--json', '--last=2']) == Exit.DONE
  shown = json.loads(capsys.readouterr().out)
  newest = list(month())[-1]
  assert [one['run_id'] for one in shown] == [newest['run_id'], run_id(FIRST.replace(month=2, day=1))]
  assert (shown[0]['rows'], shown[0]['reasons']) == (newest['rows'], newest['reasons'])
  assert shown[0]['started'] == newest['started']
  assert shown[0]['duration_s'] == newest['seconds']['total']
  assert shown[0]['drift']['psi'] == {'value': newest['drift']['features']['score']['psi'], 'of': 'score'}


def test_nothing_is_made_up_of_a_night_that_died_at_once(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  died = run_id(FIRST)
  path = write_records(tmp_path, [night(FIRST.replace(day=4), recovered_lock=died), nothing_new(FIRST.replace(day=5))])
  assert main(['runs', path]) == Exit.DONE
  lines = capsys.readouterr().out.splitlines()
  assert lines[3].split() == [died, '2026-01-03', 'interrupted', *'–' * 10]
  assert lines[2].endswith(f'went on for {died}')
  assert lines[1].split()[2:7] == ['nothing-to-do', '3', 'chest-1.4', '0', '0']


def test_a_prune_tells_of_the_night_that_died_before_it_and_is_none_itself(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  died, pruned = run_id(FIRST), f'{run_id(FIRST.replace(day=4))}-prune'
  prune = {'job': 'prune', 'run_id': pruned, 'recovered_lock': died}
  after = night(FIRST.replace(day=6), recovered_lock=f'{run_id(FIRST.replace(day=5))}-prune')
  path = write_records(tmp_path, [prune, after])
  assert main(['runs', path]) == Exit.DONE
  _, *lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines] == [after['run_id'], died]


def test_an_output_without_nights_and_none_at_all(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  assert main(['runs', str(tmp_path)]) == Exit.DONE
  assert capsys.readouterr().out == 'no night has left a record yet\n'
  assert main(['runs', str(tmp_path / 'gone')]) == Exit.USAGE
  assert 'does not exist; name what `radbeam nightly` was given' in capsys.readouterr().err


def test_what_a_terminal_would_obey_is_not_printed(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  path = write_records(tmp_path, [night(reasons={'\x1b[2Jbad': 1})])
  assert main(['runs', path]) == Exit.DONE
  assert '\x1b' not in capsys.readouterr().out


def test_a_page_is_written_and_replaced_only_if_asked(
  output: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  page = tmp_path / 'nights.html'
  command = ['runs', output, '--html', str(page)]
  assert main([*command, '--dry_run']) == Exit.DONE
  assert not page.exists()
  assert main(command) == Exit.DONE
  assert page.read_text().startswith('<!doctype html>')
  assert main(command) == Exit.USAGE
  assert main([*command, '--overwrite', '--last', '1']) == Exit.DONE
  assert capsys.readouterr().out.splitlines()[-1] == f'1 night -> {page}'
  assert main(['runs', output, '--html', 'page.txt']) == Exit.USAGE


def test_nights_of_a_bucket(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
  for record in [*list(month())[:2], slice_of(run_id(FIRST.replace(day=6)))]:
    storage.write_atomically(f'{bucket}/out/runs/{record["run_id"]}.json', json.dumps(record).encode())
  assert main(['runs', f'{bucket}/out', '--html', f'{bucket}/nights.html']) == Exit.DONE
  assert capsys.readouterr().out == f'3 nights -> {bucket}/nights.html\n'
  assert b'interrupted' in storage.read_bytes(f'{bucket}/nights.html')
  assert main(['runs', f'{bucket}/out', '--json']) == Exit.DONE
  assert len(json.loads(capsys.readouterr().out)) == 3


def test_neither_beam_nor_tensorflow_is_loaded(output: str, tmp_path: pathlib.Path) -> None:
  program = (
    'import sys; from pipelines.cli import main; code = main(sys.argv[1:]);'
    "print(sorted({'apache_beam', 'tensorflow', 'pyarrow', 'numpy', 'google.cloud.storage'} & set(sys.modules)));"
    'sys.exit(code)'
  )
  command = [sys.executable, '-c', program, 'runs', output, '--html', str(tmp_path / 'page.html')]
  done = subprocess.run(command, cwd=_ROOT, env=os.environ, capture_output=True, text=True, check=True)
  assert done.stdout.splitlines()[-1] == '[]'


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [
    (None, '–'),
    (0.04, '0.0 s'),
    (9.96, '10.0 s'),
    (59.4, '59 s'),
    (59.6, '1 min'),
    (61, '1 min'),
    (3570, '1 h 00 min'),
    (3600 * 11 + 65 * 60, '12 h 05 min'),
  ],
)
def test_times_in_words(seconds: float | None, text: str) -> None:
  assert duration_text(seconds) == text
