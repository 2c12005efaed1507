"""The one boundary around an image: a defect of ours, or of a library, costs that image and not the night.

Everywhere else a bug ends the run. Whoever publishes looks at how many images
ended here: many are a broken program, and no result (`pipelines.staging`).
"""

import pathlib
import traceback
from collections.abc import Callable
from typing import Final, TypeVar

from transforms.errors import InputError, MachineError

T = TypeVar('T')
INTERNAL: Final = 'internal-error'
_ROOT: Final = pathlib.Path(__file__).parent.parent
_OURS: Final = tuple(f'{_ROOT / name}/' for name in ('pipelines', 'transforms', 'model'))


def guarded(work: Callable[[], T]) -> T:
  """Runs a part of the work on one image.

  Raises:
    InputError: of the work itself; `internal-error` in the place of any other exception.
    MachineError, MemoryError: of the work; they tell about the machine, and not about the image.
  """
  try:
    return work()
  except (InputError, MachineError, MemoryError):
    raise
  except Exception as error:
    raise InputError(INTERNAL, kind_and_place(error)) from None


def kind_and_place(error: BaseException) -> str:
  """The kind of an exception and where in our code it came up; its text may quote the input, and is left out."""
  frames = traceback.extract_tb(error.__traceback__)
  ours = [frame for frame in frames if frame.filename.startswith(_OURS)]
  if not ours:
    return type(error).__name__
  place = pathlib.Path(ours[-1].filename).relative_to(_ROOT)
  return f'{type(error).__name__} at {place}:{ours[-1].lineno}'
