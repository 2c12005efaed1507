"""How a job ends: exit codes that a scheduler can act on, and the errors that lead to them.

What a user can cause is one line of text, never a traceback. `user_message`
finds it, also where Beam's in-process engine re-raises the exception of a
worker as a `RuntimeError` whose text is the worker's traceback.
"""

import enum
import errno
import os
import re
from collections.abc import Iterator, Sequence
from typing import Final


class Exit(enum.IntEnum):
  """Exit codes, the same for every job."""

  DONE = 0
  CRASHED = 1
  USAGE = 2
  NOTHING_TO_DO = 3
  TOO_MANY_REJECTS = 4
  LOCKED = 5
  DEADLINE = 6
  ALARM = 7


class UsageError(ValueError):
  """What the user gave cannot be used: the text says what was found, what was expected, what to do."""


class NothingToDo(Exception):  # noqa: N818 - no error
  """The inputs hold nothing to work on; a run record is written nevertheless."""


class TooManyRejects(Exception):  # noqa: N818 - named like its exit code
  """More rejects than --max_reject_ratio allows; what is right is published nevertheless."""


class TooManyFailures(Exception):  # noqa: N818 - named like its twin
  """radbeam failed on more images than can be a few odd ones; nothing is published."""


class Locked(Exception):  # noqa: N818 - named like its exit code
  """Another run is at work on the same output."""


# By name: the errors of `model` and `transforms` are recognised without loading TensorFlow or numpy,
# and those of a worker have nothing but a name.
_EXITS: Final = {
  'UsageError': Exit.USAGE,
  'NothingToDo': Exit.NOTHING_TO_DO,
  'TooManyRejects': Exit.TOO_MANY_REJECTS,
  'Locked': Exit.LOCKED,
  'KeyFileError': Exit.USAGE,
  'LabelError': Exit.USAGE,
  'DamagedRecordError': Exit.USAGE,
  'RulesError': Exit.USAGE,
  'BundleError': Exit.USAGE,
  'DatasetError': Exit.USAGE,
  'NetworkError': Exit.USAGE,
  'ClusterError': Exit.USAGE,
  'TooManyFailures': Exit.CRASHED,
  'TrainingError': Exit.CRASHED,
  'WorkerLostError': Exit.CRASHED,
}
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)

# The last line of a traceback, such as `builtins.ValueError: text [while running 'Step-ptransform-7']`.
_RAISED: Final = re.compile(r"^(?:[\w.]+\.)?(\w+): (.*?)(?: \[while running '[^']*'\])?$", re.MULTILINE)
_STEP: Final = re.compile(r" \[while running '[^']*'\]$")  # Beam adds it, also where it keeps the type
_ERRNO: Final = re.compile(r"\[Errno (\d+)\][^:]*(?:: '([^']*)')?")
_FULL_TEXT: Final = os.strerror(errno.ENOSPC)


def user_message(error: BaseException, inputs: Sequence[str] = ()) -> tuple[Exit, str] | None:
  """Finds what a user has caused and can mend.

  Args:
    error: what a job raised; its causes and contexts are looked at too.
    inputs: the paths given as --input. The names of files below them may
      name patients, so that only the input itself is named.

  Returns:
    The exit code and the text for stderr; None for everything else: a bug,
    which deserves its traceback.
  """
  for one in _chain(error):
    found = _of_exception(one, inputs) or _of_worker(str(one), inputs)
    if found:
      return found
  return None


def is_caused_by(error: BaseException, name: str) -> bool:
  """Whether an error of this name is what a job raised, or a worker of its engine."""
  return any(
    type(one).__name__ == name or any(raised[1] == name for raised in _RAISED.finditer(str(one)))
    for one in _chain(error)
  )


def _chain(error: BaseException) -> Iterator[BaseException]:
  following: BaseException | None = error
  seen: set[int] = set()
  while following is not None and id(following) not in seen:
    seen.add(id(following))
    yield following
    following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _of_exception(error: BaseException, inputs: Sequence[str]) -> tuple[Exit, str] | None:
  name = type(error).__name__
  if name in _EXITS:
    return _EXITS[name], _STEP.sub('', str(error))
  if isinstance(error, OSError):
    path = error.filename if isinstance(error.filename, str) else None
    return _of_system(error.errno, path, inputs)
  return None


def _of_worker(text: str, inputs: Sequence[str]) -> tuple[Exit, str] | None:
  """Reads the text of an exception: the last line that names an error of ours, or of the system."""
  for raised in reversed(list(_RAISED.finditer(text))):
    name, message = raised.groups()
    if name in _EXITS:
      return _EXITS[name], message
    system = _ERRNO.search(message)
    found = _of_system(int(system[1]), system[2], inputs) if system else None
    if found:
      return found
  return _of_system(errno.ENOSPC, None, inputs) if _FULL_TEXT in text else None  # TensorFlow has errors of its own


def _of_system(number: int | None, path: str | None, inputs: Sequence[str]) -> tuple[Exit, str] | None:
  if number in _FULL:
    place = f'the disk of {path}' if path else 'a disk'
    return Exit.CRASHED, f'{place} is full ({os.strerror(number)}); free some space and run the same command again'
  if number == errno.ENOENT and path and path.startswith('gs://'):
    return Exit.USAGE, f'{_nameable(path, inputs)} is not there, or its bucket is not; make it, or name another'
  if number in _FORBIDDEN:
    place = _nameable(path, inputs)
    return Exit.USAGE, f'no access to {place} ({os.strerror(number)}); change its permissions, or name another'
  return None


def _nameable(path: str | None, inputs: Sequence[str]) -> str:
  """A path as it may be shown: what lies below an input, or matches its glob, is known by the input."""
  if path is None:
    return 'a file'
  below = (given for given in inputs if _plain(path) != _plain(given) and _is_below(path, given))
  return next((f'a file of {given}' for given in below), path)


def _is_below(path: str, given: str) -> bool:
  fixed, *pattern = re.split(r'[*?[]', given, maxsplit=1)
  start = _plain(fixed)
  if start and not pattern:
    start = start.rstrip('/') + '/'
  return _plain(path).startswith(start) and (start != '' or not os.path.isabs(path))


def _plain(path: str) -> str:
  """A path without what does not change it: `./`, `//`, and a slash at the end."""
  return path if '://' in path or not path else os.path.normpath(path).removeprefix('.')
