"""From a command line, and perhaps a configuration file, to the options of a job.

Parsers are derived from the classes of `pipelines.options`. A configuration
file is turned into the same arguments first, so that there is one way to read
a value; what stands on the command line wins.
"""

import argparse
import contextlib
import dataclasses
import difflib
import itertools
import os
import pathlib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NoReturn

from pipelines.exits import UsageError
from pipelines.flags import Flag, flag_of
from pipelines.jobs import JOBS
from pipelines.options import PATHS, JobOptions

_BEAM_HELP: Final = (
  'Flags that are not listed here go to Apache Beam, such as --runner, --temp_location or --flink_master. '
  "Without --runner the job runs in this process, by Beam's in-process engine. "
  "Dataflow's own --labels are spelled --dataflow_labels."
)
_MUST: Final = 'must be given'
_MAY: Final = 'may be given'
_TRUTHS: Final = {'true': True, 'yes': True, '1': True, 'false': False, 'no': False, '0': False}


class _Parser(argparse.ArgumentParser):
  """Says what is wrong by an exception; the command line decides how that is shown."""

  def error(self, message: str) -> NoReturn:
    """Raises what argparse would print."""
    raise UsageError(message)


class _Once(argparse.Action):
  """A flag that jobs like this one take several times, and this one does not."""

  def __call__(
    self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
  ) -> None:
    """Keeps the value, unless there is one."""
    if hasattr(namespace, self.dest):
      raise UsageError(f'--{self.dest} is given more than once; {parser.prog} takes one: run it once for each')
    setattr(namespace, self.dest, values)


def parse(job: str, argv: Sequence[str]) -> tuple[JobOptions, list[str]]:
  """Reads the arguments after the name of the job.

  Args:
    job: a key of `JOBS`.
    argv: flags, by underscores or dashes, and values.

  Returns:
    The options, and the arguments that the job does not know: Beam's, if the
    job takes any.

  Raises:
    UsageError: if flags are unknown, missing or contradict each other, or
      values are not what is expected.
    SystemExit: after `--help`.
  """
  given, extras = _parse_known(job, argv)
  config_path = given.pop('config', None)
  configured, config_extras = parse_config(job, config_path) if config_path else ({}, [])
  values = configured | given
  _check_extras(job, [*config_extras, *extras])
  _check_required(job, values)
  options = JOBS[job].options(**values)
  _check_folders(options)
  return options, [*config_extras, *extras]


@dataclasses.dataclass(frozen=True, slots=True)
class Preview:
  """What must be known before flags are parsed, to say what is wrong with them.

  Attributes:
    places: values of flags that are places.
  """

  log_format: str
  log_file: str | None
  quiet: bool
  places: tuple[str, ...]


def preview(argv: Sequence[str]) -> Preview:
  """Looks for the flags of the log; what is wrong with them, and with others, is found out later."""
  given = _glance(argv)
  configured: dict[str, Any] = {}
  with contextlib.suppress(UsageError):
    configured = _glance(list(_config_arguments(given['config']))) if given.get('config') else {}
  found = configured | given
  places = {
    place for values in (configured, given) for name in PATHS & values.keys() for place in values[name] if place
  }
  first = itertools.takewhile(_is_value, argv)
  return Preview(
    log_format=found.get('log_format', 'text'),
    log_file=found.get('log_file'),
    quiet=found.get('quiet', False),
    places=tuple(sorted({*filter(None, places), *first}, key=len, reverse=True)),
  )


def _glance(tokens: Sequence[str]) -> dict[str, Any]:
  """The values of the flags that every job has, and of those that are places."""
  parser = _Parser(argument_default=argparse.SUPPRESS, allow_abbrev=False, add_help=False)
  hints = typing.get_type_hints(JobOptions)
  for field in dataclasses.fields(JobOptions):
    parser.add_argument(f'--{field.name}', **_reading(hints[field.name], flag_of(field)))
  parser.add_argument('--config')
  for name in sorted(PATHS):
    parser.add_argument(f'--{name}', action='append', nargs='?')
  names = PATHS | hints.keys() | {'config'}
  with contextlib.suppress(UsageError):
    return vars(parser.parse_known_args([_underscored(token, names) for token in tokens])[0])
  return {}


