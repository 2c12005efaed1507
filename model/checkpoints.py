"""Where an interrupted training goes on: its state in one file, replaced in one step.

The arrays are plain numpy, so that a training may go on with other devices
than it began with. A state of another recipe or dataset is not taken.
"""

import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Arrays = Sequence[NDArray[Any]]

FILE: Final = 'training_state.npz'
_FACTS: Final = 'facts'


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
  """What the next step depends on.

  Attributes:
    step: steps taken.
    facts: plain JSON, such as the history.
    arrays: by name, lists of arrays, such as the variables of the network.
  """

  step: int
  facts: Mapping[str, Any]
  arrays: Mapping[str, Arrays] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoints:
  """A folder that holds the state of one training.

  Attributes:
    folder: made when it is first needed.
    digest: of recipe and dataset.
  """

  folder: pathlib.Path
  digest: str

  def save(self, state: TrainingState) -> None:
    """Replaces the state that is there; a process that dies meanwhile leaves the old one."""
    self.folder.mkdir(parents=True, exist_ok=True)
    partial = self.folder / f'.{FILE}.{os.getpid()}'
    with partial.open('wb') as file:
      file.write(encode(state, self.digest))
      file.flush()
      os.fsync(file.fileno())
    partial.replace(self.folder / FILE)

  def read(self) -> bytes:
    """The state that was saved last, encoded; empty if there is none."""
    path = self.folder / FILE
    return path.read_bytes() if path.is_file() else b''


def encode(state: TrainingState, digest: str) -> bytes:
  """A state of the training with this digest, as bytes."""
  facts = {'digest': digest, 'step': state.step, 'facts': state.facts}
  arrays: dict[str, Any] = {_FACTS: np.frombuffer(json.dumps(facts).encode(), np.uint8)}
  for name, group in state.arrays.items():
    arrays |= {f'{name}/{position:05d}': array for position, array in enumerate(group)}
  buffer = io.BytesIO()
  np.savez(buffer, **arrays)
  return buffer.getvalue()


def decode(content: bytes, digest: str) -> TrainingState | None:
  """A state that was encoded; None if there is none, or if it is of another training."""
  if not content:
    return None
  with np.load(io.BytesIO(content), allow_pickle=False) as saved:
    facts = json.loads(saved[_FACTS].tobytes())
    if facts['digest'] != digest:
      return None
    groups: dict[str, list[NDArray[Any]]] = {}
    for key in sorted(name for name in saved.files if name != _FACTS):
      groups.setdefault(key.rpartition('/')[0], []).append(saved[key])
  return TrainingState(facts['step'], facts['facts'], groups)


def remove_checkpoints(folder: pathlib.Path) -> None:
  """Removes the state once the bundle is there; what else lies in the folder stays, and then the folder."""
  if not folder.is_dir():
    return
  for path in folder.glob(f'*{FILE}*'):
    path.unlink()
  if not any(folder.iterdir()):
    folder.rmdir()
