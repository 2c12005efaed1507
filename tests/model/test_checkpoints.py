import pathlib

import numpy as np

from model.checkpoints import FILE, Checkpoints, TrainingState, decode, remove_checkpoints

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
