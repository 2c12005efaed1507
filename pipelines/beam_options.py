"""Which engine runs a job: this process unless the user names a runner.

Beam's DirectRunner downloads an engine at run time and picks it by what a
pipeline contains. Neither suits a hospital's network, so that every local run
is pinned to the in-process engine.
"""

import argparse
import functools
import logging
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineRunner, create_runner

from pipelines.arguments import unknown_flag
from pipelines.exits import UsageError
from pipelines.worker_memory import DATAFLOW_THREADS

_LOG = logging.getLogger('radbeam.beam')
_DATAFLOW: Final = 'dataflowrunner'
_IN_PROCESS: Final = frozenset({'', 'fnapirunner', 'directrunner', 'switchingdirectrunner', 'bundlebaseddirectrunner'})

# Two names that Beam has as well are ours; Dataflow's labels have a name of their own.
_OURS: Final = frozenset({'--labels', '--label', '--dry_run'})
_DATAFLOW_LABELS: Final = '--dataflow_labels'


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    """Raises what argparse would print."""
    raise UsageError(f'{message} (a flag of Apache Beam)')


def check_beam_args(args: Sequence[str], own: Iterable[str] = ()) -> None:
  """Refuses what neither the job nor Beam knows.

  Args:
    args: what the job's own parser left over.
    own: the job's flags, with their dashes, for the suggestion.

  Raises:
    UsageError: naming the first flag that is unknown, or whose value Beam
      does not take, or the runner that it does not have.
  """
  for name in (argument.partition('=')[0] for argument in args):
    if name in _OURS:
      raise UsageError(f"{name} is no flag of this job; Dataflow's labels are given as {_DATAFLOW_LABELS}")
  _, unknown = _beam_parser().parse_known_args(_for_beam(args))
  if unknown:
    raise UsageError(unknown_flag(unknown[0], [*own, *_beam_flags()], 'radbeam, nor of Apache Beam'))
  make_runner(args)  # here, so that a runner that does not exist is missed before the inputs are listed


def pipeline_options(args: Sequence[str]) -> PipelineOptions:
  """Beam's options from arguments that `check_beam_args` has let pass; what they leave open on Dataflow is ours."""
  options = PipelineOptions(_for_beam(args))
  if _runner_name(options) == _DATAFLOW:
    _size_workers(options)
  options.view_as(StandardOptions).no_wait_until_finish = not waits(args)
  return options


def waits(args: Sequence[str]) -> bool:
  """Whether the launcher waits for the end of the job: not where it is told so, and never as a Flex Template's.

  On other engines radbeam has work to do at the end, and always waits.
  """
  options = PipelineOptions(_for_beam(args))
  without = (
    options.view_as(StandardOptions).no_wait_until_finish or options.view_as(GoogleCloudOptions).template_location
  )
  return not (without and _runner_name(options) == _DATAFLOW)


def runs_on_dataflow(args: Sequence[str]) -> bool:
  """Whether the engine is Google's."""
  return runner_name(args) == _DATAFLOW


def runner_name(args: Sequence[str]) -> str:
  """The runner's name in lower case, without its module; empty where none is given."""
  return _runner_name(PipelineOptions(_for_beam(args)))


def _runner_name(options: PipelineOptions) -> str:
  return (options.view_as(StandardOptions).runner or '').rpartition('.')[2].lower()


def _size_workers(options: PipelineOptions) -> None:
  """One process a worker with few threads: docs/engines.md has the arithmetic."""
  debug = options.view_as(DebugOptions)
  if not any('use_multiple_sdk_containers' in one for one in debug.experiments or ()):
    debug.add_experiment('no_use_multiple_sdk_containers')
  if not debug.number_of_worker_harness_threads:
    debug.number_of_worker_harness_threads = DATAFLOW_THREADS


def make_runner(args: Sequence[str]) -> PipelineRunner:
  """The engine: in this process, unless --runner names another than Beam's local ones.

  Raises:
    UsageError: if Beam has no runner of that name.
  """
  options = pipeline_options(args)
  name = options.view_as(StandardOptions).runner or ''
  if not runs_here(args):
    return _named_runner(name)
  if 'direct' in name.lower():
    _say_pinned()
  # Otherwise a failing worker's traceback is printed besides being raised.
  logging.getLogger('apache_beam').setLevel(logging.CRITICAL)
  return fn_runner.FnApiRunner(provision_info=_provision_info(options))


def runs_here(args: Sequence[str]) -> bool:
  """Whether the engine is this process: its workers then have this machine's disk."""
  return runner_name(args) in _IN_PROCESS


def _named_runner(name: str) -> PipelineRunner:
  try:
    runner = create_runner(name)
  except (AttributeError, ImportError, ValueError) as error:
    raise UsageError(f'--runner is {name!r}; expected a runner of Apache Beam, such as FlinkRunner') from error
  logging.getLogger('apache_beam').setLevel(logging.INFO)
  return runner


@functools.cache
def _say_pinned() -> None:
  _LOG.info("DirectRunner: running in this process by Beam's FnApiRunner; nothing is downloaded")


def _provision_info(options: PipelineOptions) -> fn_runner.ExtendedProvisionInfo:
  """What worker processes are told, as DirectRunner does it."""
  encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
  return fn_runner.ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded))


@functools.cache
def _beam_parser() -> argparse.ArgumentParser:
  parser = _Parser(prog='radbeam', allow_abbrev=False, conflict_handler='resolve', add_help=False)
  for options in PipelineOptions.__subclasses__():
    if hasattr(options, '_add_argparse_args'):
      options._add_argparse_args(parser)
  return parser


def _beam_flags() -> set[str]:
  flags = {flag for flag in _beam_parser()._option_string_actions if flag.startswith('--')}
  return flags - _OURS | {_DATAFLOW_LABELS}


def _for_beam(args: Iterable[str]) -> list[str]:
  return [_translated(argument) for argument in args]


def _translated(argument: str) -> str:
  """`--temp-location=x` as `--temp_location=x`, and Dataflow's labels as Beam calls them."""
  name, separator, value = argument.partition('=')
  spelled = name.replace('-', '_').replace('__', '--', 1)
  if not name.startswith('--') or spelled not in _beam_flags():
    return argument
  return f'{"--labels" if spelled == _DATAFLOW_LABELS else spelled}{separator}{value}'
