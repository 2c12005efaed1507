"""The manifests of deploy/kubernetes and deploy/flink, read."""

import pathlib
from typing import Any

import yaml

DEPLOY = pathlib.Path(__file__).parents[2] / 'deploy'
KUBERNETES = DEPLOY / 'kubernetes'
FLINK = DEPLOY / 'flink'


def documents(folder: pathlib.Path = KUBERNETES) -> list[dict[str, Any]]:
  """Every object of every manifest that kubectl is given."""
  named = yaml.safe_load((folder / 'kustomization.yaml').read_text())['resources']
  return [document for name in named for document in yaml.safe_load_all((folder / name).read_text())]


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


def flink_deployment() -> dict[str, Any]:
  """The session cluster."""
  (document,) = (one for one in documents(FLINK) if one['kind'] == 'FlinkDeployment')
  return document


def flink_job() -> dict[str, Any]:
  """The launcher of a job on it."""
  document: dict[str, Any] = yaml.safe_load((FLINK / 'job.yaml').read_text())
  return document
