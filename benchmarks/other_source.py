"""Which augmentation holds on images of another source: training images that were taken apart by their names.

  python -m benchmarks.other_source --data DIR --output DIR --variant strong --variant 'without geometry'

`--data` holds the zips of the training images of Kermany et al. (2018). Their
names tell two series of normal images and two kinds of pneumonia apart: networks
are trained on the series `IM` and the patients with bacterial images, and
evaluated on the series `NORMAL2` and the patients that have viral ones alone.
They number the patients, too: with `--apart numbers` networks are evaluated on
the lowest numbers, next to those of the normal images of the official test set,
which are lower still. With `--swapped` the other way round.

Trains each variant of `benchmarks.ablation`, or by what else `--flags` says, for
fewer steps than the recipe has, once a seed, and writes `other_source.json`. A
bundle that is there already is not trained again.
"""

import argparse
import csv
import itertools
import json
import pathlib
import re
import shlex
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from benchmarks.ablation import flags
from benchmarks.jobs import ingest, keep_settings, run, train_missing, zips_in
from benchmarks.real_data import patient_of

Source = Literal['known', 'other']
Apart = Literal['series', 'numbers']

VAL_FRACTION: Final[Mapping[Source, str]] = {'known': '0.1', 'other': '0'}
LOWEST: Final[Mapping[str, int]] = {'IM-': 300, 'NORMAL2-IM-': 600, 'person': 250}  # lower ones are the other source


@dataclass(frozen=True, slots=True)
class Member:
  """An image of a zip, by its name."""

  name: str
  label: str
  patient: str


def members(zips: Iterable[pathlib.Path]) -> Iterator[Member]:
  """The images; the folder is the label."""
  for path in zips:
    with zipfile.ZipFile(path) as archive:
      for name in archive.namelist():
        if patient := patient_of(name):
          yield Member(name, pathlib.PurePosixPath(name).parent.name, patient)


def of_first_series(patient: str, images: Sequence[Member]) -> bool:
  """Normal images of the series `IM`, and patients with bacterial ones."""
  return patient.startswith('IM') or any('bacteria' in image.name for image in images)


def of_high_number(patient: str, _: Sequence[Member]) -> bool:
  """All but the lowest numbers of each series."""
  series = patient.rstrip('0123456789')
  return int(patient.removeprefix(series)) >= LOWEST[series]


KNOWN: Final[Mapping[Apart, Callable[[str, Sequence[Member]], bool]]] = {
  'series': of_first_series,
  'numbers': of_high_number,
}


def by_source(images: Iterable[Member], apart: Apart, swapped: bool) -> dict[Source, list[Member]]:
  """Whole patients."""
  patients: dict[str, list[Member]] = defaultdict(list)
  for image in images:
    patients[image.patient].append(image)
  sources: dict[Source, list[Member]] = {'known': [], 'other': []}
  for patient, own in patients.items():
    sources['other' if KNOWN[apart](patient, own) == swapped else 'known'] += own
  return sources


def write_labels(images: Iterable[Member], path: pathlib.Path) -> None:
  """The labels of some images, in the form of `radbeam ingest`; it skips all others."""
  with path.open('w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(('member', 'label', 'patient'))
    writer.writerows((image.name, image.label, image.patient) for image in images)


def ingest_both(data: pathlib.Path, output: pathlib.Path, apart: Apart, swapped: bool) -> dict[Source, pathlib.Path]:
  """A dataset of either source."""
  zips = zips_in(data)
  datasets: dict[Source, pathlib.Path] = {'known': output / 'known', 'other': output / 'other'}
  for source, images in by_source(members(zips), apart, swapped).items():
    if not (datasets[source] / 'dataset.json').exists():
      labels = output / f'{source}.csv'
      write_labels(images, labels)
      ingest(zips, datasets[source], str(labels), VAL_FRACTION[source])
  return datasets


def evaluate(bundle: pathlib.Path, dataset: pathlib.Path) -> dict[str, Any]:
  """ROC AUC on the other source, and sensitivity (recall) and specificity at the threshold of the bundle."""
  report = bundle.with_name(f'{bundle.name}-other')
  if not (report / 'metrics.json').exists():
    run('evaluate', '--bundle', str(bundle), '--dataset', str(dataset), '--split', 'train', '--output', str(report))
  metrics: dict[str, Any] = json.loads((report / 'metrics.json').read_text())['metrics']
  return {name: metrics['summary'][name] for name in ('roc_auc', 'recall', 'specificity')}


def wanted(variants: Sequence[str] | None, more: Sequence[str] | None) -> dict[str, list[str]]:
  """Flags of `radbeam train`, by variant, or by themselves; all variants, where nothing is wanted."""
  every = flags()
  named = variants or ([] if more else every)
  return {name: every[name] for name in named} | {text: shlex.split(text) for text in more or ()}


def compare(
  datasets: Mapping[Source, pathlib.Path],
  output: pathlib.Path,
  runs: Iterable[tuple[tuple[str, list[str]], int]],
  steps: int,
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Trains and evaluates what is not there yet of variants and seeds."""
  length = ('--steps', str(steps), '--validate_every', str(steps))
  for (name, given), seed in runs:
    bundle = output / f'{re.sub("[^A-Za-z0-9._]+", "-", name).strip("-")}-{seed}'
    train_missing(datasets['known'], bundle, '--seed', str(seed), *length, *given)
    yield name, evaluate(bundle, datasets['other'])


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--data', type=pathlib.Path, required=True, help='folder with the zips of the training images')
  parser.add_argument('--output', type=pathlib.Path, required=True)
  parser.add_argument(
    '--variant', choices=flags(), action='append', help='may be given several times; all, without --flags'
  )
  parser.add_argument('--flags', action='append', help="of radbeam train, in one word: --flags='--label_smoothing 0'")
  parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2])
  parser.add_argument('--steps', type=int, default=250)
  parser.add_argument('--apart', choices=get_args(Apart), default='series', help='what the two sources are')
  parser.add_argument('--swapped', action='store_true', help='train on the second half, evaluate on the first')
  given = parser.parse_args()
  keep_settings(given.output, {'steps': given.steps, 'apart': given.apart, 'swapped': given.swapped})
  found: dict[str, list[dict[str, Any]]] = defaultdict(list)
  datasets = ingest_both(given.data, given.output, given.apart, given.swapped)
  runs = itertools.product(wanted(given.variant, given.flags).items(), given.seeds)
  for name, figures in compare(datasets, given.output, runs, given.steps):
    found[name].append(figures)
    print(name, json.dumps(figures), flush=True)
    (given.output / 'other_source.json').write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
  main()
