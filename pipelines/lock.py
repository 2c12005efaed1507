"""One nightly run at a time on an output, and one run at a time on a dataset, on a bundle, and on the same scoring.

On a disk the kernel keeps the lock, and frees it when its owner dies. In an
object store it is an object that its owner writes again and again; one that has
not been written for some minutes is of an owner that died, and is taken over.
Preconditions on its generation make each of these steps safe among many.
"""

import contextlib
import fcntl
import io
import json
import logging
import os
import pathlib
import posixpath
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Final, NoReturn

from pipelines.events import emit
from pipelines.exits import Locked
from pipelines.run_record import now
from transforms import object_store, storage

_LOG = logging.getLogger('radbeam.lock')
_FILE: Final = '.lock'
_ATTEMPTS: Final = 20
_ATTEMPT_S: Final = 0.05
RENEWED_EVERY_S = 30.0
STALE_AFTER_S = 300.0


class LeaseLost(Exception):  # noqa: N818 - what happened
  """This run was taken for dead, and another one took its place; what it has published stands."""


@dataclass(slots=True)
class Lock:
  """Held by this process.

  Attributes:
    recovered: the run that died while it held the lock; None after a clean end.
    lost: set once another run may have taken it over.
  """

  recovered: str | None
  lost: threading.Event = field(default_factory=threading.Event)

  def check(self) -> None:
    """Makes sure that the lock is still held.

    Raises:
      LeaseLost: if it is not.
    """
    if self.lost.is_set():
      raise LeaseLost('another run took over the lock of this output, since this one did not renew it in time')


@contextlib.contextmanager
def held_lock(output: str, run_id: str) -> Iterator[Lock]:
  """Holds the lock of an output while the block runs; its file stays there.

  Raises:
    Locked: if another run holds it.
  """
  with _held(storage.join(output, _FILE), run_id, Place('this output', stays=True)) as lock:
    yield lock


@contextlib.contextmanager
def held_work(path: str, run_id: str, what: str) -> Iterator[Lock]:
  """Holds a lock of this name while the block runs, and leaves nothing behind.

  Of a job that goes on where nobody waits for it, this is held only until it is sent.

  Args:
    path: of the lock.
    run_id: what whoever is refused is told.
    what: is worked on, such as `this dataset`.

  Raises:
    Locked: if another run holds it.
  """
  with _held(path, run_id, Place(what, stays=False)) as lock:
    yield lock


def lock_beside(path: str) -> str:
  """The name of the lock of a folder: hidden, and beside it."""
  folder, name = posixpath.split(path.rstrip('/'))
  return storage.join(folder, f'.{name}{_FILE}')


@dataclass(frozen=True, slots=True)
class Place:
  """What a lock is for: `stays` says whether its file does."""

  what: str
  stays: bool


@contextlib.contextmanager
def _held(path: str, run_id: str, place: Place) -> Iterator[Lock]:
  with (_leased if storage.is_object(path) else _flocked)(path, run_id, place) as lock:
    if lock.recovered:
      text = f'run {lock.recovered} died while it held the lock; going on in its place'
      emit('lock-recovered', text, died=lock.recovered)
    yield lock


def _refuse(owner: str | None, place: Place) -> NoReturn:
  text = f'run {owner or "of another process"} is at work on {place.what}; let it end, or stop it'
  raise Locked(text) from None


def _told(run_id: str) -> str:
  return json.dumps({'run_id': run_id, 'written': now().isoformat(), 'pid': os.getpid()})


def _owner(text: str | bytes) -> str | None:
  try:
    return str(json.loads(text)['run_id'])
  except (ValueError, KeyError, TypeError):
    return None


@contextlib.contextmanager
def _flocked(path: str, run_id: str, place: Place) -> Iterator[Lock]:
  folder = pathlib.Path(path).parent
  is_new = not folder.is_dir()
  with _open_flocked(path, place) as file:
    recovered = _owner(file.read())
    _overwrite(file, _told(run_id))
    try:
      yield Lock(recovered)
    finally:
      _overwrite(file, '')
      if not place.stays:
        _remove(path, is_new)


