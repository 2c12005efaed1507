"""Makes zips of JPEGs as large as those of the public chest radiograph sets: what throughput is measured on.

`python -m benchmarks.make_jpegs --output DIR --count 8000 --height 1000 --width 1400 --zips 4`

A few drawn chests are mirrored, shifted and grained anew, so that no two files
are equal and each costs what a real one does to decode: about 170 kB of grey
JPEG at 1400 x 1000 pixels. The same options give the same bytes.
"""

import argparse
import itertools
import os
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.synthetic_pictures import draw_chest

_BASES_PER_CLASS = 4
_MARGIN_PX = 32
_GRAIN_DEVIATION = 3.7  # with the quality below: 150 to 190 kB at 1400 x 1000
_QUALITY = 84
_BATCH = 64
_CLASSES = ('NORMAL', 'PNEUMONIA')


@dataclass(frozen=True, slots=True)
class Bases:
  """What every file is cut from.

  Attributes:
    chests: 0 to 255, a margin larger than a file on each side; classes take turns.
    grain: film grain around 0, twice as large as a chest.
  """

  chests: tuple[NDArray[np.int16], ...]
  grain: NDArray[np.int16]
  seed: int


def make_bases(height: int, width: int, seed: int) -> Bases:
  """Draws the chests and the grain for files of `height` x `width` pixels."""
  rng = np.random.default_rng(seed)
  tall, wide = height + 2 * _MARGIN_PX, width + 2 * _MARGIN_PX
  chests = tuple(_draw_smooth(rng, bool(n % 2), tall, wide) for n in range(2 * _BASES_PER_CLASS))
  grain = rng.standard_normal((2 * tall, 2 * wide), np.float32) * _GRAIN_DEVIATION
  return Bases(chests, np.rint(grain).astype(np.int16), seed)


def _draw_smooth(rng: np.random.Generator, opacities: bool, height: int, width: int) -> NDArray[np.int16]:
  picture = cv2.GaussianBlur(draw_chest(rng, opacities, height, width), (0, 0), 4)
  return np.rint(picture * 255).astype(np.int16)


def make_jpeg(bases: Bases, number: int) -> tuple[str, bytes]:
  """Makes file `number`: its name in the zip and its bytes, which depend on nothing else."""
  rng = np.random.default_rng((bases.seed, number))
  chest = bases.chests[2 * rng.integers(_BASES_PER_CLASS) + number % 2]
  height, width = chest.shape[0] - 2 * _MARGIN_PX, chest.shape[1] - 2 * _MARGIN_PX
  picture = _cut(rng, chest, height, width) + _cut(rng, bases.grain, height, width)
  grey = np.clip(picture, 0, 255).astype(np.uint8)
  encoded, data = cv2.imencode('.jpeg', grey, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
  if not encoded:
    raise RuntimeError(f'OpenCV could not encode a JPEG of {height} x {width} pixels')
  return _name(number), data.tobytes()


def _cut(rng: np.random.Generator, large: NDArray[np.int16], height: int, width: int) -> NDArray[np.int16]:
  """A window of `large` at a random place, mirrored half of the time."""
  top = rng.integers(large.shape[0] - height + 1)
  left = rng.integers(large.shape[1] - width + 1)
  window = large[top : top + height, left : left + width]
  return window[:, ::-1] if rng.integers(2) else window


def _name(number: int) -> str:
  person, image = number // 4 + 1, number // 2 % 2 + 1  # two images a person, classes take turns
  kind = ('normal', 'bacteria')[number % 2]
  return f'{_CLASSES[number % 2]}/person{2 * person - 1 + number % 2:04d}_{kind}_{image}.jpeg'


def write_zip(path: pathlib.Path, bases: Bases, numbers: Sequence[int]) -> int:
  """Writes one stored zip of the files `numbers`.

  Returns:
    The size of the zip in bytes.
  """
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive, ThreadPoolExecutor(os.cpu_count()) as threads:
    for batch in _batches(numbers):
      for name, data in threads.map(lambda number: make_jpeg(bases, number), batch):
        archive.writestr(zipfile.ZipInfo(name), data)  # ZipInfo is dated 1980: the same bytes every time
  return path.stat().st_size


def _batches(numbers: Sequence[int]) -> Iterator[tuple[int, ...]]:
  remaining = iter(numbers)
  while batch := tuple(itertools.islice(remaining, _BATCH)):
    yield batch


def main(argv: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output', type=pathlib.Path, required=True, help='folder for the zips; made if missing')
  parser.add_argument('--count', type=int, default=8000, help='files in all (default: %(default)s)')
  parser.add_argument('--height', type=int, default=1000, help='rows in pixels (default: %(default)s)')
  parser.add_argument('--width', type=int, default=1400, help='columns in pixels (default: %(default)s)')
  parser.add_argument('--zips', type=int, default=4, help='zips to spread them over (default: %(default)s)')
  parser.add_argument('--seed', type=int, default=1, help='another seed, other files (default: %(default)s)')
  options = parser.parse_args(argv)
  options.output.mkdir(parents=True, exist_ok=True)
  bases = make_bases(options.height, options.width, options.seed)
  for part, numbers in enumerate(np.array_split(np.arange(options.count), options.zips)):
    path = options.output / f'jpegs-{part:02d}.zip'
    size_bytes = write_zip(path, bases, numbers.tolist())
    print(f'{path}: {len(numbers)} files, {size_bytes / 1e6:.1f} MB')


if __name__ == '__main__':
  main()