def parser_of(job: str) -> argparse.ArgumentParser:
  """The parser of a job; flags that are not given leave no trace in what it returns."""
  entry = JOBS[job]
  parser = _Parser(
    prog=f'radbeam {job}',
    usage=' '.join([f'radbeam {job}', *_usage(job), '[flags]']),
    description=f'{entry.summary[0].upper()}{entry.summary[1:]}.',
    epilog=_BEAM_HELP if entry.takes_beam_flags else None,
    argument_default=argparse.SUPPRESS,
    allow_abbrev=False,
    add_help=False,
  )
  groups = {heading: parser.add_argument_group(heading) for heading in (_MUST, _MAY, 'recipe', 'alarms', 'limits')}
  hints = typing.get_type_hints(entry.options)
  for field in dataclasses.fields(entry.options):
    flag = flag_of(field)
    heading = flag.group or (_MUST if flag.default is ... else _MAY)
    groups[heading].add_argument(f'--{field.name}', help=_help(flag), **_reading(hints[field.name], flag))
  groups[_MAY].add_argument('--config', metavar='FILE.yaml', help='the same keys as the flags; a flag wins')
  groups[_MAY].add_argument('-h', '--help', action='help', help='show this')
  return parser


def _positional(job: str) -> list[str]:
  """The flags that may stand first without their names, in this order."""
  return [field.name for field in dataclasses.fields(JOBS[job].options) if flag_of(field).positional]


def _is_value(token: str) -> bool:
  return not token.startswith('-')


def _usage(job: str) -> list[str]:
  required, first = _required(job), _positional(job)
  shown = [name.upper() if f'--{name}' in required else f'[{name.upper()}]' for name in first]
  return [*shown, *(flag for flag in required if flag.removeprefix('--') not in first)]


def _required(job: str) -> list[str]:
  return [f'--{field.name}' for field in dataclasses.fields(JOBS[job].options) if flag_of(field).default is ...]


def _help(flag: Flag) -> str:
  text = flag.help.replace('%', '%%')
  if flag.default is None or flag.default is ... or isinstance(flag.default, bool) or flag.default == '':
    return text
  return f'{text} (default: {"today" if callable(flag.default) else flag.default})'


def _reading(hint: Any, flag: Flag) -> dict[str, Any]:
  """How argparse reads a value of the type that the field has."""
  if isinstance(hint, types.UnionType):
    hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
  if hint is bool:
    return {'type': _boolean, 'nargs': '?', 'const': True, 'metavar': 'true|false'}
  if typing.get_origin(hint) is Literal:
    choices = typing.get_args(hint)
    return {'type': type(choices[0]), 'choices': choices}
  if typing.get_origin(hint) is tuple:
    return {'action': 'append', 'metavar': flag.metavar}
  once = {'action': _Once} if flag.once else {}
  return {'type': _number(hint) if hint in (int, float) else str, 'metavar': flag.metavar, **once}


def _boolean(text: str) -> bool:
  if text.lower() not in _TRUTHS:
    raise argparse.ArgumentTypeError(f'found {text!r}, expected true or false')
  return _TRUTHS[text.lower()]


def _number(kind: type[int] | type[float]) -> Callable[[str], int | float]:
  expected = 'a whole number' if kind is int else 'a number'

  def read(text: str) -> int | float:
    try:
      return kind(text)
    except ValueError:
      raise argparse.ArgumentTypeError(f'found {text!r}, expected {expected}') from None

  return read


