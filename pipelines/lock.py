"""One nightly run at a time on an output: a lock that the kernel frees when its owner dies."""

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from pipelines.exits import Locked
from pipelines.run_record import now

_LOG = logging.getLogger('radbeam.lock')
_FILE: Final = '.lock'
_ATTEMPTS: Final = 20
_ATTEMPT_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Lock:
  """Held by this process.

  Attributes:
    recovered: the run that died while it held the lock; None after a clean one.
  """

  recovered: str | None

  def check(self) -> None:
    """Nothing to check: the kernel gives a file's lock to nobody else."""


@contextlib.contextmanager
def held_lock(output: str, run_id: str) -> Iterator[Lock]:
  """Holds the lock of an output while the block runs.

  Raises:
    Locked: if another run holds it.
  """
  folder = pathlib.Path(output)
  folder.mkdir(parents=True, exist_ok=True)
  descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o644)
  with os.fdopen(descriptor, 'r+') as file:
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise Locked(f'run {_wait_for_owner(file)} is at work on this output; let it end, or stop it') from None
    recovered = _owner(file.read())
    if recovered:
      _LOG.info('run %s died while it held the lock; going on in its place', recovered)
    _write(file, json.dumps({'run_id': run_id, 'started': now().isoformat(), 'pid': os.getpid()}))
    try:
      yield Lock(recovered)
    finally:
      _write(file, '')


def _wait_for_owner(file: IO[str]) -> str:
  """Who holds the lock; it may not have said so yet."""
  for _ in range(_ATTEMPTS):
    file.seek(0)
    owner = _owner(file.read())
    if owner:
      return owner
    time.sleep(_ATTEMPT_S)
  return 'of another process'


def _write(file: IO[str], text: str) -> None:
  file.seek(0)
  file.truncate()
  file.write(text)
  file.flush()


def _owner(text: str) -> str | None:
  try:
    return str(json.loads(text)['run_id'])
  except (ValueError, KeyError):
    return None
