"""`radbeam recipe`: how a bundle was trained, as a file that `radbeam train --config` takes; or how two recipes differ.

A recipe is read from `bundle.json`, or from a file of flags, which has the
defaults of this version where it says nothing. What no flag can say stands
beside it as a comment. No TensorFlow is loaded.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from model.bundle import load_bundle
from model.recipe import differences
from model.thresholds import ThresholdRule
from pipelines.arguments import parse_config
from pipelines.decisions import threshold_rule
from pipelines.exits import Exit, UsageError
from pipelines.options import JobOptions, RecipeOptions
from pipelines.runs_text import NOT_KNOWN
from pipelines.train_options import TrainJobOptions

_SUFFIXES: Final = ('.yaml', '.yml')
_OF_ALL_JOBS: Final = frozenset(field.name for field in dataclasses.fields(JobOptions))
_FLAGS: Final = tuple(field.name for field in dataclasses.fields(TrainJobOptions) if field.name not in _OF_ALL_JOBS)
_BY_ITSELF: Final = 'positive_label'  # chosen where nobody names it: a bundle has it all the same
_WEIGHTS: Final = 'initial_weights'
_SOME_FILE: Final = 'file'  # so a recipe names a file of weights, whose path says nothing elsewhere


@dataclass(frozen=True, slots=True)
class Told:
  """A recipe as it is shown.

  Attributes:
    title: what it is the recipe of.
    flags: of `radbeam train`, in the order of `--help`.
    remarks: what no flag can say.
  """

  title: str
  flags: Mapping[str, Any]
  remarks: Mapping[str, Any]


def run(options: RecipeOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    BundleError, UsageError: if there is no recipe to be read.
  """
  told = read_recipe(options.path)
  if options.other is None:
    print(json.dumps(dict(told.flags), indent=2) if options.json else as_yaml(told), end='\n' if options.json else '')
    return Exit.DONE
  found = compare(told, read_recipe(options.other))
  if options.json:
    print(json.dumps(found, indent=2))
  else:
    print('\n'.join(_lines(found)) if found else 'the recipes are the same')
  return Exit.DONE


def read_recipe(path: str) -> Told:
  """Reads the recipe of a bundle, or of a file of flags.

  Raises:
    BundleError, UsageError: if there is none.
  """
  if path.endswith(_SUFFIXES):
    return _of_config(path)
  if pathlib.Path(path).is_file():
    raise UsageError(f'{path} is a file, but no {_SUFFIXES[0]}; expected a bundle, or a file of flags of train')
  return _of_bundle(path)


def _of_bundle(path: str) -> Told:
  bundle = load_bundle(path)
  if 'architecture' not in bundle.recipe:
    raise UsageError(
      f'the bundle {bundle.name!r} has no recipe of `radbeam train`; expected one that train wrote: '
      'of an ensemble, name a member'
    )
  decided = {'calibration': bundle.calibration['method'], _BY_ITSELF: bundle.positive_label}
  return _told(f'{bundle.name} {bundle.version}, dataset {bundle.dataset_digest}', {**bundle.recipe, **decided})


def _of_config(path: str) -> Told:
  values, _ = parse_config('train', path)
  options = TrainJobOptions(**({'dataset': '-', 'bundle': '-'} | values))  # a recipe needs neither
  said = {name: getattr(options, name) for name in ('calibration', _BY_ITSELF, 'threshold_on', 'folds', 'fold')}
  rule = dataclasses.asdict(threshold_rule(options.threshold_rule))
  return _told('a file of flags', {**options.recipe().to_facts(), **said, 'threshold_rule': rule})


def _told(title: str, entries: Mapping[str, Any]) -> Told:
  """Sorts the entries of a recipe into what flags can say, and the rest."""
  rule = entries.get('threshold_rule')
  stated = {name: value for name, value in entries.items() if value is not None and value != []}
  stated |= {'threshold_rule': _rule_text(ThresholdRule(**rule))} if rule else {}
  flags = {name: stated[name] for name in _FLAGS if name in stated and (name, stated[name]) != (_WEIGHTS, _SOME_FILE)}
  return Told(title, flags, {name: value for name, value in sorted(stated.items()) if name not in flags})


def _rule_text(rule: ThresholdRule) -> str:
  """As `--threshold_rule` takes it."""
  if rule.kind in ('youden', 'balanced'):
    return rule.kind
  return f'{rule.kind}{"=" if rule.kind == "cost" else ">="}{rule.value:.12g}'


def as_yaml(told: Told) -> str:
  """A file that `radbeam train --config` takes, with remarks as comments."""
  remarks = [f'# {name}: {_text(value)}' for name, value in told.remarks.items()]
  if _WEIGHTS in told.remarks:
    remarks.append(f'# it began with weights from a file: name it by --{_WEIGHTS}')
  if 'taught_by' in told.remarks:
    remarks.append('# it was taught by another bundle: name it by --teacher')
  return '\n'.join([f'# recipe of {told.title}', *remarks, yaml.safe_dump(dict(told.flags), sort_keys=False)])


def compare(one: Told, other: Told) -> dict[str, tuple[Any, Any]]:
  """What two recipes say differently, by flag, in the order of `--help`; None where one says nothing."""
  left, right = ({**told.remarks, **told.flags} for told in (one, other))
  found = differences(left, right)
  if None in found.get(_BY_ITSELF, ()):
    del found[_BY_ITSELF]
  return {name: found[name] for name in _FLAGS if name in found}


def _lines(found: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
  for name, (one, other) in found.items():
    yield f'{name}: {_text(one)} -> {_text(other)}'


def _text(value: Any) -> str:
  if value is None:
    return NOT_KNOWN
  if isinstance(value, bool):
    return str(value).lower()
  return ', '.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
