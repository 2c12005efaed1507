"""Which parts of the strong augmentation matter: the recipe for chest radiographs with all groups, and without each.

`python -m benchmarks.ablation --dataset DIR --output DIR` trains each variant
once for each of three folds of the patients, each fold with a seed of its own,
for fewer steps than the recipe has, and writes `ablation.json`: ROC AUC on the
patients held out, as they are and under shift. All variants see the same folds
and seeds. A bundle that is there already is not trained again.
"""

import argparse
import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.jobs import ALL_PARTS, fold_flags, keep_settings, train_missing
from model.dataset import open_dataset

FOLDS: Final = 5
VARIANTS: Final[Mapping[str, Sequence[str]]] = {
  'without geometry': ('mirror', 'rotation_degrees', 'zoom', 'aspect', 'shear', 'shift'),
  'without equalisation': ('clahe', 'equalise'),
  'without sharpness': ('blur', 'resample', 'sharpen'),
  'without tone': ('gamma', 'contrast', 'brightness'),
  'without noise': ('noise',),
  'without objects': ('boxes', 'borders', 'markers'),
}
STRENGTHS: Final = ('strong', 'light', 'none')
ROWS: Final = ('as it is', 'pooled', 'all at once')
Figures = dict[str, dict[str, list[float]]]


def flags() -> dict[str, list[str]]:
  """Of `radbeam train`, by variant."""
  without = {name: [word for part in parts for word in ('--augment_without', part)] for name, parts in VARIANTS.items()}
  strengths = {name: ['--augment', name, *ALL_PARTS] for name in STRENGTHS}
  return strengths | without


def roc_auc(bundle: pathlib.Path) -> dict[str, float]:
  """By row of the table of shifted validation."""
  table = json.loads((bundle / 'evaluation/shifted.json').read_text())
  return {row['name']: row['roc_auc'] for row in table['rows'] if row['name'] in ROWS}


def ablate(dataset: pathlib.Path, output: pathlib.Path, folds: Sequence[int], steps: int) -> Figures:
  """Trains what is not there yet; by variant and row, a figure a fold."""
  figures: Figures = {}
  length = ('--steps', str(steps), '--validate_every', str(steps), '--views', 'one')
  for fold in folds:
    for name, variant in flags().items():
      bundle = output / f'{name.replace(" ", "-")}-{fold}'
      train_missing(dataset, bundle, *fold_flags(fold, FOLDS), *length, *variant)
      for row, value in roc_auc(bundle).items():
        figures.setdefault(name, {}).setdefault(row, []).append(value)
      (output / 'ablation.json').write_text(json.dumps(figures, indent=2) + '\n')
  return figures


def line(name: str, rows: Mapping[str, Sequence[float]]) -> str:
  """Of the table in the documentation: the mean of the folds, and each of them where it counts."""
  means = [f'{statistics.mean(rows[row]):.4f}' for row in ROWS]
  return f'| {name} | {" | ".join(means)} | {", ".join(f"{value:.4f}" for value in rows[ROWS[-1]])} |'


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--dataset', type=pathlib.Path, required=True, help='of `radbeam ingest`; small images save time')
  parser.add_argument('--output', type=pathlib.Path, required=True)
  parser.add_argument('--folds', type=int, nargs='+', default=[1, 2, 3], help=f'of {FOLDS}; each is its own seed')
  parser.add_argument('--steps', type=int, default=150)
  given = parser.parse_args()
  keep_settings(given.output, {'dataset': open_dataset(given.dataset).digest, 'steps': given.steps})
  for name, rows in ablate(given.dataset, given.output, given.folds, given.steps).items():
    print(line(name, rows))


if __name__ == '__main__':
  main()