def _remove(path: str, is_new: bool) -> None:
  """Removes the file of a lock while it is held: whoever has opened it meanwhile finds out; its folder if it is new."""
  pathlib.Path(path).unlink(missing_ok=True)
  if is_new:
    storage.delete_if_empty(os.path.dirname(path))


@contextlib.contextmanager
def _open_flocked(path: str, place: Place) -> Iterator[IO[str]]:
  """The file, locked; it may have gone, with its folder, while it was opened."""
  while True:
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
      descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
      continue
    with os.fdopen(descriptor, 'r+') as file:
      try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        _refuse(_wait_for_owner(file), place)
      if _is_still(path, descriptor):
        yield file
        return


def _is_still(path: str, descriptor: int) -> bool:
  try:
    return os.path.samestat(os.stat(path), os.fstat(descriptor))
  except FileNotFoundError:
    return False


def _wait_for_owner(file: IO[str]) -> str | None:
  """Who holds the lock; it may not have said so yet."""
  for _ in range(_ATTEMPTS):
    file.seek(0)
    owner = _owner(file.read())
    if owner:
      return owner
    time.sleep(_ATTEMPT_S)
  return None


def _overwrite(file: IO[str], text: str) -> None:
  file.seek(0)
  file.truncate()
  file.write(text)
  file.flush()


@contextlib.contextmanager
def _leased(url: str, run_id: str, place: Place) -> Iterator[Lock]:
  generation, recovered = _take(url, run_id, place)
  lock = Lock(recovered)
  lease = _Lease(url, run_id, generation, lock)
  lease.start()
  try:
    yield lock
  finally:
    lease.end()


def _take(url: str, run_id: str, place: Place) -> tuple[int, str | None]:
  """Makes the object, or replaces that of a dead owner; the generation that this run wrote, and the dead one's id."""
  generation = _write(url, run_id, 0)
  if generation is not None:
    return generation, None
  found = object_store.find(url)
  if found is None:  # given back in between
    return _take(url, run_id, place)
  try:
    owner = _owner(storage.read_bytes(url))
  except FileNotFoundError:  # likewise
    return _take(url, run_id, place)
  if object_store.age_s(url) < STALE_AFTER_S:
    _refuse(owner, place)
  generation = _write(url, run_id, found.generation)
  if generation is None:  # another one was quicker
    _refuse(None, place)
  return generation, owner


def _write(url: str, run_id: str, replaced: int) -> int | None:
  return object_store.write_file(url, io.BytesIO(_told(run_id).encode()), replaced)


class _Lease(threading.Thread):
  """Writes the lock again and again, so that nobody takes its owner for dead."""

  def __init__(self, url: str, run_id: str, generation: int, lock: Lock) -> None:
    super().__init__(daemon=True)
    self._url, self._run_id, self._generation, self._lock = url, run_id, generation, lock
    self._ended = threading.Event()
    self._renewed = time.monotonic()

  def run(self) -> None:
    """Renews until the end, or until the lease is lost; a store that does not answer is asked again."""
    while not self._ended.wait(RENEWED_EVERY_S) and not self._lock.lost.is_set():
      try:
        self._renew()
      except OSError as error:
        _LOG.warning('the lock could not be renewed (%s); trying again', type(error).__name__)
      if time.monotonic() - self._renewed > STALE_AFTER_S - 2 * RENEWED_EVERY_S:  # before others may think so
        self._lock.lost.set()

  def _renew(self) -> None:
    generation = _write(self._url, self._run_id, self._generation) or self._of_lost_answer()
    if generation is None:
      self._lock.lost.set()
    else:
      self._generation, self._renewed = generation, time.monotonic()

  def _of_lost_answer(self) -> int | None:
    """A write that succeeded without an answer was tried again, and then met its own generation."""
    found = object_store.find(self._url)
    return found.generation if found and _owner(storage.read_bytes(self._url)) == self._run_id else None

  def end(self) -> None:
    """Gives the lock back, if it is still this run's."""
    self._ended.set()
    self.join()
    object_store.delete(self._url, self._generation)
