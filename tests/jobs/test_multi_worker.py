"""Two workers train by the command line: one is killed, then the other, and the third start ends with a bundle."""

import csv
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from model.bundle import load_bundle
from pipelines.cli import main
from pipelines.exits import Exit
from tests.model.datasets import draw_items, write_dataset
from tests.model.training_process import ROOT, free_addresses, output_of

FLAGS = ('--epochs=5', '--batch_size=16', '--dropout=0', '--augment=strong', '--optimizer=sgd', '--average=0.9')
EPOCH = 6  # steps


@pytest.fixture(scope='module')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  items = draw_items({'train': 96, 'val': 33, 'test': 4}, ['NORMAL', 'PNEUMONIA'])
  return write_dataset(tmp_path_factory.mktemp('data') / 'dataset', items)


def radbeam(dataset: pathlib.Path, bundle: pathlib.Path, *flags: str) -> subprocess.Popen[str]:
  code = 'import sys; from pipelines.cli import main; sys.exit(main())'
  command = [sys.executable, '-c', code, 'train', f'--dataset={dataset}', f'--bundle={bundle}', *FLAGS, *flags]
  environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
  return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def two_workers(dataset: pathlib.Path, folder: pathlib.Path, *flags: str) -> list[subprocess.Popen[str]]:
  """Each has a folder of its own, as on a host of its own."""
  together = ('--strategy=multi_worker', f'--workers={",".join(free_addresses(2))}', *flags)
  return [radbeam(dataset, folder / f'host{index}/bundle', *together, f'--worker_index={index}') for index in range(2)]


def read_up_to(process: subprocess.Popen[str], text: str) -> str:
  """What a process says, up to a line with this text."""
  assert process.stderr
  lines: list[str] = []
  for line in process.stderr:
    lines.append(line)
    if text in line:
      return ''.join(lines)
  raise AssertionError(f'no {text!r} in {"".join(lines)}')


def kill_one(processes: Sequence[subprocess.Popen[str]], index: int, how: signal.Signals, text: str) -> tuple[str, str]:
  """Ends one of two workers when the chief says the text; what the chief, and the one that is left, said."""
  said = read_up_to(processes[0], text)
  processes[index].send_signal(how)
  assert processes[index].wait() == -how
  left = processes[1 - index]
  _, errors = left.communicate()
  assert left.returncode == 1
  return said, errors.splitlines()[-1]


def history(bundle: pathlib.Path) -> list[list[float]]:
  with (bundle / 'history.csv').open(encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  return [[float(row[name]) for name in ('epoch', 'step', 'train_loss', 'val_loss', 'val_auc')] for row in rows]


def test_a_worker_that_dies_ends_the_others_and_all_go_on_from_the_checkpoint(
  dataset: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  alone = radbeam(dataset, tmp_path / 'alone', '--deterministic')
  _, last = kill_one(two_workers(dataset, tmp_path), 1, signal.SIGKILL, 'epoch 1:')
  assert 'worker 1 (127.0.0.1:' in last
  assert 'is lost: it did not come, it ended, or it cannot be reached any more; expected all 2' in last
  again, last = kill_one(two_workers(dataset, tmp_path), 0, signal.SIGTERM, 'epoch 3:')
  assert f'goes on after step {EPOCH} of {5 * EPOCH}' in again
  assert 'is lost: ' in last
  chief, other = two_workers(dataset, tmp_path)
  (_, said), (_, little) = chief.communicate(), other.communicate()
  assert (chief.returncode, other.returncode) == (0, 0), said + little
  assert 'goes on after step' in said
  assert 'is kept: validation AUC' in said
  assert little == 'worker 1 of 2; the chief says how it goes, and writes\n'
  assert not (tmp_path / 'host1').exists()
  assert [path.name for path in (tmp_path / 'host0').iterdir()] == ['bundle']
  assert alone.wait() == 0
  np.testing.assert_allclose(history(tmp_path / 'host0/bundle'), history(tmp_path / 'alone'), atol=1e-5)
  assert load_bundle(tmp_path / 'host0/bundle').labels == ('NORMAL', 'PNEUMONIA')


@pytest.mark.parametrize('sees', ['varied', 'plain'])
def test_two_workers_learn_from_a_teacher_as_one_process_does(
  dataset: pathlib.Path, tmp_path: pathlib.Path, sees: str
) -> None:
  output_of(radbeam(dataset, tmp_path / 'teacher', '--epochs=1', '--seed=2'))
  taught = ('--epochs=2', f'--teacher={tmp_path / "teacher"}', '--teacher_weight=0.8', f'--teacher_sees={sees}')
  for process in [
    radbeam(dataset, tmp_path / 'alone', *taught, '--deterministic'),
    *two_workers(dataset, tmp_path, *taught),
  ]:
    output_of(process)
  np.testing.assert_allclose(history(tmp_path / 'host0/bundle'), history(tmp_path / 'alone'), atol=1e-5)
  assert (
    load_bundle(tmp_path / 'host0/bundle').recipe['taught_by'] == load_bundle(tmp_path / 'alone').recipe['taught_by']
  )


@pytest.mark.parametrize(
  ('flags', 'environment', 'text'),
  [
    (
      [],
      {},
      'nothing says who the workers are; expected --workers host:port,host:port with --worker_index',
    ),
    ([], {'TF_CONFIG': '{}'}, 'TF_CONFIG has no cluster with lists of addresses; expected {"cluster"'),
    (['--workers=a:1,b:1'], {}, '--workers is a:1,b:1, --worker_index is None; give both, or none'),
    (['--workers=a:1,b', '--worker_index=0'], {}, "--workers: a worker is 'b'; expected host:port, with a port from 1"),
  ],
)
def test_wrong_workers_are_one_line(
  dataset: pathlib.Path,
  tmp_path: pathlib.Path,
  flags: list[str],
  environment: dict[str, str],
  text: str,
  monkeypatch: pytest.MonkeyPatch,
  capfd: pytest.CaptureFixture[str],
) -> None:
  monkeypatch.delenv('TF_CONFIG', raising=False)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  command = ['train', f'--dataset={dataset}', f'--bundle={tmp_path / "bundle"}', '--strategy=multi_worker', *flags]
  assert main(command) == Exit.USAGE
  (said,) = capfd.readouterr().err.splitlines()
  assert text in said
