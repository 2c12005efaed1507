import io
import json
import logging
import os
import pathlib
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipelines import cli, progress
from pipelines.events import emit, name_run
from pipelines.exits import Exit, Locked, NothingToDo, UsageError
from pipelines.log_output import configure, without_paths
from tests.pipelines.fake_job import FakeJob

pytestmark = pytest.mark.usefixtures('_as_before')
_TRAIN = ['train', '--dataset', 'data', '--bundle', 'model']
_JSON = [*_TRAIN, '--log_format', 'json']


def lines(text: str) -> list[dict[str, Any]]:
  return [json.loads(line) for line in text.splitlines()]


def say_a_few_things(options: object, beam_args: object) -> int:
  name_run('20260131T020000Z-abcdef01')
  emit('slice-published', 'slice 1 is published', slice=1, rows={'scored': 2})
  emit('inbox-listed', None, files=3)
  logging.getLogger('radbeam.train').info('rows %s -> %s', 7, '/data/Doe^John/out')
  for library in ('pydicom', 'absl', 'tensorflow', 'apache_beam.runners'):
    logging.getLogger(library).error('a name from a header')
  return Exit.DONE


def test_a_line_of_json_an_event(
  job: FakeJob,
  monkeypatch: pytest.MonkeyPatch,
  capfd: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setattr(job, 'run', say_a_few_things)
  assert cli.main(_JSON) == Exit.DONE
  shown = lines(capfd.readouterr().err)
  times = [datetime.fromisoformat(line.pop('time')) for line in shown]
  assert all(time.utcoffset() == timedelta(0) for time in times)
  assert times == sorted(times)
  common = {'level': 'info', 'run_id': '20260131T020000Z-abcdef01'}
  assert shown == [
    {'event': 'slice-published', 'slice': 1, 'rows': {'scored': 2}, **common},
    {'event': 'inbox-listed', 'files': 3, **common},
    {'event': 'message', 'logger': 'radbeam.train', 'text': 'rows 7 -> (a path)', **common},
    {'event': 'job-ended', 'job': 'train', 'exit_code': 0, 'outcome': 'done', **common},
  ]


def test_text_stays_as_it_was_and_the_file_has_json(
  job: FakeJob,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capfd: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.setattr(job, 'run', say_a_few_things)
  path = tmp_path / 'new' / 'radbeam.log'
  for _ in range(2):
    assert cli.main([*_TRAIN, '--log-file', str(path)]) == Exit.DONE
  shown = capfd.readouterr().err.splitlines()
  ours = ['slice 1 is published', 'rows 7 -> /data/Doe^John/out']
  assert [line for line in shown if line in ours] == ours * 2
  assert 'None' not in shown
  assert not any(line.startswith('{') for line in shown)
  written = lines(path.read_text(encoding='ascii'))
  assert [line['event'] for line in written] == ['slice-published', 'inbox-listed', 'message', 'job-ended'] * 2
  assert 'Doe' not in path.read_text(encoding='ascii')


def test_quiet_keeps_warnings_on_stderr_and_all_in_the_file(
  job: FakeJob,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capfd: pytest.CaptureFixture[str],
) -> None:
  def run(options: object, beam_args: object) -> int:
    emit('night-started', 'it begins')
    emit('alarm', 'drift', alarm='drift')
    return Exit.ALARM

  monkeypatch.setattr(job, 'run', run)
  path = tmp_path / 'log'
  assert cli.main([*_JSON, '--quiet', '--log_file', str(path)]) == Exit.ALARM
  assert [line['event'] for line in lines(capfd.readouterr().err)] == ['alarm', 'job-ended']
  written = lines(path.read_text())
  assert [line['event'] for line in written] == ['night-started', 'alarm', 'job-ended']
  assert (written[-1]['exit_code'], written[-1]['outcome'], written[-1]['level']) == (7, 'alarm', 'error')


@pytest.mark.parametrize(
  ('result', 'code', 'outcome', 'text'),
  [
    (
      UsageError('--bundle is model, but ./model is a file'),
      2,
      'usage',
      '--bundle is (a path), but (a path) is a file',
    ),
    (NothingToDo('no file'), 3, 'nothing-to-do', 'no file'),
    (Locked('run 7 is at work'), 5, 'locked', 'run 7 is at work'),
    (PermissionError(13, 'Permission denied', '/out/Doe'), 2, 'usage', 'no access to (a path) (Permission denied); '),
    (KeyboardInterrupt(), 130, 'interrupted', None),
    (SystemExit(143), 143, 'interrupted', None),
  ],
  ids=repr,
)
def test_the_last_line_tells_how_it_ended(
  result: BaseException,
  code: int,
  outcome: str,
  text: str | None,
  job: FakeJob,
  capfd: pytest.CaptureFixture[str],
) -> None:
  job.result = result
  assert cli.main(_JSON) == code
  (line,) = lines(capfd.readouterr().err)
  assert (line['event'], line['exit_code'], line['outcome']) == ('job-ended', code, outcome)
  assert line.get('text', '').startswith(text or '')
  assert ('text' in line) == (text is not None)
  assert 'traceback' not in line


def test_a_crash_has_its_frames_and_no_text_of_a_library(
  job: FakeJob,
  capfd: pytest.CaptureFixture[str],
) -> None:
  job.result = KeyError('Doe^Planted')
  assert cli.main(_JSON) == Exit.CRASHED
  error = capfd.readouterr().err
  (line,) = lines(error)
  assert (line['level'], line['outcome']) == ('error', 'crashed')
  assert line['traceback'][0] == 'Traceback (most recent call last):'
  assert line['traceback'][-1].startswith('KeyError: (text withheld')
  assert 'Doe' not in error


@pytest.mark.parametrize(
  'argv',
  [
    ['train', '--dataset', 'Doe_John', '--bundle', 'model', '--epochs', 'many', '--log-format=json'],
    ['train', '--log_format', 'json'],
    [*_JSON, '--oops'],
    [*_JSON, '--log_file', '{folder}'],
    [*_JSON, '--log_file', 'gs://bucket/log'],
    ['train', '--config', '{config}', '--oops'],
    ['train', '--config', '{config}'],
    ['inspect', 'Doe_John', '--config', '{config}', '--frame', '1', '--member', 'Doe_John'],
  ],
  ids=repr,
)
def test_wrong_usage_is_an_event_where_json_is_asked_for(
  argv: list[str], tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
  config = tmp_path / 'night.yaml'
  config.write_text('log_format: json\ndataset: Doe_John\nbundle: model\nepochs: 0\n')
  given = [word.format(config=config, folder=tmp_path) for word in argv]
  assert cli.main(given) == Exit.USAGE
  (line,) = lines(capfd.readouterr().err)
  assert (line['event'], line['outcome']) == ('job-ended', 'usage')
  assert line['text']
  assert 'Doe' not in line['text']
  assert str(tmp_path) not in line['text']


@pytest.mark.parametrize('flags', [['--log_file', '{folder}'], ['--log_file', 'gs://bucket/log'], ['--log_file=']])
def test_a_log_that_cannot_be_written_is_refused_at_once(
  flags: list[str],
  tmp_path: pathlib.Path,
  job: FakeJob,
  capfd: pytest.CaptureFixture[str],
) -> None:
  assert cli.main([*_TRAIN, *(flag.format(folder=tmp_path) for flag in flags)]) == Exit.USAGE
  assert capfd.readouterr().err.startswith('radbeam train: error: --log_file is ')
  assert job.calls == []


def test_progress_is_not_shown_amid_json(tmp_path: pathlib.Path) -> None:
  class Terminal(io.StringIO):
    def isatty(self) -> bool:
      return True

  configure('json', None, quiet=False)
  terminal = Terminal()
  with progress.shard_progress(str(tmp_path), quiet=False, stream=terminal):
    pass
  assert terminal.getvalue() == ''
  configure('text', None, quiet=False)
  with progress.shard_progress(str(tmp_path), quiet=False, stream=terminal):
    pass
  assert terminal.getvalue() != ''


def test_a_full_disk_under_the_log_ends_no_run_and_quotes_nothing() -> None:
  program = (
    'import sys; from pipelines.log_output import configure; from pipelines.events import emit;'
    'configure("text", "/dev/full", False); emit("alarm", "the line for a person", alarm="drift")'
  )
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True, env=os.environ)
  assert done.stderr.splitlines() == ['the line for a person']


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('-> /data/Doe John/x', '-> (a path) (a path)'),
    ('in night.yaml: epochs', 'in night.yaml: epochs'),
    ('see gs://bucket/doe.zip, please', 'see (a path), please'),
    ("no access to 'out/doe'; change", "no access to '(a path)'; change"),
    ('~/inbox ../inbox ./inbox', '(a path) (a path) (a path)'),
    ('25.0% of the images, 3 rows', '25.0% of the images, 3 rows'),
  ],
)
def test_what_looks_like_a_path_is_withheld(text: str, expected: str) -> None:
  assert without_paths(text) == expected


def test_given_places_are_withheld_as_a_whole() -> None:
  assert without_paths('--input is Doe John, in all', ('Doe John',)) == '--input is (a path), in all'
