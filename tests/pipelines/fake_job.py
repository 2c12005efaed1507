"""A job that does as it is told, for tests of the command line."""

import types
from typing import Any

from pipelines.exits import Exit


class FakeJob(types.ModuleType):
  """Stands for the module of a job: keeps what it is run with, then does as told."""

  def __init__(self) -> None:
    super().__init__('fake')
    self.calls: list[tuple[Any, list[str]]] = []
    self.result: int | BaseException = Exit.DONE

  def run(self, options: object, beam_args: list[str]) -> int:
    self.calls.append((options, beam_args))
    if isinstance(self.result, BaseException):
      raise self.result
    return self.result
