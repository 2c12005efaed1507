"""Makes a zip of many small DICOM files: what the cost of reading, rather than that of pixels, is measured on.

`python -m benchmarks.make_dicoms --output FILE.zip --count 10000`

Drawn chests of 256 x 256 pixels, 12 of 16 bits, uncompressed, with rescale and window; every second one is
MONOCHROME1. Members are deflated, as exports are. The same options give the same bytes.
"""

import argparse
import os
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipelines.synthetic_archives import write_zip
from pipelines.synthetic_dicom import Encoding, Header, encode_dicom
from pipelines.synthetic_pictures import Picture, draw_chest
from pipelines.synthetic_plan import make_uid

_BASES = 8
_GRAIN = 0.02  # of the range
_BATCH = 256


def draw_bases(size_px: int, seed: int) -> list[Picture]:
  """What every file is made of."""
  rng = np.random.default_rng(seed)
  return [draw_chest(rng, bool(n % 2), size_px, size_px) for n in range(_BASES)]


def make_dicom(bases: Sequence[Picture], number: int, seed: int) -> tuple[str, bytes]:
  """File `number`: its name in the zip and its bytes, which depend on nothing else."""
  rng = np.random.default_rng((seed, number))
  base = bases[number % len(bases)]
  grain = rng.standard_normal(base.shape, np.float32) * _GRAIN
  header = Header(
    patient_id=f'ZZ-{number // 4:06d}',
    patient_name=f'ZZPLANTED^{number // 4}',
    accession_number=f'ZZ{number // 2:08d}',
    study_instance_uid=make_uid(seed, 'study', number // 2),
    series_instance_uid=make_uid(seed, 'series', number),
    sop_instance_uid=make_uid(seed, 'image', number),
    modality='CR',
  )
  encoding = Encoding(photometric='MONOCHROME1' if number % 2 else 'MONOCHROME2', grey='rescale')
  picture = np.clip(base + grain, 0, 1)
  return f'ST{number // 1000:03d}/IM{number % 1000:03d}', encode_dicom([picture], header, encoding)


def _make_all(bases: Sequence[Picture], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
  with ThreadPoolExecutor(os.cpu_count()) as threads:
    for start in range(0, count, _BATCH):  # a batch at a time: they would all be held
      yield from threads.map(lambda n: make_dicom(bases, n, seed), range(start, min(start + _BATCH, count)))


def main(argv: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output', type=pathlib.Path, required=True, help='the zip; its folder is made if missing')
  parser.add_argument('--count', type=int, default=10_000, help='files (default: %(default)s)')
  parser.add_argument('--size', type=int, default=256, help='rows and columns in pixels (default: %(default)s)')
  parser.add_argument('--stored', action='store_true', help='do not deflate')
  parser.add_argument('--seed', type=int, default=1, help='another seed, other files (default: %(default)s)')
  options = parser.parse_args(argv)
  options.output.parent.mkdir(parents=True, exist_ok=True)
  method = zipfile.ZIP_STORED if options.stored else zipfile.ZIP_DEFLATED
  bases = draw_bases(options.size, options.seed)
  write_zip(options.output, _make_all(bases, options.count, options.seed), method)
  print(f'{options.output}: {options.count} files, {options.output.stat().st_size / 1e6:.1f} MB')


if __name__ == '__main__':
  main()
