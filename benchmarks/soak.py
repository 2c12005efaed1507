"""Seven nights of 1,500 studies on an inbox that is never cleared: all rows, and the last costs what the first did.

`python -m benchmarks.soak --bundle BUNDLE --output bench-out/soak`

A study is a zip of two drawn chests of 96 x 96 pixels. Each night is a process of its own; its memory is the largest
sum over its process tree, its time the whole command's. Exit 1 if rows are missing or a limit is exceeded.
"""

import argparse
import json
import pathlib
import secrets
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as ds

from benchmarks.make_dicoms import draw_bases, make_dicom
from benchmarks.measure import RADBEAM, Measured, measure

MEMORY_LIMIT = 1.10  # of the last night to the first
TIME_LIMIT = 1.10  # likewise, per study
_SIZE_PX = 96
_IMAGES = 2  # per study


@dataclass(frozen=True, slots=True)
class Soak:
  """Where things are, and how many there are a night."""

  root: pathlib.Path
  bundle: str
  studies: int

  @property
  def inbox(self) -> pathlib.Path:
    """Where the exports arrive."""
    return self.root / 'inbox'

  @property
  def output(self) -> pathlib.Path:
    """Where the rows go."""
    return self.root / 'out'

  def deliver(self, night: int) -> None:
    """Writes the studies of one night."""
    bases = draw_bases(_SIZE_PX, seed=1)
    folder = self.inbox / f'night-{night}'
    folder.mkdir(parents=True)
    for study in range(night * self.studies, (night + 1) * self.studies):
      with zipfile.ZipFile(folder / f'{study:06d}.zip', 'w') as archive:
        for image in range(_IMAGES):
          archive.writestr(*make_dicom(bases, study * _IMAGES + image, seed=1))

  def score(self) -> Measured:
    """Runs a night."""
    return measure(
      [
        *(*RADBEAM, 'nightly', '--inbox', str(self.inbox), '--bundle', self.bundle, '--output', str(self.output)),
        *('--pseudonym_key_file', str(self.root / 'key'), '--settle_seconds', '0', '--quiet'),
      ]
    )

  def nights(self) -> Iterator[dict[str, Any]]:
    """The records of the nights."""
    for path in sorted((self.output / 'runs').glob('*.json')):
      record: dict[str, Any] = json.loads(path.read_text())
      if record['job'] == 'nightly':
        yield record

  def images(self) -> int:
    """Different images that have a scored row."""
    rows = ds.dataset(self.output / 'predictions', format='parquet', partitioning=None)
    return len(set(rows.to_table(['image_id'], filter=ds.field('status') == 'scored')['image_id'].to_pylist()))


def main(argv: Sequence[str] | None = None) -> None:
  """Prints a line a night, then the ratios."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--bundle', required=True)
  parser.add_argument('--output', type=pathlib.Path, required=True, help='replaced')
  parser.add_argument('--nights', type=int, default=7)
  parser.add_argument('--studies', type=int, default=1500, help='a night')
  args = parser.parse_args(argv)
  shutil.rmtree(args.output, ignore_errors=True)
  soak = Soak(args.output, args.bundle, args.studies)
  args.output.mkdir(parents=True)
  (args.output / 'key').write_bytes(secrets.token_bytes(32))
  (args.output / 'key').chmod(0o600)
  measured = []
  for night in range(args.nights):
    soak.deliver(night)
    measured.append(soak.score())
    last = measured[-1]
    print(
      f'night {night + 1}: {args.studies} studies in {last.wall_s:.1f} s, {last.peak_bytes / 2**20:.0f} MiB, '
      f'exit {last.exit_code}',
      flush=True,
    )
  nothing = soak.score()
  print(f'nothing new: {nothing.wall_s:.1f} s, exit {nothing.exit_code}')
  sys.exit(not _holds(soak, measured, nothing, args.nights))


def _holds(soak: Soak, measured: Sequence[Measured], nothing: Measured, nights: int) -> bool:
  expected = nights * soak.studies * _IMAGES
  rows = sum(record['rows'].get('scored', 0) for record in soak.nights())
  memory = measured[-1].peak_bytes / measured[0].peak_bytes
  time = measured[-1].wall_s / measured[0].wall_s
  print(
    f'{rows} rows of {soak.images()} images, expected {expected}; last night to first: memory {memory:.2f} '
    f'(limit {MEMORY_LIMIT}), time {time:.2f} (limit {TIME_LIMIT})'
  )
  exits = [night.exit_code for night in measured] == [0] * nights and nothing.exit_code == 3
  return rows == soak.images() == expected and memory <= MEMORY_LIMIT and time <= TIME_LIMIT and exits


if __name__ == '__main__':
  main()
