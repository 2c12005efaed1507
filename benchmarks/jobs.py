"""Jobs of radbeam as several benchmarks run them, by the recipe for chest radiographs."""

import json
import pathlib
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.measure import RADBEAM

RECIPE: Final = pathlib.Path(__file__).parent.parent / 'recipes/chest_single.yaml'
IMAGE_SIZE_PX: Final = 160
ALL_PARTS: Final = ('--augment_without=',)  # of the augmentation, of which the recipe leaves some out


@dataclass(frozen=True, slots=True)
class Cost:
  """What a command took: of all its processes together, and of the clock."""

  cpu_min: float
  wall_min: float


def run(*arguments: str) -> Cost:
  """Runs a job of radbeam to its end.

  Raises:
    CalledProcessError: if it fails.
  """
  before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
  subprocess.run([*RADBEAM, *arguments], check=True)
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
  return Cost(round(cpu_s / 60, 2), round((time.monotonic() - started) / 60, 2))


def zips_in(data: pathlib.Path) -> list[pathlib.Path]:
  """The archives of the training images.

  Raises:
    SystemExit: if there is none.
  """
  zips = sorted(data.rglob('*.zip'))
  if not zips:
    raise SystemExit(f'{data} holds no zip; give the folder with the zips of the training images')
  return zips


def ingest(zips: Sequence[pathlib.Path], dataset: pathlib.Path, labels: str, val_fraction: str, *more: str) -> Cost:
  """All images are for training and validation: the official test split is elsewhere."""
  inputs = [part for path in zips for part in ('--input', str(path))]
  splits = ['--val_fraction', val_fraction, '--test_fraction', '0']
  target = ['--image_size', str(IMAGE_SIZE_PX), '--output', str(dataset), '--overwrite']
  return run('ingest', *inputs, '--labels', labels, *splits, *target, *more)


def train(dataset: pathlib.Path, bundle: pathlib.Path, *more: str) -> Cost:
  """One network by the recipe for chest radiographs, and by what is said instead of it."""
  target = ['--dataset', str(dataset), '--bundle', str(bundle), '--overwrite']
  return run('train', *target, '--config', str(RECIPE), '--name', bundle.name, *more)


def fold_flags(fold: int, folds: int) -> tuple[str, ...]:
  """Of `radbeam train`: a fold, and a seed of its own."""
  return ('--fold', str(fold), '--folds', str(folds), '--seed', str(fold))


def train_missing(dataset: pathlib.Path, bundle: pathlib.Path, *more: str) -> None:
  """One network, unless its bundle is there."""
  if not (bundle / 'bundle.json').exists():
    train(dataset, bundle, *more)


def keep_settings(output: pathlib.Path, settings: Mapping[str, Any]) -> None:
  """Makes the folder of a benchmark that goes on with what it finds there, with what all of it was made by.

  Raises:
    SystemExit: if it holds what was made otherwise.
  """
  output.mkdir(parents=True, exist_ok=True)
  path, text = output / 'settings.json', json.dumps(settings)
  if not path.exists():
    path.write_text(text)
  elif (found := path.read_text()) != text:
    raise SystemExit(f'{output} holds results by {found}, expected {text}; give another --output')
