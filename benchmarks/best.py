"""The best network and the best ensemble on chest radiographs, from the zips, with the threshold rule of their recipes.

`python -m benchmarks.best --data DIR --output DIR` writes `single/` and
`ensemble/`, two bundles, and `best.json`: validation as it is, under shift
and, of the ensemble, out of fold, and the CPU time of each training.
"""

import argparse
import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from benchmarks.jobs import Cost, fold_flags, ingest, run, train, zips_in
from benchmarks.real_data import PATIENT

_LITE0: Final = ('--steps', '250', '--validate_every', '250')
_LITE1: Final = ('--architecture', 'efficientnet_lite1', *_LITE0)
MEMBERS: Final = (_LITE0, _LITE1)  # of each fold; errors that differ cancel out
FOLDS: Final = 3


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
  for fold, (letter, flags) in itertools.product(range(1, FOLDS + 1), zip('ab', MEMBERS, strict=True)):
    members.append(output / f'member-{fold}{letter}')
    cost = train(dataset, members[-1], *fold_flags(fold, FOLDS), *flags)
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
