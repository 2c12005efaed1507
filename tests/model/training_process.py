"""One process of a training: what `python -m tests.model.training_process JOB` does; JOB is JSON.

Devices, clusters and determinism are set for a whole process, before TensorFlow
does anything: each setting needs one of its own.
"""

import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Job:
  """What a process is to do.

  Attributes:
    dataset: a directory.
    recipes: fields of `Recipe` other than its defaults, for one training after the other.
    devices: logical ones, of the CPU.
    workers: that train together, if there are several.
    index: of this one.
  """

  dataset: str
  recipes: Sequence[Mapping[str, Any]]
  devices: int = 1
  workers: Sequence[str] = ()
  index: int = 0


def free_addresses(count: int) -> list[str]:
  """On this machine, of ports that nobody has."""
  with ExitStack() as stack:
    sockets = [stack.enter_context(socket.create_server(('127.0.0.1', 0))) for _ in range(count)]
    return [f'127.0.0.1:{server.getsockname()[1]}' for server in sockets]


def start(job: Job) -> subprocess.Popen[str]:
  """Starts a process; another at the same time does not wait for it."""
  return start_module('tests.model.training_process', json.dumps(dataclasses.asdict(job)))


def start_module(name: str, *arguments: str) -> subprocess.Popen[str]:
  """Starts a module as a process that says little."""
  command = [sys.executable, '-m', name, *arguments]
  environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'GRPC_VERBOSITY': 'ERROR'}
  return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def output_of(process: subprocess.Popen[str]) -> str:
  """Waits for a process, which must end with 0."""
  out, errors = process.communicate()
  assert process.returncode == 0, errors[-3000:]
  return out


def outcomes(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
  """What a process found, for each training: losses, epochs, the kept weights and their scores; or an error."""
  return [json.loads(line) for line in output_of(process).splitlines() if line.startswith('{')]


def make_devices(count: int) -> None:
  """Divides the CPU into logical devices; before TensorFlow does anything."""
  import tensorflow as tf

  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def _run(job: Job) -> None:
  import numpy as np

  from model.cluster import Cluster, ClusterError
  from model.dataset import open_dataset
  from model.recipe import Recipe
  from model.training import train
  from model.watching import Unwatched
  from model.workers import Workers

  class Noting(Unwatched):
    def __init__(self) -> None:
      self.losses: list[float] = []

    def on_step(self, step: int, loss: float) -> None:
      self.losses.append(loss)

  if job.devices > 1:
    make_devices(job.devices)
  workers = Workers('multi_worker', Cluster(tuple(job.workers), job.index)) if job.workers else None
  for fields in job.recipes:
    watcher = Noting()
    try:
      trained = train(open_dataset(job.dataset), Recipe(**fields), watcher, None, workers)
    except ClusterError as error:
      print(json.dumps({'error': str(error)}), flush=True)
      continue
    weights = np.concatenate([weight.ravel() for weight in trained.network.get_weights()]).astype(np.float64)
    outcome = {
      'losses': watcher.losses,
      'epochs': [row.step for row in trained.history],
      'epoch_losses': [[row.train_loss, row.val_loss] for row in trained.history],
      'roc_auc': [[row.train_auc, row.val_auc] for row in trained.history],
      'scores': trained.validation.scores[:, 1].tolist(),
      'truth': trained.validation.truth.tolist(),
      'weights': [np.abs(weights).mean(), *weights[:: max(1, len(weights) // 1000)]],
    }
    print(json.dumps(outcome), flush=True)


if __name__ == '__main__':
  _run(Job(**json.loads(sys.argv[1])))
