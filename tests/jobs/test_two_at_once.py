"""Two jobs into one output: the second is told who is at work there, and what the first does is whole."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.exits import Exit
from tests.end_to_end.nights import Site, radiograph
from tests.jobs.killed_jobs import start
from tests.pipelines.tiny_bundle import write_bundle
from tests.transforms.pictures import gradient, png

Process = subprocess.Popen[bytes]


@contextlib.contextmanager
def stopped(command: Sequence[str], lock: pathlib.Path, pattern: str) -> Iterator[tuple[Process, str]]:
  """Starts a job, and holds it still once it has said in its lock who it is; it goes on when the block ends."""
  process = start(command)
  while not (owner := owner_of(lock, pattern)):
    assert process.poll() is None, 'the job ended too early'
    time.sleep(0.01)
  os.killpg(process.pid, signal.SIGSTOP)
  try:
    yield process, owner
  finally:
    with contextlib.suppress(ProcessLookupError):  # killed in the block
      os.killpg(process.pid, signal.SIGCONT)


def owner_of(folder: pathlib.Path, pattern: str) -> str:
  for path in folder.glob(pattern):
    with contextlib.suppress(ValueError, FileNotFoundError):
      return str(json.loads(path.read_text())['run_id'])
  return ''


def refused(command: Sequence[str], owner: str, what: str, capfd: pytest.CaptureFixture[str]) -> None:
  capfd.readouterr()
  assert main(list(command)) == Exit.LOCKED
  shown = capfd.readouterr().err.splitlines()
  assert f'run {owner} is at work on {what}' in shown[-1]


def locks(root: pathlib.Path) -> list[pathlib.Path]:
  return [path for path in root.rglob('*.lock') if path.name != '.lock' or path.stat().st_size]


@pytest.fixture
def export(tmp_path: pathlib.Path) -> pathlib.Path:
  for number in range(60):
    path = tmp_path / 'export' / ('healthy', 'sick')[number % 2] / f'{number}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.roll(gradient(32, 32, 8), number, axis=1).astype(np.uint8)))
  return tmp_path / 'export'


def test_two_of_ingest_and_two_of_train(
  tmp_path: pathlib.Path, export: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
  (tmp_path / 'key').write_bytes(bytes(range(32)))
  (tmp_path / 'key').chmod(0o600)
  ingest = ['ingest', '--input', str(export), '--labels', 'folder', '--output', str(tmp_path / 'dataset')]
  ingest += ['--pseudonym_key_file', str(tmp_path / 'key'), '--image_size', '32', '--patient_from', 'member']
  ingest += ['--val_fraction', '0.3', '--test_fraction', '0.2']
  with stopped(ingest, tmp_path / 'dataset', '.lock') as (process, owner):
    refused(ingest, owner, 'this dataset', capfd)
    refused([*ingest, '--overwrite'], owner, 'this dataset', capfd)
  assert process.wait() == Exit.DONE
  assert json.loads((tmp_path / 'dataset/dataset.json').read_text())['run_id'] == owner
  assert not list((tmp_path / 'dataset').glob('.*'))

  train = ['train', '--dataset', str(tmp_path / 'dataset'), '--bundle', str(tmp_path / 'models/cnn'), '--steps', '1']
  with stopped(train, tmp_path / 'models', '.cnn.lock') as (process, owner):
    refused(train, owner, 'this bundle', capfd)
  assert process.wait() == Exit.DONE
  assert [path.name for path in (tmp_path / 'models').iterdir()] == ['cnn']


def test_two_of_the_same_score_and_others_beside_it(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
  write_bundle(tmp_path / 'models/1', '1')
  site = Site(tmp_path / 'site', tmp_path / 'models')
  for number in range(8):
    site.deliver(f'{number}.dcm', radiograph(str(number), 10 + number))
  score = ['score', '--input', str(site.inbox), '--bundle', str(site.models / '1'), '--output', str(site.output)]
  score += ['--pseudonym_key_file', str(site.key), '--run_date', '2026-01-01']
  with stopped(score, site.output, '.staging/*.lock') as (process, owner):
    refused(score, owner, 'the same inputs', capfd)
    assert main([*score, '--run_date', '2026-01-02']) == Exit.DONE  # another work
    assert site.night() == Exit.DONE
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
  assert main(score) == Exit.DONE  # the lock of one that was killed is free, and its run goes on
  assert f'run {owner} died while it held the lock' in capfd.readouterr().err
  whole = [record for record in site.records('score') if 'entries' not in record]
  assert sorted(record['run_date'] for record in whole) == ['2026-01-01', '2026-01-02']
  assert not (site.output / '.staging').exists()
  assert locks(site.output) == []
