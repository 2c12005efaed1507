"""The manifests of deploy/kubernetes, read."""

import pathlib
from typing import Any

import yaml

DEPLOY = pathlib.Path(__file__).parents[2] / 'deploy'
KUBERNETES = DEPLOY / 'kubernetes'


def documents() -> list[dict[str, Any]]:
  """Every object of every manifest that kubectl is given."""
  named = yaml.safe_load((KUBERNETES / 'kustomization.yaml').read_text())['resources']
  return [document for name in named for document in yaml.safe_load_all((KUBERNETES / name).read_text())]


def cron_job() -> dict[str, Any]:
  return next(document for document in documents() if document['kind'] == 'CronJob')


def pod() -> dict[str, Any]:
  """The pod that the job runs in."""
  spec: dict[str, Any] = cron_job()['spec']['jobTemplate']['spec']['template']['spec']
  return spec


def script() -> str:
  """What the container runs."""
  shell, flag, text = pod()['containers'][0]['command']
  assert (shell, flag) == ('/bin/sh', '-c')
  return str(text)
