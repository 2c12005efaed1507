import errno
import os
import traceback
from collections.abc import Callable

import pytest

from model.bundle import BundleError
from model.dataset import DatasetError
from pipelines.exits import Exit, NothingToDo, TooManyRejects, UsageError, is_caused_by, user_message
from transforms.identifiers import KeyFileError
from transforms.labels import LabelError

Wrap = Callable[[Exception], Exception]

_INPUTS = ('/inbox', '/other/*.zip', './near/', '././here*/x', 'gs://site/in', '*.tar')


def system_error(number: int, path: str | None = None) -> OSError:
  return OSError(number, os.strerror(number), path)


def as_beam(error: Exception) -> RuntimeError:
  """As Beam's in-process engine raises what a worker raised: the traceback is the text."""
  try:
    raise error
  except Exception as raised:
    text = ''.join(traceback.format_exception(raised)).rstrip('\n')
    return RuntimeError(f"{text} [while running 'WriteShards/WriteShard-ptransform-42']")


def caused(error: Exception) -> RuntimeError:
  outer = RuntimeError('the pipeline failed')
  outer.__cause__ = error
  return outer


def in_context(error: Exception) -> RuntimeError:
  outer = RuntimeError('while handling')
  outer.__context__ = error
  return outer


_CAUSED_BY_USERS: list[tuple[Exception, Exit, str]] = [
  (UsageError('found a, expected b'), Exit.USAGE, 'found a, expected b'),
  (NothingToDo('no file'), Exit.NOTHING_TO_DO, 'no file'),
  (TooManyRejects('30 %: too many'), Exit.TOO_MANY_REJECTS, '30 %: too many'),
  (KeyFileError('too short'), Exit.USAGE, 'too short'),
  (LabelError('line 3'), Exit.USAGE, 'line 3'),
  (BundleError('digest'), Exit.USAGE, 'digest'),
  (DatasetError('no labels'), Exit.USAGE, 'no labels'),
  (system_error(errno.ENOSPC, '/out/x'), Exit.CRASHED, 'the disk of /out/x is full'),
  (system_error(errno.EDQUOT), Exit.CRASHED, 'a disk is full'),
  (system_error(errno.EACCES, '/out'), Exit.USAGE, 'no access to /out (Permission denied)'),
  (system_error(errno.EROFS, '/out'), Exit.USAGE, 'no access to /out (Read-only file system)'),
]


@pytest.mark.parametrize(
  'wrap', [lambda error: error, as_beam, caused, in_context], ids=['raw', 'beam', 'cause', 'context']
)
@pytest.mark.parametrize(('error', 'code', 'text'), _CAUSED_BY_USERS, ids=lambda value: getattr(value, 'name', ''))
def test_what_a_user_causes_is_found(wrap: Wrap, error: Exception, code: Exit, text: str) -> None:
  found = user_message(wrap(error))
  assert found is not None
  assert found[0] == code
  assert found[1].startswith(text)
  assert 'while running' not in found[1]


@pytest.mark.parametrize(
  'error',
  [
    ValueError('a bug'),
    as_beam(KeyError('a bug')),
    system_error(errno.EBADF),
    FileNotFoundError(errno.ENOENT, 'No such file', '/x'),
    RuntimeError('speaks of a UsageError: in the middle of a line'),
  ],
)
def test_a_bug_is_not_the_users(error: Exception) -> None:
  assert user_message(error) is None


def test_a_context_that_was_dropped_on_purpose_does_not_count() -> None:
  error = in_context(UsageError('handled already'))
  error.__suppress_context__ = True
  assert user_message(error) is None


def test_tensorflow_speaks_of_a_full_disk_in_its_own_words() -> None:
  found = user_message(RuntimeError('RESOURCE_EXHAUSTED: /out/variables; No space left on device [Op:SaveV2]'))
  assert found is not None
  assert found[0] == Exit.CRASHED


@pytest.mark.parametrize(
  ('path', 'shown'),
  [
    ('/inbox', '/inbox'),
    ('/inbox/DOE^JOHN/1.dcm', 'a file of /inbox'),
    ('/other/DOE.zip', 'a file of /other/*.zip'),
    ('DOE.tar', 'a file of *.tar'),
    ('/out/part-0', '/out/part-0'),
    ('/inbox-of-rows/part-0', '/inbox-of-rows/part-0'),
    ('near/DOE/1.dcm', 'a file of ./near/'),
    ('here/DOE/1.dcm', 'a file of ././here*/x'),
    ('gs://site/in/DOE/1.dcm', 'a file of gs://site/in'),
  ],
)
@pytest.mark.parametrize('wrap', [lambda error: error, as_beam], ids=['raw', 'beam'])
def test_names_of_input_files_are_not_shown(wrap: Wrap, path: str, shown: str) -> None:
  found = user_message(wrap(system_error(errno.EACCES, path)), _INPUTS)
  assert found is not None
  assert found[1].startswith(f'no access to {shown} (')


@pytest.mark.parametrize('wrap', [lambda error: error, as_beam, caused], ids=['raw', 'beam', 'cause'])
def test_what_a_worker_raised_is_known_by_its_name(wrap: Wrap) -> None:
  assert is_caused_by(wrap(LabelError('line 3')), 'LabelError')
  assert not is_caused_by(wrap(UsageError('speaks of a LabelError: of line 3')), 'LabelError')
