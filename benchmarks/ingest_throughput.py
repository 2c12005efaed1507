"""`radbeam ingest` against a bare one-process loop over the same zips: unzip, imdecode, resize.

Both in turn, start-up included, several times: only the ratio means anything.

  python -m benchmarks.ingest_throughput --jpegs DIR [--runs 3]

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


def compare(jpegs: str, runs: int) -> float:
  """Median of radbeam's wall time over the bare loop's, pair by pair."""
  ratios = []
  for run in range(runs):
    with tempfile.TemporaryDirectory() as output:
      bare = measure([sys.executable, '-m', 'benchmarks.ingest_throughput', '--bare', jpegs])
      given = ['--input', jpegs, '--labels', 'folder', '--patient_pattern', r'person\d+']
      ours = measure([*RADBEAM, 'ingest', *given, '--output', f'{output}/dataset', '--quiet'])
    if bare.exit_code or ours.exit_code:
      raise SystemExit(f'a command failed: bare loop {bare.exit_code}, ingest {ours.exit_code}')
    ratios.append(ours.wall_s / bare.wall_s)
    print(
      f'run {run + 1}: bare loop {bare.wall_s:.1f} s, ingest {ours.wall_s:.1f} s, ratio {ratios[-1]:.2f}', flush=True
    )
  return statistics.median(ratios)


def main() -> None:
  """Prints each pair and the median; exit 1 if ingest is slower."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--jpegs', help='folder of zips')
  parser.add_argument('--runs', type=int, default=3)
  parser.add_argument('--bare', help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.bare:
    print(bare_loop(args.bare))
    return
  ratio = compare(args.jpegs, args.runs)
  print(f'median ratio {ratio:.2f} (not slower: at most 1.00)')
  sys.exit(ratio > 1)


if __name__ == '__main__':
  main()
