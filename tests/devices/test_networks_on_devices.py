"""Every network takes the step of one device on two devices, and in two processes.

Random weights and live batch norm make deep networks of small images
ill-conditioned: ResNet50 changes its step by 1 % if its images change by 1e-7.
So the measure is how far one device comes when its images are rounded. With
batch norm over a device's own share the loss changes by 0.1 and more, that of
`cnn` by 3e-4.
"""

import pathlib
import subprocess

import numpy as np
import pytest
from numpy.typing import NDArray

from model.networks.registry import ARCHITECTURES
from tests.devices.setups import SETUPS
from tests.model.training_process import free_addresses, output_of, start_module

ROUNDINGS = 10  # that a sum in another order may come to


@pytest.fixture(scope='module')
def steps(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """A folder for each setup, with a file for each network."""
  folder = tmp_path_factory.mktemp('steps')
  addresses = ','.join(free_addresses(2))
  output_of(_start(folder / SETUPS[0], '1'))
  output_of(_start(folder / SETUPS[1], '2'))
  for process in [_start(folder / setup, '1', index, addresses) for index, setup in zip('01', SETUPS[2:], strict=True)]:
    output_of(process)
  return folder


def _start(folder: pathlib.Path, *flags: str) -> subprocess.Popen[str]:
  folder.mkdir()
  return start_module('tests.devices.network_step', str(folder), *flags)


def read(steps: pathlib.Path, setup: str, architecture: str, images: str) -> tuple[float, NDArray[np.float64]]:
  with np.load(steps / setup / f'{architecture}.npz') as saved:
    return float(saved[f'{images}: loss']), saved[f'{images}: moved'].astype(np.float64)


@pytest.mark.parametrize('setup', SETUPS[1:])
@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_every_network_takes_the_step_of_one_device(steps: pathlib.Path, architecture: str, setup: str) -> None:
  loss, moved = read(steps, SETUPS[0], architecture, 'as it is')
  rounded_loss, rounded = read(steps, SETUPS[0], architecture, 'rounded')
  found_loss, found = read(steps, setup, architecture, 'as it is')
  assert np.count_nonzero(moved) > 0.3 * len(moved)
  assert abs(found_loss - loss) <= max(1e-5, ROUNDINGS * abs(rounded_loss - loss))
  scale = np.linalg.norm(moved)
  assert np.linalg.norm(found - moved) <= max(1e-4 * scale, ROUNDINGS * np.linalg.norm(rounded - moved))
  assert np.linalg.norm(found - moved) < 0.2 * scale
