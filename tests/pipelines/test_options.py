import dataclasses
import datetime
import json
from typing import Any, get_type_hints

import pytest

from model.networks.registry import ARCHITECTURES
from pipelines import options
from pipelines.exits import UsageError
from pipelines.flags import flag_of
from pipelines.jobs import JOBS
from pipelines.options import (
  DemoOptions,
  EvaluateOptions,
  IngestOptions,
  ScoreOptions,
)
from pipelines.train_options import TrainJobOptions
from transforms.elements import Limits
from transforms.preprocess import PreprocessSpec
from transforms.splits import SplitSpec


def ingest(**values: Any) -> IngestOptions:
  return IngestOptions(**({'input': ('in',), 'output': 'out', 'labels': 'folder'} | values))


def test_limits_are_those_of_the_elements() -> None:
  given = ingest()
  assert {field.name: getattr(given, field.name) for field in dataclasses.fields(Limits)} == dataclasses.asdict(
    Limits()
  )


def test_defaults_agree_with_the_specs_that_are_made_of_them() -> None:
  given = ingest()
  assert PreprocessSpec(given.image_size, given.resize, given.channels) == PreprocessSpec()
  assert SplitSpec(given.val_fraction, given.test_fraction, given.split_salt) == SplitSpec()


def test_architectures_are_those_of_the_registry() -> None:
  assert set(get_type_hints(TrainJobOptions)['architecture'].__args__) == set(ARCHITECTURES)


@pytest.mark.parametrize('job', JOBS)
def test_every_flag_has_help_and_a_place_or_a_meaning(job: str) -> None:
  fields = dataclasses.fields(JOBS[job].options)
  assert all(flag_of(field).help for field in fields)
  assert not options.PATHS & options.MANNERS
  assert {field.name for field in fields if flag_of(field).metavar == 'DIR'} <= options.PATHS


@pytest.mark.parametrize(
  ('values', 'text'),
  [
    ({'image_size': 8}, '--image_size is 8; expected 16 to 4096'),
    ({'image_size': 5000}, '--image_size is 5000; expected 16 to 4096'),
    ({'patient_pattern': '('}, "--patient_pattern is '('; expected a regular expression of Python"),
    ({'burned_in': 'mask'}, '--burned_in is mask, but --burned_in_regions is not; mask needs regions'),
    ({'burned_in_regions': 'a.yaml'}, '--burned_in is flag, but --burned_in_regions is given; mask needs regions'),
    ({'run_date': '31.1.2026'}, "--run_date is '31.1.2026'; expected a date such as 2026-01-31"),
    ({'run_date': '20260131'}, "--run_date is '20260131'; expected a date such as 2026-01-31"),
    ({'run_date': '2026-02-30'}, "--run_date is '2026-02-30'; expected a date such as 2026-01-31"),
    ({'max_reject_ratio': 25.0}, '--max_reject_ratio is 25.0; expected 0 to 1'),
    ({'val_fraction': -0.1}, '--val_fraction is -0.1; expected 0 to 1'),
    ({'val_fraction': float('nan')}, '--val_fraction is nan; expected 0 to 1'),
    ({'val_fraction': 0.5, 'test_fraction': 0.5}, 'expected a sum below 1'),
    ({'max_pixels': 0}, '--max_pixels is 0; expected 1 or more'),
    ({'max_nesting': -1}, '--max_nesting is -1; expected 0 or more'),
    ({'labels': 'folders'}, "--labels is 'folders'; expected `folder`, `none` or the name of a .csv file"),
    ({'input': ('',)}, "--input is ('',); expected a name"),
    ({'output': ''}, "--output is ''; expected a name"),
    ({'patient_from': 'pattern'}, 'give one with --patient_pattern'),
    ({'patient_from': 'dicom', 'patient_pattern': 'p'}, '--patient_from is dicom; expected auto or pattern'),
    ({'patient_from': 'csv'}, '--labels is folder; expected the name of a .csv file'),
  ],
)
def test_a_value_that_is_not_expected_is_refused(values: dict[str, Any], text: str) -> None:
  with pytest.raises(UsageError) as raised:
    ingest(**values)
  assert text in str(raised.value)


@pytest.mark.parametrize(
  'values',
  [
    {'image_size': 16, 'max_nesting': 0, 'max_reject_ratio': 1.0, 'run_date': '2024-02-29'},
    {'val_fraction': 0.0, 'test_fraction': 0.0},
    {'patient_from': 'pattern', 'patient_pattern': r'p(?P<patient>\d+)'},
    {'patient_pattern': r'p\d+'},
    {'labels': 'truth.CSV', 'patient_from': 'csv'},
  ],
)
def test_the_edges_are_accepted(values: dict[str, Any]) -> None:
  given = ingest(**values)
  assert {name: getattr(given, name) for name in values} == values


@pytest.mark.parametrize(
  ('values', 'text'),
  [
    ({'epochs': 0}, '--epochs is 0; expected 1 or more'),
    ({'learning_rate': 0.0}, '--learning_rate is 0.0; expected a number above 0'),
    ({'name': 'a/b'}, '--name is'),
    ({'name': '../b'}, '--name is'),
    ({'model_version': 'v 1'}, '--model_version is'),
    ({'seed': -1}, '--seed is -1'),
  ],
)
def test_training_is_checked_too(values: dict[str, Any], text: str) -> None:
  with pytest.raises(UsageError) as raised:
    TrainJobOptions(**({'dataset': 'd', 'bundle': 'b'} | values))
  assert text in str(raised.value)


def test_the_model_is_called_like_its_architecture() -> None:
  assert TrainJobOptions(dataset='d', bundle='b').model_name == 'cnn'
  assert TrainJobOptions(dataset='d', bundle='b', name='chest').model_name == 'chest'


def test_run_date_is_today_in_utc() -> None:
  before = datetime.datetime.now(datetime.UTC).date()
  given = datetime.date.fromisoformat(ingest().run_date)
  assert before <= given <= datetime.datetime.now(datetime.UTC).date()


@pytest.mark.parametrize(
  'given',
  [
    ingest(input=('/secret/in',), output='/secret/out', labels='/secret/truth.csv', crosswalk='/secret/crosswalk'),
    ScoreOptions(input=('/secret/in',), output='/secret/out', bundle=('/secret/m',), pseudonym_key_file='/secret/key'),
    TrainJobOptions(dataset='/secret/data', bundle='/secret/model'),
    EvaluateOptions(dataset='/secret/data', bundle='/secret/model', output='/secret/report'),
    DemoOptions(output='/secret/demo'),
  ],
  ids=lambda given: type(given).__name__,
)
def test_the_configuration_is_json_without_paths(given: options.JobOptions) -> None:
  assert 'secret' not in json.dumps(given.to_config())


def test_the_configuration_changes_with_what_decides_the_result_only() -> None:
  config = ingest().to_config()
  elsewhere = ingest(
    input=('b', 'c'), output='d', run_date='2020-01-01', quiet=True, overwrite=True, max_reject_ratio=1.0
  )
  assert elsewhere.to_config() == config
  assert ingest(image_size=64).to_config() == config | {'image_size': 64}
  assert ingest(labels='truth.csv').to_config() == config | {'labels': 'csv'}


def test_options_are_frozen() -> None:
  with pytest.raises(dataclasses.FrozenInstanceError):
    ingest().image_size = 3  # type: ignore[misc]
  assert hash(ingest()) == hash(ingest())
