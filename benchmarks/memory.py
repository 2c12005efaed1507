"""Peak memory of the process tree of `ingest` and `score`, from 1,300 to 5,216 images.

  python -m benchmarks.memory --data DIR --bundle BUNDLE

DIR holds zips with 5,216 images in all; two of eight are about 1,300.
"""

import argparse
import pathlib
import sys
import tempfile
import zipfile

from benchmarks.measure import RADBEAM, measure

LIMIT_BYTES_PER_IMAGE = 3 << 10


def images_in(zips: list[str]) -> int:
  """Members of all zips."""
  return sum(len(zipfile.ZipFile(path).namelist()) for path in zips)


def peak_bytes(job: list[str], zips: list[str], output: str, runs: int) -> int:
  """The smallest peak of several runs: what the job needs, less the noise."""
  peaks = []
  for run in range(runs):
    inputs = [word for path in zips for word in ('--input', path)]
    measured = measure([*RADBEAM, *job, *inputs, '--output', f'{output}/{len(zips)}-{run}', '--quiet'])
    if measured.exit_code:
      raise SystemExit(f'radbeam {job[0]} ended with {measured.exit_code}')
    peaks.append(measured.peak_bytes)
  return min(peaks)


def main() -> None:
  """Prints the growth a job and image; exit 1 if it is over the limit."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--data', required=True)
  parser.add_argument('--bundle', required=True)
  parser.add_argument('--runs', type=int, default=3)
  args = parser.parse_args()
  zips = sorted(str(path) for path in pathlib.Path(args.data).glob('*.zip'))
  few = zips[: len(zips) // 4]
  jobs = {
    'ingest': ['ingest', '--labels', 'folder', '--patient_from', 'member'],
    'score': ['score', '--bundle', args.bundle],
  }
  failed = False
  for name, job in jobs.items():
    with tempfile.TemporaryDirectory() as output:
      small, large = (peak_bytes(job, some, output, args.runs) for some in (few, zips))
    growth = (large - small) / (images_in(zips) - images_in(few))
    failed |= growth > LIMIT_BYTES_PER_IMAGE
    print(
      f'{name}: {images_in(few)} images {small / 2**20:.0f} MiB, {images_in(zips)} images {large / 2**20:.0f} MiB, '
      f'{growth / 2**10:.2f} KiB an image more (limit {LIMIT_BYTES_PER_IMAGE / 2**10:.0f})',
      flush=True,
    )
  sys.exit(failed)


if __name__ == '__main__':
  main()
