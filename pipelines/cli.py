"""The command `radbeam`: finds the job, reads its flags, runs it, and says in one line how it failed.

A job's module is imported when the job runs, so that help and usage errors
answer at once, without Beam and without TensorFlow.
"""

import difflib
import importlib
import os
import select
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Final

from pipelines.arguments import own_flags, parse, preview
from pipelines.crashes import traceback_without_texts
from pipelines.exits import Exit, user_message
from pipelines.hushed import TRACEBACK, hushed
from pipelines.jobs import JOBS
from pipelines.log_output import configure, end_job, is_json_on_stderr
from pipelines.options import JobOptions

_SIGNALS: Final = 128  # as shells report it: this and the number of the signal
_INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one job.

  Args:
    argv: arguments after the name of the program; default: the process's.

  Returns:
    The exit code: one of `Exit`, or 130 after Ctrl-C.
  """
  try:
    code = _dispatch(sys.argv[1:] if argv is None else list(argv))
    sys.stdout.flush()  # here, where a closed pipe is still caught
    return code
  except BrokenPipeError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit
    return _BROKEN_PIPE


def _dispatch(argv: list[str]) -> int:
  job, *arguments = argv or ['']
  if job in JOBS:
    return _run_guarded(job, arguments)
  if job in ('--help', '-h', 'help'):
    return _print_and_end(_help())
  if job == '--version':
    return _print_and_end(f'radbeam {_version()}')
  print(_unknown_job(job), file=sys.stderr)
  return Exit.USAGE


def _nobody_reads() -> bool:
  """Whether the reader of stdout is gone: other pipes that break are a defect."""
  poll = select.poll()
  poll.register(sys.stdout.fileno(), 0)
  return any(event & select.POLLERR for _, event in poll.poll(0))


def _print_and_end(text: str) -> int:
  print(text)
  return Exit.DONE


def _help() -> str:
  width = max(map(len, JOBS))
  lines = [f'  {name:{width}}  {job.summary}' for name, job in JOBS.items()]
  return '\n'.join(
    [
      'Medical image archives in, one row per image out.',
      '',
      'usage: radbeam JOB [flags]     radbeam JOB --help     radbeam --version',
      '',
      *lines,
      '',
      'Exit codes: 0 done, 1 crashed, 2 wrong usage, 3 nothing to do, 4 too many rejects, 5 locked by another run,',
      '  6 stopped at the deadline, 7 alarm.',
    ]
  )


def _version() -> str:
  try:
    return metadata.version('radbeam')
  except metadata.PackageNotFoundError:
    return '(not installed: run from a clone)'


def _unknown_job(given: str) -> str:
  if not given:
    return _help()
  near = difflib.get_close_matches(given, JOBS, n=1)
  hint = f'did you mean {near[0]}?' if near else f'expected one of {", ".join(JOBS)}'
  return f'radbeam: error: {given!r} is no job; {hint}'


def _run_guarded(job: str, arguments: list[str]) -> int:
  """Runs a job; whatever a user can cause ends as one line."""
  inputs: Sequence[str] = ()
  first = preview(arguments)
  try:
    configure(first.log_format, first.log_file, first.quiet)  # how wrong flags are told is a flag too
    options, extras = parse(job, arguments)
    inputs = read_places(options)
    code = _run(job, options, extras)
    end_job(job, code)
    return code
  except SystemExit as stop:  # argparse, after --help; or a signal
    return _stop(job, int(stop.code or 0))
  except KeyboardInterrupt:
    return _stop(job, _INTERRUPTED)
  except Exception as error:  # the one place where all of them end
    if isinstance(error, BrokenPipeError) and _nobody_reads():
      raise
    return _report(job, error, inputs, first.places)


def read_places(options: JobOptions) -> tuple[str, ...]:
  """What a job reads images from: the names of what lies below may name patients."""
  given = (getattr(options, name, ()) for name in ('input', 'inbox', 'path'))
  return tuple(place for places in given for place in ((places,) if isinstance(places, str) else places))


def _stop(job: str, code: int) -> int:
  if code >= _SIGNALS:
    _tell('interrupted' if code == _INTERRUPTED else 'ended by a signal', job)
    end_job(job, code)
  return code


def _tell(text: str, job: str) -> None:
  """The last line of a job, for a person."""
  if not is_json_on_stderr():
    print(f'radbeam {job}: {text}', file=sys.stderr)


def _run(job: str, options: JobOptions, extras: list[str]) -> int:
  _silence_libraries()
  if extras:
    from pipelines.beam_options import check_beam_args
    from pipelines.preflight import check_engine, check_model

    check_beam_args(extras, own_flags(job))
    check_engine(job, options, extras)
    check_model(options, extras)
  with hushed():
    module = importlib.import_module(f'pipelines.{job}')
  return int(module.run(options, extras))


def _report(job: str, error: Exception, inputs: Sequence[str], places: Sequence[str]) -> int:
  found = user_message(error, inputs)
  code, text = found or (Exit.CRASHED, 'this is a defect of radbeam, not of your input')
  word = 'crashed' if found is None else 'nothing to do' if code == Exit.NOTHING_TO_DO else 'error'
  if os.environ.get(TRACEBACK) == '1':
    traceback.print_exception(error)
  elif found is None and not is_json_on_stderr():
    print(traceback_without_texts(error), file=sys.stderr)
  _tell(f'{word}: {text}', job)
  end_job(job, code, text, None if found else error, places)
  return code


def _silence_libraries() -> None:
  """Hides what libraries say of themselves; must run before TensorFlow is imported."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('GRPC_VERBOSITY', 'ERROR')
  os.environ.setdefault('ARROW_DEFAULT_MEMORY_POOL', 'system')  # Arrow's own keeps what a shard has needed
  if not sys.warnoptions:
    warnings.simplefilter('ignore')  # some quote values of the input
