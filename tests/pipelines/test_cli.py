import logging
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from pipelines import cli
from pipelines.exits import Exit, NothingToDo, TooManyRejects, UsageError
from pipelines.jobs import JOBS
from pipelines.options import IngestOptions
from pipelines.train_options import TrainJobOptions
from tests.pipelines.fake_job import FakeJob

_INGEST = ['ingest', '--input', 'in', '--output', 'out', '--labels', 'folder']
_TRAIN = ['train', '--dataset', 'data', '--bundle', 'model']
pytestmark = pytest.mark.usefixtures('_as_before')
_ROOT = pathlib.Path(__file__).parent.parent.parent


def ran_with(job: FakeJob) -> Any:
  ((options, _),) = job.calls
  return options


@pytest.mark.parametrize(
  ('argv', 'text'),
  [
    ([], 'usage: radbeam JOB'),
    (['ingst'], "radbeam: error: 'ingst' is no job; did you mean ingest?"),
    (['--nonsense'], "'--nonsense' is no job; expected one of ingest, train"),
    (['ingest'], 'radbeam ingest: error: --output, --input, --labels must be given'),
    (
      [*_INGEST, '--image-siz', '32'],
      '--image-siz is no flag of radbeam, nor of Apache Beam; did you mean --image_size?',
    ),
    ([*_INGEST, '--tmp_location=/tmp'], 'did you mean --temp_location?'),
    ([*_INGEST, '--runner', 'Nonsense'], "--runner is 'Nonsense'; expected a runner of Apache Beam"),
    ([*_INGEST, '--image_size', 'big'], "--image_size: found 'big', expected a whole number"),
    ([*_INGEST, '--max_reject_ratio', 'x'], "--max_reject_ratio: found 'x', expected a number"),
    ([*_INGEST, '--overwrite=perhaps'], "--overwrite: found 'perhaps', expected true or false"),
    ([*_INGEST, '--resize', 'fold'], "invalid choice: 'fold' (choose from 'pad', 'crop', 'stretch')"),
    ([*_INGEST, '--channels', '2'], 'invalid choice: 2 (choose from 1, 3)'),
    ([*_INGEST, '--patient_pattern', '('], "--patient_pattern is '('; expected a regular expression"),
    ([*_INGEST, '--seed', '1'], '--seed is no flag of radbeam, nor of Apache Beam'),
    (['ingest', 'in.zip'], "'in.zip' follows no flag; give inputs as --input PATH"),
    ([*_TRAIN, '--epoch', '3'], '--epoch is no flag of radbeam train; did you mean --epochs?'),
    ([*_TRAIN, '--runner', 'FlinkRunner'], '--runner is no flag of radbeam train; see --help'),
    ([*_TRAIN, 'stray'], "'stray' follows no flag"),
    ([*_TRAIN, '--config', 'nowhere.yaml'], 'in nowhere.yaml: the configuration file cannot be read (No such file'),
  ],
)
def test_wrong_usage_is_one_line_and_exit_2(
  argv: list[str], text: str, job: FakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
  assert cli.main(argv) == Exit.USAGE
  shown = capfd.readouterr()
  assert text in shown.err
  assert 'Traceback' not in shown.err
  assert shown.out == ''
  assert job.calls == []


@pytest.mark.parametrize(
  ('arguments', 'name', 'value'),
  [
    ([], 'image_size', 224),
    (['--image_size', '64'], 'image_size', 64),
    (['--image-size', '64'], 'image_size', 64),
    (['--image-size=64'], 'image_size', 64),
    (['--patient-pattern=a-b=c-d'], 'patient_pattern', 'a-b=c-d'),
    (['--channels', '3'], 'channels', 3),
    (['--input', 'b', '--input=c'], 'input', ('in', 'b', 'c')),
    (['--overwrite'], 'overwrite', True),
    (['--overwrite', '--no_auth'], 'overwrite', True),
    (['--overwrite=false'], 'overwrite', False),
    (['--dry-run'], 'dry_run', True),
    (['--val_fraction', '0'], 'val_fraction', 0.0),
    (['--crosswalk', 'x'], 'crosswalk', 'x'),
  ],
)
def test_flags_become_options(arguments: list[str], name: str, value: object, job: FakeJob) -> None:
  assert cli.main([*_INGEST, *arguments]) == Exit.DONE
  assert isinstance(ran_with(job), IngestOptions)
  assert getattr(ran_with(job), name) == value


def test_beam_flags_pass_through(job: FakeJob) -> None:
  flags = ['--runner', 'DirectRunner', '--temp_location=/tmp/x', '--dataflow_labels', 'a=b']
  assert cli.main([*_INGEST, *flags]) == Exit.DONE
  assert job.calls[0][1] == flags


@pytest.mark.parametrize('taken', ['--labels', '--label', '--dry_run'])
def test_names_that_are_ours_do_not_reach_beam(taken: str, job: FakeJob, capfd: pytest.CaptureFixture[str]) -> None:
  score = ['score', '--input', 'in', '--output', 'out', '--bundle', 'model']
  code = cli.main([*score, taken])
  if taken == '--dry_run':
    assert (code, ran_with(job).dry_run, job.calls[0][1]) == (Exit.DONE, True, [])
  else:
    assert code == Exit.USAGE
    assert "Dataflow's labels are given as --dataflow_labels" in capfd.readouterr().err


def write(path: pathlib.Path, text: str) -> str:
  path.write_text(text, encoding='utf-8')
  return str(path)


def test_a_configuration_file_has_the_same_keys_and_a_flag_wins(tmp_path: pathlib.Path, job: FakeJob) -> None:
  text = 'dataset: data\nbundle: model\nepochs: 7\nbatch-size: 8\nlearning_rate: 1e-4\ndeterministic: true\nname: 7\n'
  path = write(tmp_path / 'train.yaml', text)
  assert cli.main(['train', '--config', path, '--epochs', '3', '--deterministic=false']) == Exit.DONE
  assert ran_with(job) == TrainJobOptions(
    dataset='data', bundle='model', epochs=3, batch_size=8, learning_rate=1e-4, deterministic=False, name='7'
  )


def test_an_empty_value_empties_a_list_of_the_configuration_file(tmp_path: pathlib.Path, job: FakeJob) -> None:
  path = write(tmp_path / 'train.yaml', 'augment_without: [blur, noise]')
  assert cli.main([*_TRAIN, '--config', path, '--augment_without=']) == Exit.DONE
  assert ran_with(job).augment_without == ()


def test_a_configuration_file_can_hold_inputs_dates_and_beam_flags(tmp_path: pathlib.Path, job: FakeJob) -> None:
  text = 'input: [a, b]\noutput: out\nlabels: none\nrun_date: 2026-01-31\nrunner: DirectRunner\nstreaming: true\n'
  path = write(tmp_path / 'ingest.yaml', text)
  assert cli.main(['ingest', f'--config={path}']) == Exit.DONE
  options, beam_args = job.calls[0]
  assert (options.input, options.labels, options.run_date) == (('a', 'b'), 'none', '2026-01-31')
  assert beam_args == ['--runner=DirectRunner', '--streaming']
  assert cli.main(['ingest', f'--config={path}', '--input', 'c']) == Exit.DONE
  assert job.calls[1][0].input == ('c',)


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('epoch: 3', '--epoch is no flag of radbeam train; did you mean --epochs?'),
    ('epochs: many', "argument --epochs: found 'many', expected a whole number"),
    ('epochs:', 'epochs has no plain value'),
    ('epochs: {a: 1}', 'epochs has no plain value'),
    ('- epochs', 'holds no keys'),
    ('', 'holds no keys'),
    ('a: b: c', 'is no YAML'),
    ('config: other.yaml', 'cannot name another'),
  ],
)
def test_a_wrong_configuration_file_is_named(
  text: str, expected: str, tmp_path: pathlib.Path, job: FakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
  path = write(tmp_path / 'train.yaml', text)
  assert cli.main([*_TRAIN, '--config', path]) == Exit.USAGE
  error = capfd.readouterr().err
  assert f'in {path}: ' in error
  assert expected in error
  assert job.calls == []


def test_an_unknown_key_is_an_error_also_where_beam_takes_flags(
  tmp_path: pathlib.Path, job: FakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
  path = write(tmp_path / 'ingest.yaml', 'image_sise: 32')
  assert cli.main([*_INGEST, '--config', path]) == Exit.USAGE
  assert '--image_sise is no flag of radbeam, nor of Apache Beam; did you mean --image_size?' in capfd.readouterr().err
  assert job.calls == []


@pytest.mark.parametrize(
  ('result', 'code', 'text'),
  [
    (Exit.DONE, 0, ''),
    (Exit.LOCKED, 5, ''),
    (UsageError('found a, expected b'), 2, 'radbeam train: error: found a, expected b\n'),
    (NothingToDo('no file'), 3, 'radbeam train: nothing to do: no file\n'),
    (TooManyRejects('half of them'), 4, 'radbeam train: error: half of them\n'),
    (PermissionError(13, 'Permission denied', '/out'), 2, 'radbeam train: error: no access to /out'),
    (OSError(28, 'No space left on device', '/out/x'), 1, 'radbeam train: error: the disk of /out/x is full'),
    (KeyboardInterrupt(), 130, 'radbeam train: interrupted\n'),
  ],
  ids=repr,
)
def test_how_a_job_ends_is_the_exit_code(
  result: int | BaseException, code: int, text: str, job: FakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
  job.result = result
  assert cli.main(_TRAIN) == code
  error = capfd.readouterr().err
  assert error.startswith(text)
  assert 'Traceback' not in error


@pytest.mark.parametrize('asked', [False, True])
def test_a_bug_shows_its_traceback_and_its_text_if_asked_for(
  asked: bool, job: FakeJob, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
  monkeypatch.setenv('RADBEAM_TRACEBACK', '1' if asked else '0')
  job.result = KeyError('Doe^Planted')
  assert cli.main(_TRAIN) == Exit.CRASHED
  error = capfd.readouterr().err
  assert 'Traceback' in error
  assert 'KeyError: ' in error
  assert ('Doe^Planted' in error) is asked
  assert 'radbeam train: crashed' in error


@pytest.mark.parametrize('below', ['', 'sub', 'sub/folder'])
def test_an_output_that_is_a_file_is_refused_at_once(
  below: str, tmp_path: pathlib.Path, job: FakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
  file = write(tmp_path / 'file', 'text')
  assert cli.main(['train', '--dataset', 'data', '--bundle', f'{file}/{below}'.rstrip('/')]) == Exit.USAGE
  assert f'but {file} is a file; name a folder' in capfd.readouterr().err
  assert job.calls == []


def test_an_output_that_cannot_be_written_is_refused_at_once(
  job: FakeJob, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
  monkeypatch.setattr(os, 'access', lambda path, mode: not mode & os.W_OK)  # tests may run as root, who may all
  assert cli.main(_INGEST) == Exit.USAGE
  assert f'--output is {pathlib.Path("out").absolute()}, but' in capfd.readouterr().err
  assert job.calls == []


def test_a_pipe_that_breaks_elsewhere_is_a_bug(job: FakeJob, capfd: pytest.CaptureFixture[str]) -> None:
  job.result = BrokenPipeError(32, 'Broken pipe')
  assert cli.main(_TRAIN) == Exit.CRASHED
  assert 'BrokenPipeError' in capfd.readouterr().err


def test_a_traceback_can_be_had(
  job: FakeJob, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
  monkeypatch.setenv('RADBEAM_TRACEBACK', '1')
  job.result = UsageError('found a')
  assert cli.main(_TRAIN) == Exit.USAGE
  assert 'Traceback' in capfd.readouterr().err


@pytest.mark.parametrize(('flags', 'shown'), [([], ['told', 'warned']), (['--quiet'], ['warned'])])
def test_only_our_own_lines_are_shown(
  flags: list[str], shown: list[str], job: FakeJob, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
  def run(options: object, beam_args: list[str]) -> int:
    logging.getLogger('radbeam.train').info('told')
    logging.getLogger('radbeam.train').warning('warned')
    logging.getLogger('absl').setLevel(logging.DEBUG)
    for library in ('pydicom', 'absl', 'tensorflow', 'apache_beam.runners'):
      logging.getLogger(library).warning('a name from a header')
    return Exit.DONE

  monkeypatch.setattr(job, 'run', run)
  assert cli.main([*_TRAIN, *flags]) == Exit.DONE
  assert capfd.readouterr().err.splitlines() == shown


def test_help_lists_every_job_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
  assert cli.main(['--help']) == Exit.DONE
  lines = capsys.readouterr().out.splitlines()
  assert all(any(line.split()[:1] == [name] for line in lines) for name in JOBS)


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
  assert cli.main(['--help']) == Exit.DONE
  codes = capsys.readouterr().out.partition('Exit codes: ')[2]
  assert [int(part.split()[0]) for part in codes.split(',')] == sorted(Exit)


@pytest.mark.parametrize('name', JOBS)
def test_help_of_a_job_names_every_flag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
  assert cli.main([name, '--help']) == Exit.DONE
  shown = capsys.readouterr().out
  assert [flag for flag in JOBS[name].options.__dataclass_fields__ if f'--{flag} ' not in shown] == []
  assert ('Apache Beam' in shown) == JOBS[name].takes_beam_flags


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
  assert cli.main(['--version']) == Exit.DONE
  assert capsys.readouterr().out.startswith('radbeam ')


_SAY_WHAT_IS_LOADED = """
import sys
from pipelines.cli import main
code = main(sys.argv[1:])
heavy = {'apache_beam', 'tensorflow', 'keras', 'cv2', 'numpy', 'pyarrow', 'yaml', 'pydicom'}
print('loaded:', sorted(heavy & set(sys.modules)))
sys.exit(code)
"""


@pytest.mark.parametrize(('arguments', 'code'), [(['--help'], 0), (['ingest', '--help'], 0), (['train', '--oops'], 2)])
def test_help_and_wrong_usage_load_nothing_heavy(arguments: list[str], code: int) -> None:
  command = [sys.executable, '-c', _SAY_WHAT_IS_LOADED, *arguments]
  done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == code, done.stderr
  assert done.stdout.splitlines()[-1] == 'loaded: []'


@pytest.mark.parametrize('argument', ['--help', '--version'])
@pytest.mark.parametrize('unbuffered', ['', '1'])
def test_a_closed_pipe_is_no_traceback(argument: str, unbuffered: str) -> None:
  program = 'import sys; from pipelines.cli import main; sys.exit(main(sys.argv[1:]))'
  reader, writer = os.pipe()
  os.close(reader)
  try:
    done = subprocess.run(
      [sys.executable, '-c', program, argument],
      cwd=_ROOT,
      env=os.environ | {'PYTHONUNBUFFERED': unbuffered},
      stdout=writer,
      stderr=subprocess.PIPE,
      check=False,
    )
  finally:
    os.close(writer)
  assert (done.returncode, done.stderr) == (141, b'')


@pytest.mark.parametrize(
  ('command', 'place', 'shown'),
  [
    (('nightly', '--inbox', '/in', '--inbox', '/more', '--bundle', 'b', '--output', 'out'), '/more/DOE', '/more'),
    (('score', '--input', '/in/*.zip', '--bundle', 'b', '--output', 'out'), '/in/DOE.zip', '/in/*.zip'),
    (('ingest', '--input', './in', '--labels', 'none', '--output', 'out'), 'in/DOE/1.dcm', './in'),
    (('inspect', '/in'), '/in/DOE/1.dcm', '/in'),
  ],
)
@pytest.mark.parametrize('by_worker', [False, True])
def test_where_access_is_refused_what_lies_below_the_inputs_is_not_named(
  command: tuple[str, ...],
  place: str,
  shown: str,
  by_worker: bool,
  monkeypatch: pytest.MonkeyPatch,
  capfd: pytest.CaptureFixture[str],
) -> None:
  job = FakeJob()
  refused = PermissionError(13, 'Permission denied', place)
  text = f"Traceback (most recent call last):\n  …\nPermissionError: {refused} [while running 'Read-ptransform-1']"
  job.result = RuntimeError(text) if by_worker else refused
  monkeypatch.setitem(sys.modules, f'pipelines.{command[0]}', job)
  assert cli.main(list(command)) == Exit.USAGE
  error = capfd.readouterr().err
  assert f'no access to a file of {shown} (' in error
  assert 'DOE' not in error
