import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import numpy as np

from model.checkpoints import FILE, Checkpoints, TrainingState, decode, remove_checkpoints
from model.dataset import Dataset

STATE = TrainingState(12, {'best_epoch': 2}, {'network': [np.ones((2, 3)), np.array([7])], 'best': [np.zeros(1)]})


def test_a_state_is_what_was_saved(tmp_path: pathlib.Path) -> None:
  saved = Checkpoints(tmp_path / 'new', 'a' * 64)
  assert decode(saved.read(), saved.digest) is None
  saved.save(STATE)
  saved.save(STATE)
  found = decode(saved.read(), saved.digest)
  assert found is not None
  assert (found.step, found.facts) == (12, {'best_epoch': 2})
  assert {name: [array.tolist() for array in group] for name, group in found.arrays.items()} == {
    'network': [[[1, 1, 1], [1, 1, 1]], [7]],
    'best': [[0]],
  }
  assert [path.name for path in (tmp_path / 'new').iterdir()] == [FILE]


def test_the_state_of_another_training_is_not_taken(tmp_path: pathlib.Path) -> None:
  saved = Checkpoints(tmp_path, 'a' * 64)
  saved.save(STATE)
  assert decode(saved.read(), 'b' * 64) is None


def test_nothing_is_left_of_a_training_but_what_is_not_its(tmp_path: pathlib.Path) -> None:
  for name in ('mine', 'shared'):
    Checkpoints(tmp_path / name, 'a' * 64).save(STATE)
  (tmp_path / 'shared/notes').touch()
  for name in ('mine', 'shared', 'missing'):
    remove_checkpoints(tmp_path / name)
  assert [path.name for path in tmp_path.rglob('*')] == ['shared', 'notes']


# Determinism is switched on for a whole process; a training that is killed needs one of its own anyway.
TRAIN = textwrap.dedent("""
  import hashlib, os, pathlib, signal, sys
  from model.dataset import open_dataset
  from model.recipe import Recipe
  from model.training import train
  from model.watching import Unwatched

  class Killer(Unwatched):
    def on_step(self, step, loss):
      if step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

  recipe = Recipe(
    epochs=4, batch_size=16, optimizer='adamw', weight_decay=1e-2, warmup_steps=4, clip_norm=1.0, average=0.9,
    head_steps=3, augment='strong', mixup=0.3, cutmix=0.5, balance='batches', views='mirror', deterministic=True,
    patience=9,
  )
  trained = train(open_dataset(sys.argv[1]), recipe, Killer(), pathlib.Path(sys.argv[2]))
  print(hashlib.sha256(b''.join(weights.tobytes() for weights in trained.network.get_weights())).hexdigest())
  print([(row.epoch, row.step, row.val_auc, row.train_loss) for row in trained.history])
""")


def _train(dataset: Dataset, folder: pathlib.Path, kill_at: int) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, '-c', TRAIN, str(dataset.path), str(folder), str(kill_at)]
  return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, 'PYTHONPATH': '.'})


def test_killed_and_started_again_it_ends_with_the_same_weights(dataset: Dataset, tmp_path: pathlib.Path) -> None:
  whole = _train(dataset, tmp_path / 'whole', 0)
  assert whole.returncode == 0, whole.stderr
  for kill_at in (2, 15, 20):  # before the first state, after two epochs, after three
    assert _train(dataset, tmp_path / 'killed', kill_at).returncode == -signal.SIGKILL
  with np.load(tmp_path / 'killed' / FILE) as saved:
    assert json.loads(saved['facts'].tobytes())['step'] == 18
  assert _train(dataset, tmp_path / 'killed', 0).stdout == whole.stdout
