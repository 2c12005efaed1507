"""Flex Templates of Dataflow: what a job can be told, for Google's console, and how its launcher turns that into flags.

`python -m pipelines.dataflow_template score` prints the metadata that stand in deploy/dataflow/score.json.
"""

import dataclasses
import json
import re
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any, Final, Literal

from pipelines.flags import Flag, flag_of
from pipelines.jobs import JOBS

# Of the launcher's own machine, which is gone when it ends; or refused on Dataflow.
_LEFT_OUT: Final = frozenset({'crosswalk', 'log_file', 'dry_run', 'quiet'})
_REQUIRED: Final = frozenset({'pseudonym_key_file'})
_READ_FOLDERS: Final = frozenset({'bundle'})
_READ_FILES: Final = frozenset({'pseudonym_key_file', 'select', 'burned_in_regions'})
_OBJECT: Final = '^gs://.+$'
_REGEXES: Final = {
  'input': '^gs://[^,]+(,gs://[^,]+)*$',
  'bundle': '^gs://[^,]+(,gs://[^,]+)*$',
  'labels': r'^(folder|none|gs://.+\.[cC][sS][vV])$',
  'run_date': r'^[0-9]{4}-[0-9]{2}-[0-9]{2}$',
}
_NUMBERS: Final = {int: '^-?[0-9]+$', float: r'^[0-9]*\.?[0-9]+([eE]-?[0-9]+)?$', bool: '^(true|false)$'}
_IMAGE: Final = {
  'name': 'sdk_container_image',
  'label': 'Image of the workers',
  'helpText': 'the image of this template, by which workers are started too',
  'regexes': ['^[a-z0-9.-]+(:[0-9]+)?/.+$'],
  'paramType': 'TEXT',
}
# The launcher may not wait, and Beam comes with the image: nothing is downloaded.
_FIXED: Final = ('--runner=DataflowRunner', '--no_wait_until_finish', '--sdk_location=container')


def metadata(job: str) -> dict[str, Any]:
  """The template as Google's console shows it: `TemplateMetadata` of the Dataflow API."""
  options = JOBS[job].options
  hints = typing.get_type_hints(options)
  fields = [field for field in dataclasses.fields(options) if field.name not in _LEFT_OUT]
  parameters = [_parameter(field.name, hints[field.name], flag_of(field)) for field in fields]
  return {
    'name': f'radbeam {job}',
    'description': f'{JOBS[job].summary[0].upper()}{JOBS[job].summary[1:]}. Not a medical device.',
    'parameters': [_IMAGE, *sorted(parameters, key=lambda parameter: parameter.get('isOptional', False))],
  }


def _parameter(name: str, hint: Any, flag: Flag) -> dict[str, Any]:
  if isinstance(hint, types.UnionType):
    hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
  parameter: dict[str, Any] = {
    'name': name,
    'label': name.replace('_', ' ').capitalize(),
    'helpText': _help(name, hint, flag),
  }
  if flag.default is not ... and name not in _REQUIRED:
    parameter['isOptional'] = True
  return parameter | _values(name, hint, flag) | _default(name, hint, flag)


def _help(name: str, hint: Any, flag: Flag) -> str:
  if name in _REQUIRED:
    return f'{flag.help.partition(";")[0]}; an object that only the account of the workers can read'
  return f'{flag.help.partition(";")[0]}; several are separated by commas' if _repeats(hint) else flag.help


def _values(name: str, hint: Any, flag: Flag) -> dict[str, Any]:
  if typing.get_origin(hint) is Literal:
    choices = [str(choice) for choice in typing.get_args(hint)]
    options = [{'value': choice, 'label': choice} for choice in choices]
    return {'regexes': [f'^({"|".join(map(re.escape, choices))})$'], 'paramType': 'ENUM', 'enumOptions': options}
  if hint in _NUMBERS:
    return {'regexes': [_NUMBERS[hint]], 'paramType': 'BOOLEAN' if hint is bool else 'NUMBER'}
  if flag.written:
    return {'regexes': [_OBJECT], 'paramType': 'GCS_WRITE_FOLDER'}
  if name in _READ_FOLDERS and not _repeats(hint):
    return {'regexes': [_OBJECT], 'paramType': 'GCS_READ_FOLDER'}
  if name in _READ_FILES:
    return {'regexes': [_OBJECT], 'paramType': 'GCS_READ_FILE'}
  return {'regexes': [_REGEXES[name]] if name in _REGEXES else [], 'paramType': 'TEXT'}


def _default(name: str, hint: Any, flag: Flag) -> dict[str, Any]:
  if name in _REQUIRED or flag.default in (None, ..., '') or callable(flag.default):
    return {}
  return {'defaultValue': str(flag.default).lower() if hint is bool else str(flag.default)}


def _repeats(hint: Any) -> bool:
  return typing.get_origin(hint) is tuple


def launcher_arguments(job: str, argv: Sequence[str]) -> list[str]:
  """The command line of a job from what Dataflow's launcher is given: `--name=value`, the service's own among them."""
  hints = typing.get_type_hints(JOBS[job].options)
  arguments: list[str] = []
  for argument in argv:
    name, separator, value = argument.partition('=')
    several = separator and _repeats(hints.get(name.removeprefix('--')))
    arguments += [f'{name}={one}' for one in value.split(',')] if several else [argument]
  given = {argument.partition('=')[0] for argument in arguments}
  return [job, *arguments, *(flag for flag in _FIXED if flag.partition('=')[0] not in given)]


if __name__ == '__main__':
  print(json.dumps(metadata(sys.argv[1]), indent=2, ensure_ascii=False))