def _parse_known(job: str, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
  first = list(zip(_positional(job), itertools.takewhile(_is_value, argv), strict=False))
  argv = [*(f'--{name}={value}' for name, value in first), *argv[len(first) :]]
  names = {field.name for field in dataclasses.fields(JOBS[job].options)} | {'config'}
  namespace, extras = parser_of(job).parse_known_args([_underscored(token, names) for token in argv])
  return {name: _listed(name, value) for name, value in vars(namespace).items()}, extras


def _listed(name: str, value: Any) -> Any:
  """What a flag holds; an empty value alone empties a list, such as one that a configuration file gives."""
  if not isinstance(value, list):
    return value
  return () if value == [''] and name not in PATHS else tuple(value)


def _underscored(token: str, names: Iterable[str]) -> str:
  """`--an-option=value` as `--an_option=value`, where that is a flag of ours."""
  name, separator, value = token.partition('=')
  spelled = name.removeprefix('--').replace('-', '_')
  return f'--{spelled}{separator}{value}' if name.startswith('--') and spelled in names else token


def parse_config(job: str, path: str) -> tuple[dict[str, Any], list[str]]:
  """The values of a configuration file by flag, and what is left for Beam.

  Raises:
    UsageError: if it cannot be read, or names what is no flag of the job.
  """
  try:
    values, extras = _parse_known(job, list(_config_arguments(path)))
    if not JOBS[job].takes_beam_flags:
      _check_extras(job, extras)
  except UsageError as error:
    raise UsageError(f'in {path}: {error}') from None
  if 'config' in values:
    raise UsageError(f'in {path}: config: a configuration file cannot name another')
  return values, extras


def _config_arguments(path: str) -> Iterator[str]:
  """The keys and values of a YAML file as arguments."""
  import yaml  # here, because `--help` needs none

  try:
    content = yaml.safe_load(pathlib.Path(path).read_text(encoding='utf-8'))
  except OSError as error:
    raise UsageError(f'the configuration file cannot be read ({error.strerror})') from error
  except (UnicodeDecodeError, yaml.YAMLError) as error:
    raise UsageError('the configuration file is no YAML in UTF-8') from error
  if not isinstance(content, dict):
    raise UsageError('the configuration file holds no keys; expected lines such as `image_size: 224`')
  for key, value in content.items():
    for one in value if isinstance(value, list) else [value]:
      if one is None or isinstance(one, dict | list):
        raise UsageError(f'{key} has no plain value; expected one, or a list of them')
      yield f'--{key}' if one is True else f'--{key}={one}'


def _check_required(job: str, values: dict[str, Any]) -> None:
  missing = [flag for flag in _required(job) if flag.removeprefix('--') not in values]
  if missing:
    raise UsageError(f'{", ".join(missing)} must be given; `radbeam {job} --help` says more')


def _check_folders(options: JobOptions) -> None:
  """What is to be written must be possible: found out now, and not after hours."""
  for field in dataclasses.fields(options):
    place = getattr(options, field.name)
    if flag_of(field).written and place and '://' in place and set(place) & set('*?['):
      raise UsageError(f'--{field.name} is {place}; expected a URL without wildcards, since results are written there')
    if flag_of(field).written and place and '://' not in place:
      _check_folder(field.name, pathlib.Path(place).absolute())


def _check_folder(name: str, path: pathlib.Path) -> None:
  existing = next(folder for folder in (path, *path.parents) if folder.exists())
  if not existing.is_dir():
    raise UsageError(f'--{name} is {path}, but {existing} is a file; name a folder, or one that can be made')
  if not os.access(existing, os.W_OK | os.X_OK):
    raise UsageError(f'--{name} is {path}, but {existing} cannot be written; change its permissions, or name another')


def _check_extras(job: str, extras: Sequence[str]) -> None:
  """Flags may be Beam's, which `beam_options` checks; what stands before any flag is nobody's."""
  if extras and not (JOBS[job].takes_beam_flags and extras[0].startswith('-')):
    raise UsageError(unknown_flag(extras[0], own_flags(job), f'radbeam {job}'))


def own_flags(job: str) -> list[str]:
  """The flags of a job, with their dashes."""
  return [f'--{field.name}' for field in dataclasses.fields(JOBS[job].options)] + ['--config', '--help']


def unknown_flag(token: str, known: Iterable[str], who: str) -> str:
  """What to say of an argument that nobody knows, with the nearest flag that somebody does."""
  name = token.partition('=')[0]
  if not name.startswith('-'):
    return f'{token!r} follows no flag; give inputs as --input PATH, and quote what holds spaces'
  near = difflib.get_close_matches('--' + name.lstrip('-').replace('-', '_'), list(known), n=1, cutoff=0.7)
  hint = f'did you mean {near[0]}?' if near else 'see --help for those that there are'
  return f'{name} is no flag of {who}; {hint}'
