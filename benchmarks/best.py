"""The best network and the best ensemble on chest radiographs, from the zips, with the threshold rule of their recipes.

`python -m benchmarks.best --data DIR --output DIR` writes `single/` and
`ensemble/`, two bundles, and `best.json`: validation as it is, under shift
and, of the ensemble, out of fold, and the CPU time of each training.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.measure import RADBEAM
from benchmarks.real_data import PATIENT

RECIPE: Final = pathlib.Path(__file__).parent.parent / 'recipes/chest_single.yaml'
IMAGE_SIZE_PX: Final = 160

ALL_PARTS: Final = ('--augment_without=',)  # of the augmentation, of which the recipe leaves the geometry out

_SHORT: Final = ('--steps', '250', '--validate_every', '250')
_LITE0: Final = (*ALL_PARTS, *_SHORT)
_LITE1: Final = ('--architecture', 'efficientnet_lite1', *_SHORT)
_LITE2: Final = ('--architecture', 'efficientnet_lite2', *_SHORT)
MEMBERS: Final = ((_LITE0, _LITE1), (_LITE0, _LITE2), (_LITE0, _LITE1))  # by fold; errors that differ cancel out


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


def ensemble(dataset: pathlib.Path, members: Sequence[pathlib.Path], bundle: pathlib.Path) -> Cost:
  """One bundle of all members; each image is judged by the members that were not trained on it."""
  given = [part for member in members for part in ('--bundle', str(member))]
  rule = ['--threshold_rule', 'balanced', '--threshold_on', 'shifted', '--calibration', 'temperature']
  target = ['--dataset', str(dataset), '--output', str(bundle), '--overwrite', '--name', bundle.name]
  return run('ensemble', *given, *rule, *target)


def validation(bundle: pathlib.Path) -> dict[str, Any]:
  """What the bundle says of its validation: as it is, and under shift."""
  figures = {'threshold': json.loads((bundle / 'bundle.json').read_text())['threshold']}
  for name in ('validation', 'shifted'):
    metrics = json.loads((bundle / f'evaluation/{name}.json').read_text())
    figures[name] = metrics.get('summary', metrics)
  return figures


def build(data: pathlib.Path, output: pathlib.Path, seeds: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
  """Everything, one result after the other."""
  dataset = output / 'dataset'
  yield 'ingest', asdict(ingest(zips_in(data), dataset, 'folder', '0.1', '--patient_pattern', PATIENT))
  for seed in seeds:
    bundle = output / ('single' if seed == seeds[0] else f'single-{seed}')
    yield bundle.name, asdict(train(dataset, bundle, '--seed', str(seed))) | validation(bundle)
  members = []
  for fold, pair in enumerate(MEMBERS, 1):
    for letter, flags in zip('ab', pair, strict=True):
      members.append(output / f'member-{fold}{letter}')
      cost = train(dataset, members[-1], *fold_flags(fold, len(MEMBERS)), *flags)
      yield members[-1].name, asdict(cost) | validation(members[-1])
  bundle = output / 'ensemble'
  yield bundle.name, asdict(ensemble(dataset, members, bundle)) | validation(bundle)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--data', type=pathlib.Path, required=True, help='folder with the zips of the training images')
  parser.add_argument('--output', type=pathlib.Path, required=True)
  parser.add_argument('--seeds', type=int, nargs='+', default=[1], help='of the single network; one bundle each')
  given = parser.parse_args()
  results: dict[str, Any] = {}
  for name, figures in build(given.data, given.output, given.seeds):
    results[name] = figures
    print(name, json.dumps(figures), flush=True)
    (given.output / 'best.json').write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
  main()
