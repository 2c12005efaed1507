"""A Dockerfile as its instructions, for tests that cannot build it."""

import pathlib
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instruction:
  """`name` in capitals, and what follows it on one line."""

  name: str
  value: str


@dataclass(frozen=True, slots=True)
class Stage:
  """What is between one FROM and the next."""

  base: str
  name: str
  instructions: tuple[Instruction, ...]

  def values(self, name: str) -> list[str]:
    return [one.value for one in self.instructions if one.name == name]


def read(path: pathlib.Path) -> list[Stage]:
  """The stages of a Dockerfile in their order."""
  text = re.sub(r'^\s*#.*\n', '', path.read_text(encoding='utf-8'), flags=re.M).replace('\\\n', ' ')
  lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
  instructions = [Instruction(name.upper(), re.sub(r'\s+', ' ', value)) for name, value in lines]
  starts = [number for number, one in enumerate(instructions) if one.name == 'FROM']
  stages = []
  for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
    base, _, name = instructions[start].value.partition(' AS ')
    stages.append(Stage(base, name, tuple(instructions[start + 1 : end])))
  return stages


def sources(stage: Stage) -> list[str]:
  """What is copied from the clone."""
  copies = [value.split() for value in stage.values('COPY') if not value.startswith('--from=')]
  return [source for words in copies for source in words[:-1]]
