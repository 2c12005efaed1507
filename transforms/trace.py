"""The steps of the pixel chain as they are taken, for a person who asks; costs next to nothing while nobody does.

The code that takes a step notes it, so that what is said is what was done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_STEPS: Final[ContextVar[list[str] | None]] = ContextVar('steps', default=None)


@contextmanager
def recorded_steps() -> Iterator[list[str]]:
  """The list that steps are added to, in the order in which this thread takes them while the block runs."""
  steps: list[str] = []
  token = _STEPS.set(steps)
  try:
    yield steps
  finally:
    _STEPS.reset(token)


def note_step(text: str, *values: object) -> None:
  """Says that a step was taken.

  Args:
    text: with a `{}` for each value. Like all that leaves the chain it holds
      figures and names of fields, never text of the input.
    values: formatted only where somebody listens; numbers in their shortest form.
  """
  steps = _STEPS.get()
  if steps is not None:
    steps.append(text.format(*map(_shown, values)))


def _shown(value: object) -> str:
  return f'{value:g}' if isinstance(value, float) else str(value)
