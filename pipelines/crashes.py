"""The traceback of a defect as it may stand in a log: where it happened, but no text that may quote the input."""

import pathlib
import re
import traceback
from collections.abc import Iterator
from typing import Final

_OURS: Final = tuple(str(pathlib.Path(__file__).parent.parent / name) for name in ('pipelines', 'transforms', 'model'))
_FRAME: Final = re.compile(r'^  File "[^"\n]+", line \d+, in [\w.<>]+\n(?:    .*\n)*', re.MULTILINE)


def traceback_without_texts(error: BaseException) -> str:
  """Frames and types of an exception and of what led to it.

  An exception's text is shown where a `raise` of ours wrote it: figures and
  names of fields, never of patients. Those of the interpreter and of
  libraries quote keys, values and paths. Where an engine puts the traceback
  of a worker into the text, its frames are kept.
  """
  return '\n'.join(part for one in reversed(list(_chain(error))) for part in _lines(one))


def _chain(error: BaseException) -> Iterator[BaseException]:
  following: BaseException | None = error
  while following is not None:
    yield following
    following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _lines(error: BaseException) -> Iterator[str]:
  yield 'Traceback (most recent call last):'
  yield ''.join(traceback.format_tb(error.__traceback__)).rstrip('\n')
  yield from (frame.rstrip('\n') for frame in _FRAME.findall(str(error)))
  text = str(error) if _is_ours(error) else '(text withheld, since it may quote the input)'
  yield f'{type(error).__name__}: {text}'


def _is_ours(error: BaseException) -> bool:
  frames = traceback.extract_tb(error.__traceback__)
  return bool(frames) and frames[-1].filename.startswith(_OURS) and (frames[-1].line or '').startswith('raise ')
