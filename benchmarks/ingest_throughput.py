"""`radbeam ingest` against a bare one-process loop over the same zips: unzip, imdecode, resize.

Both in turn, start-up included, several times: only the ratio means anything.

  python -m benchmarks.ingest_throughput --jpegs DIR [--runs 3] [--beyond_startup]

Of few images the start-up of ingest, which is the same for any number of them,
is the most part. `--beyond_startup` measures it over a handful and compares
what the others take.

DIR holds the zips of `python -m benchmarks.make_jpegs --output DIR`.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import zipfile

import cv2
import numpy as np

from benchmarks.measure import RADBEAM, measure

HANDFUL = 8  # images, of both classes


def bare_loop(folder: str) -> int:
  """Unzips, decodes to grey and resizes every image; one process, OpenCV's own threads off."""
  cv2.setNumThreads(1)
  images = 0
  for path in sorted(pathlib.Path(folder).glob('*.zip')):
    with zipfile.ZipFile(path) as archive:
      for name in archive.namelist():
        image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)
        cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
        images += 1
  return images


def measure_both(jpegs: str) -> tuple[float, float]:
  """Wall time of the bare loop and of ingest, in seconds."""
  with tempfile.TemporaryDirectory() as output:
    bare = measure([sys.executable, '-m', 'benchmarks.ingest_throughput', '--bare', jpegs])
    given = ['--input', jpegs, '--labels', 'folder', '--patient_pattern', r'person\d+']
    ours = measure([*RADBEAM, 'ingest', *given, '--output', f'{output}/dataset', '--quiet'])
  if bare.exit_code or ours.exit_code:
    raise SystemExit(f'a command failed: bare loop {bare.exit_code}, ingest {ours.exit_code}')
  return bare.wall_s, ours.wall_s


def measure_startup(jpegs: str) -> tuple[float, float]:
  """The same over a handful of the images."""
  with tempfile.TemporaryDirectory() as folder:
    first = min(pathlib.Path(jpegs).glob('*.zip'))
    with zipfile.ZipFile(first) as archive, zipfile.ZipFile(f'{folder}/few.zip', 'w') as few:
      for name in archive.namelist()[:HANDFUL]:
        few.writestr(name, archive.read(name))
    return measure_both(folder)


def compare(jpegs: str, runs: int, beyond_startup: bool = False) -> float:
  """Median of radbeam's wall time over the bare loop's, pair by pair."""
  ratios = []
  for run in range(runs):
    fixed = measure_startup(jpegs) if beyond_startup else (0.0, 0.0)
    found = measure_both(jpegs)
    bare_s, ours_s = (whole - part for whole, part in zip(found, fixed, strict=True))
    ratios.append(ratio_of(bare_s, ours_s))
    of_which = f', of which over {HANDFUL} images {fixed[0]:.1f} s and {fixed[1]:.1f} s' if beyond_startup else ''
    print(
      f'run {run + 1}: bare loop {found[0]:.1f} s, ingest {found[1]:.1f} s{of_which}, ratio {ratios[-1]:.2f}',
      flush=True,
    )
  return statistics.median(ratios)


def ratio_of(bare_s: float, ours_s: float) -> float:
  """How many times as long ours took.

  Raises:
    SystemExit: if the bare loop took no time: there are too few images to compare by.
  """
  if bare_s <= 0:
    raise SystemExit('the bare loop took no longer than over a handful of images; give more images')
  return ours_s / bare_s


def main() -> None:
  """Prints each pair and the median; exit 1 if ingest is slower."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--jpegs', help='folder of zips')
  parser.add_argument('--runs', type=int, default=3)
  parser.add_argument('--beyond_startup', action='store_true', help='leave out what a handful of images takes')
  parser.add_argument('--bare', help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.bare:
    print(bare_loop(args.bare))
    return
  ratio = compare(args.jpegs, args.runs, args.beyond_startup)
  print(f'median ratio {ratio:.2f} (not slower: at most 1.00)')
  sys.exit(ratio > 1)


if __name__ == '__main__':
  main()
