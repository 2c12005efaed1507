"""The whole job on the real chest X-rays and DICOM samples, with the figures that must hold.

  python -m benchmarks.real_data --data DIR --output DIR

`--data` holds `chest_xray_train/*.zip` (Kermany et al. 2018; the patient is in
the member names) and `dicom_samples/` with its `manifest.csv`.
"""

import argparse
import csv
import json
import pathlib
import re
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import duckdb

from pipelines.cli import main as radbeam

PATIENT = r'(?P<patient>person\d+|(?:NORMAL2-)?IM-\d+)'
_MAX_TRAINING_S = 20 * 60
_MIN_VALIDATION_AUC = 0.98


class Figures:
  """Prints each figure with what it must be, and remembers whether all hold."""

  def __init__(self) -> None:
    self.failed = False

  def check(self, what: str, found: object, holds: bool) -> None:
    """One line."""
    self.failed |= not holds
    print(f'{"ok  " if holds else "MISS"}  {what}: {found}', flush=True)


def query(sql: str) -> list[tuple[Any, ...]]:
  """Rows of a DuckDB statement."""
  return duckdb.connect().execute(sql).fetchall()


def job(*arguments: str) -> float:
  """Runs a job; returns its seconds.

  Raises:
    SystemExit: if it fails.
  """
  started = time.perf_counter()
  code = radbeam(list(arguments))
  if code:
    raise SystemExit(f'radbeam {arguments[0]} ended with {code}')
  return time.perf_counter() - started


def chest_xrays(data: pathlib.Path, output: pathlib.Path, figures: Figures) -> None:
  """Ingest, train, evaluate and score all zips."""
  zips = sorted((data / 'chest_xray_train').glob('*.zip'))
  members = sum(not info.is_dir() for path in zips for info in zipfile.ZipFile(path).infolist())
  inputs, dataset, bundle = str(data / 'chest_xray_train'), str(output / 'dataset'), str(output / 'bundle')
  crosswalk = str(output / 'crosswalk')
  ingested = ['--labels', 'folder', '--patient_pattern', PATIENT, '--crosswalk', crosswalk]
  figures.check('ingest, seconds', round(job('ingest', '--input', inputs, *ingested, '--output', dataset)), True)
  check_sources(f'{dataset}/index/*.parquet', members, 'index', figures)
  overlaps = split_overlaps(f'{dataset}/index/*.parquet', f'{crosswalk}/*.parquet')
  figures.check(f'patients in more than one split, of {members} images', overlaps, overlaps == 0)
  seconds = job('train', '--dataset', dataset, '--bundle', bundle, '--architecture', 'cnn')
  auc = json.loads(pathlib.Path(bundle, 'bundle.json').read_text())['metrics']['summary']['roc_auc']
  figures.check(f'cnn, validation AUC (at least {_MIN_VALIDATION_AUC})', f'{auc:.4f}', auc >= _MIN_VALIDATION_AUC)
  figures.check(f'training, seconds (at most {_MAX_TRAINING_S})', round(seconds), seconds <= _MAX_TRAINING_S)
  job('evaluate', '--dataset', dataset, '--bundle', bundle, '--output', str(output / 'evaluation'))
  figures.check(
    'score, seconds',
    round(job('score', '--input', inputs, '--bundle', bundle, '--output', str(output / 'scores'))),
    True,
  )
  check_sources(f'{output}/scores/predictions/**/*.parquet', members, 'predictions', figures)
  different = query(
    f"""SELECT count(*) FROM '{dataset}/index/*.parquet' i JOIN '{output}/scores/predictions/**/*.parquet' p
    ON i.source_id = p.source_id AND i.frame = p.frame WHERE i.pixel_sha256 <> p.pixel_sha256"""
  )[0][0]
  figures.check('images whose bytes differ between ingest and score', different, different == 0)


def check_sources(files: str, members: int, name: str, figures: Figures) -> None:
  """Distinct sources against the members seen by the standard library."""
  distinct = query(f"SELECT count(DISTINCT source_id) FROM '{files}'")[0][0]
  figures.check(f'distinct sources in {name}, of {members} members', distinct, distinct == members)


def patient_of(member: str) -> str | None:
  """As the name of a chest X-ray has it."""
  match = re.search(PATIENT, member)
  return match['patient'] if match else None


def split_overlaps(index: str, crosswalk: str) -> int:
  """Patients in more than one split, the patient read anew from the member names."""
  splits: dict[str, set[str]] = defaultdict(set)
  rows = query(
    f"SELECT c.member, i.split FROM '{index}' i JOIN '{crosswalk}' c ON i.source_id = c.source_id WHERE i.status = 'ok'"
  )
  for member, split in rows:
    splits[patient_of(member) or member].add(split)
  return sum(len(found) > 1 for found in splits.values())


def dicom_samples(data: pathlib.Path, output: pathlib.Path, figures: Figures) -> None:
  """Scores the samples and compares image or reject with the manifest."""
  samples = data / 'dicom_samples'
  command = ['--bundle', str(output / 'bundle'), '--output', str(output / 'sample-scores')]
  job('score', '--input', f'{samples}/*.dcm', *command, '--crosswalk', str(output / 'sample-crosswalk'))
  expected = {row['file']: row for row in csv.DictReader((samples / 'manifest.csv').open())}
  statuses: dict[str, set[str]] = defaultdict(set)
  for member, status in query(
    f"""SELECT c.member, p.status FROM '{output}/sample-scores/predictions/**/*.parquet' p
    JOIN '{output}/sample-crosswalk/*.parquet' c
    ON p.source_id = c.source_id AND p.frame IS NOT DISTINCT FROM c.frame"""
  ):
    statuses[member].add(status)
  figures.check(f'samples with a row, of {len(expected)}', len(statuses), set(statuses) == set(expected))
  off = [name for name, row in expected.items() if not _as_expected(row, statuses[name])]
  figures.check('samples that are not what the manifest expects', off or 0, not off)


def _as_expected(row: dict[str, str], statuses: set[str]) -> bool:
  """`either`: image or reject are both right; else every frame must be an image, or none."""
  if row['confidence'] == 'either' or row['expect'] == 'quarantine':
    return bool(statuses)
  return statuses == {'scored'}


def main() -> None:
  """Runs everything; exit 1 if a figure is missed."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--data', type=pathlib.Path, required=True)
  parser.add_argument('--output', type=pathlib.Path, required=True)
  args = parser.parse_args()
  figures = Figures()
  steps: tuple[Callable[[pathlib.Path, pathlib.Path, Figures], None], ...] = (chest_xrays, dicom_samples)
  for step in steps:
    step(args.data, args.output, figures)
  sys.exit(figures.failed)


if __name__ == '__main__':
  main()
