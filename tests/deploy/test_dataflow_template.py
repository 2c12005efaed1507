"""The templates of Dataflow: held to the flags, to the types of Google's API, and to what the launcher makes of it."""

import dataclasses
import json
import re
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3 import types

from pipelines.arguments import parse
from pipelines.dataflow_template import launcher_arguments, metadata
from pipelines.jobs import JOBS
from tests.deploy.dockerfiles import read, sources
from tests.deploy.manifests import DEPLOY

TEMPLATES = ('ingest', 'score')
# Folders of one machine, or of the launcher's, which is gone when it ends.
NOT_FOR_DATAFLOW = {'crosswalk', 'log_file', 'dry_run', 'quiet'}
GIVEN = {
  'input': 'gs://site/inbox,gs://site/more/*.zip',
  'output': 'gs://site/out',
  'bundle': 'gs://site/bundle',
  'labels': 'gs://site/labels.csv',
  'pseudonym_key_file': 'gs://key/pseudonym.key',
  'sdk_container_image': 'europe-docker.pkg.dev/clinic/radbeam/dataflow:0.1.0',
  'overwrite': 'true',
  'max_reject_ratio': '0.5',
}


def template(job: str) -> dict[str, Any]:
  value: dict[str, Any] = json.loads((DEPLOY / f'dataflow/{job}.json').read_text(encoding='utf-8'))
  return value


def parameters(job: str) -> dict[str, dict[str, Any]]:
  return {parameter['name']: parameter for parameter in template(job)['parameters']}


@pytest.mark.parametrize('job', TEMPLATES)
def test_the_template_is_that_of_the_flags(job: str) -> None:
  assert template(job) == metadata(job), 'run: make templates'
  flags = {field.name for field in dataclasses.fields(JOBS[job].options)}
  assert parameters(job).keys() == flags - NOT_FOR_DATAFLOW | {'sdk_container_image'}


@pytest.mark.parametrize('job', TEMPLATES)
def test_google_s_types_take_the_template_and_lose_nothing(job: str) -> None:
  message = types.TemplateMetadata.from_json(json.dumps(template(job)), ignore_unknown_fields=False)
  again = types.TemplateMetadata.to_dict(message, use_integers_for_enums=False, including_default_value_fields=False)
  assert len(again['parameters']) == len(template(job)['parameters'])
  for found, given in zip(again['parameters'], template(job)['parameters'], strict=True):
    camel = {re.sub(r'_(\w)', lambda match: match[1].upper(), name): value for name, value in found.items()}
    assert camel == {name: value for name, value in given.items() if value}


def test_google_s_types_refuse_what_they_do_not_know() -> None:
  with pytest.raises(Exception, match='no field named "colour"'):
    types.TemplateMetadata.from_json('{"name": "x", "parameters": [{"colour": "red"}]}')
  with pytest.raises(Exception, match='paramType'):
    types.TemplateMetadata.from_json('{"name": "x", "parameters": [{"paramType": "FOLDER"}]}')


@pytest.mark.parametrize('job', TEMPLATES)
def test_what_the_console_shows_is_complete(job: str) -> None:
  for name, parameter in parameters(job).items():
    assert re.fullmatch(r'[a-z][a-z0-9_]*', name)
    assert parameter['label']
    assert len(parameter['helpText']) > 5
    values = [option['value'] for option in parameter.get('enumOptions', ())]
    assert (parameter['paramType'] == 'ENUM') == bool(values)
    for value in (*values, *filter(None, [parameter.get('defaultValue')])):
      assert all(re.search(regex, value) for regex in parameter['regexes']), name


def test_regexes_refuse_what_workers_cannot_reach() -> None:
  of_score = parameters('score')
  for name in ('input', 'output', 'bundle', 'pseudonym_key_file', 'select'):
    assert not re.search(of_score[name]['regexes'][0], '/data/x')
  assert not re.search(of_score['input']['regexes'][0], 'gs://site/a,/data/x')
  assert not re.search(of_score['batch_size']['regexes'][0], 'many')
  assert not re.search(parameters('ingest')['labels']['regexes'][0], 'labels.csv')


@pytest.mark.parametrize('job', TEMPLATES)
def test_parameters_become_the_flags_of_the_job(job: str) -> None:
  given = {name: value for name, value in GIVEN.items() if name in parameters(job)}
  argv = [f'--{name}={value}' for name, value in given.items()] + ['--project=clinic', '--temp_location=gs://site/temp']
  found, *arguments = launcher_arguments(job, argv)
  options, extras = parse(found, arguments)
  assert isinstance(options, JOBS[job].options)
  values = dataclasses.asdict(options)
  assert values['input'] == ('gs://site/inbox', 'gs://site/more/*.zip')
  assert (values['output'], values['overwrite'], values['max_reject_ratio']) == ('gs://site/out', True, 0.5)
  assert extras == [
    *(f'--sdk_container_image={GIVEN["sdk_container_image"]}', '--project=clinic', '--temp_location=gs://site/temp'),
    *('--runner=DataflowRunner', '--no_wait_until_finish', '--sdk_location=container'),
  ]


def test_every_default_can_be_given_as_it_is_shown() -> None:
  for job in TEMPLATES:
    shown = {name: one['defaultValue'] for name, one in parameters(job).items() if 'defaultValue' in one}
    required = {name: value for name, value in GIVEN.items() if name in parameters(job)}
    argv = [f'--{name}={value}' for name, value in (required | shown).items()]
    options, _ = parse(job, launcher_arguments(job, argv)[1:])
    defaults, _ = parse(job, launcher_arguments(job, [f'--{name}={value}' for name, value in required.items()])[1:])
    for name in shown.keys() - required.keys():
      assert getattr(options, name) == getattr(defaults, name), name


def test_the_image_adds_the_launcher_to_that_of_workers() -> None:
  launcher, image = read(DEPLOY / 'dataflow/Dockerfile')
  assert re.fullmatch(r'gcr\.io/dataflow-templates-base/python311-template-launcher-base:\d+_RC\d+', launcher.base)
  assert image.base == '${WORKER}'
  assert sources(image) == ['deploy/dataflow/launch.py']
  assert image.values('ENTRYPOINT') == []  # Beam's, as in the image of workers
  assert 'FLEX_TEMPLATE_PYTHON_PY_FILE=/template/launch.py' in image.values('ENV')[0]
  assert not any('pip' in value for value in image.values('RUN'))
