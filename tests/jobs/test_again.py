"""The same work again: interrupted, repeated, without a network."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.current import current
from tests.end_to_end.conftest import Chain
from tests.jobs.killed_jobs import MAIN, kill_once_a_shard_is_finished, start

# Whoever opens a socket to another machine, or looks up a name, ends with an error of its own.
_WITHOUT_NETWORK = """
import socket
def refuse(*args, **kwargs):
  raise AssertionError(f'tried the network: {args[1:]}')
socket.getaddrinfo = refuse
socket.socket.connect = refuse
"""
_RUN_COLUMNS = ('run_id', 'scored_at')


def inodes(markers: Sequence[pathlib.Path]) -> set[int]:
  """Of the files that belong to finished shards: publishing links them, so they keep their inodes."""
  files = [file['path'] for marker in markers for file in json.loads(marker.read_text())['files']]
  return {os.stat(path).st_ino for path in files}


def published_inodes(folder: pathlib.Path) -> set[int]:
  return {os.stat(path).st_ino for path in folder.rglob('*') if path.is_file()}


def without_run(rows: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
  return {key: {name: row[name] for name in row if name not in _RUN_COLUMNS} for key, row in rows.items()}


def test_a_killed_ingest_goes_on_and_ends_with_the_same_rows(chain: Chain) -> None:
  again = chain.root / 'killed-dataset'
  markers = kill_once_a_shard_is_finished(start(chain.ingest(again.name)), again / '.staging')
  assert not (again / 'dataset.json').exists()
  finished = inodes(markers)
  assert main(chain.ingest(again.name)) == 0
  assert chain.by_source(f'{again.name}/index') == chain.by_source('dataset/index')
  assert digest(again) == digest(chain.root / 'dataset')
  assert finished <= published_inodes(again)
  assert not (again / '.staging').exists()


def test_a_killed_score_goes_on_and_ends_with_the_same_rows(chain: Chain) -> None:
  again = chain.root / 'killed-scores'
  command = chain.score(again.name, '--deterministic', '--batch_size', '8')
  markers = kill_once_a_shard_is_finished(start(command), again / '.staging')
  assert not (again / 'predictions').exists()
  finished = inodes(markers)
  assert main(command) == 0
  found, expected = chain.by_source(f'{again.name}/predictions'), chain.by_source('scores/predictions')
  assert set(found) == set(expected)
  for key, row in found.items():
    assert row['pixel_sha256'] == expected[key]['pixel_sha256']
    assert row['probability'] == pytest.approx(expected[key]['probability'], abs=1e-6)
  assert finished <= published_inodes(again)
  assert len({row['run_id'] for row in found.values()}) == 1
  assert not (again / '.staging').exists()


def digest(dataset: pathlib.Path) -> str:
  value: str = json.loads((dataset / 'dataset.json').read_text())['digest']
  return value


def test_the_same_seed_gives_the_same_dataset_model_and_scores(chain: Chain) -> None:
  assert main(chain.ingest('second-dataset')) == 0
  assert digest(chain.root / 'second-dataset') == digest(chain.root / 'dataset')
  assert main([*chain.train('second-bundle'), '--name', 'cnn']) == 0
  second = [
    word.replace(str(chain.root / 'bundle'), str(chain.root / 'second-bundle')) for word in chain.score('second')
  ]
  assert main([*second, '--deterministic']) == 0
  scores = {
    folder: {key: row['scores'] for key, row in chain.by_source(f'{folder}/predictions').items()}
    for folder in ('scores', 'second')
  }
  assert scores['second'] == scores['scores']


def test_jobs_run_without_a_network(chain: Chain) -> None:
  for arguments in (chain.ingest('offline-dataset'), chain.score('offline-scores')):
    code = f'{_WITHOUT_NETWORK}\n{MAIN}'
    done = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def records(chain: Chain, output: str) -> dict[str, dict[str, Any]]:
  return {path.stem: json.loads(path.read_text()) for path in (chain.root / output / 'runs').glob('*.json')}


def test_the_same_work_is_not_done_twice_unless_asked_for(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
  assert main(chain.score('scores', '--deterministic')) == 2
  assert '--overwrite' in capsys.readouterr().err
  assert main(chain.score('superseded')) == 0
  (first,) = records(chain, 'superseded').values()
  assert main(chain.score('superseded', '--overwrite')) == 0
  (second,) = (record for run_id, record in records(chain, 'superseded').items() if run_id != first['run_id'])
  assert (first['supersedes_run_id'], second['supersedes_run_id']) == (None, first['run_id'])
  written = {(row['run_id'], row['supersedes_run_id']) for row in chain.rows('superseded/predictions')}
  assert written == {(first['run_id'], None), (second['run_id'], first['run_id'])}
  assert set(current(str(chain.root / 'superseded'))['run_id'].to_pylist()) == {second['run_id']}
