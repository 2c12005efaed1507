"""`radbeam ingest` against a bare two-process pydicom loop over the same zip of small DICOM files.

The bare loop does the same decoding and nothing else: zipfile, dcmread, modality LUT, VOI LUT, inversion, 8 bit,
resize. Both in turn, several times. Start-up (measured on a zip of a few files) is told apart from the rest, since
ten thousand small files take little longer than loading Beam and TensorFlow.

  python -m benchmarks.dicom_throughput --zip FILE [--runs 3]

FILE is of `python -m benchmarks.make_dicoms --output FILE`.
"""

import argparse
import io
import multiprocessing
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Sequence

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from benchmarks.make_dicoms import main as make_dicoms
from benchmarks.measure import RADBEAM, measure

LIMIT = 1.3
_PROCESSES = 2
_CHUNK = 64
_FEW = 16


def decode_bare(data: bytes) -> NDArray[np.uint8]:
  """One file, as a script would do it."""
  dataset = pydicom.dcmread(io.BytesIO(data))
  values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
  low, high = values.min(), values.max()
  grey = ((values - low) / max(high - low, 1) * 255).astype(np.uint8)
  if dataset.PhotometricInterpretation == 'MONOCHROME1':
    grey = 255 - grey
  return cv2.resize(grey, (224, 224), interpolation=cv2.INTER_AREA)


def _decode_chunk(job: tuple[str, Sequence[str]]) -> int:
  path, names = job
  cv2.setNumThreads(1)
  with zipfile.ZipFile(path) as archive:
    return sum(int(decode_bare(archive.read(name)).size > 0) for name in names)


def bare_loop(path: str) -> int:
  """Decodes every member; returns how many."""
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
  # One listing of the zip a process and a half: a chunk per process, not per 64 files.
  share = -(-len(names) // _PROCESSES)
  with multiprocessing.Pool(_PROCESSES) as pool:
    return sum(pool.imap_unordered(_decode_chunk, [(path, names[n : n + share]) for n in range(0, len(names), share)]))


def seconds(command: list[str]) -> float:
  """Wall time of a command that must succeed."""
  measured = measure(command)
  if measured.exit_code:
    raise SystemExit(f'{" ".join(command[:4])} … ended with {measured.exit_code}')
  return measured.wall_s


def bare_s(path: str) -> float:
  return seconds([sys.executable, '-m', 'benchmarks.dicom_throughput', '--bare', path])


def ingest_s(path: str) -> float:
  with tempfile.TemporaryDirectory() as output:
    given = ['--input', path, '--labels', 'none', '--patient_from', 'member', '--output', f'{output}/dataset']
    return seconds([*RADBEAM, 'ingest', *given, '--quiet'])


def compare(path: str, few: str, runs: int) -> tuple[float, float]:
  """Medians of ingest's time over the bare loop's: of the whole, and with the start-up of each taken off."""
  whole, reading = [], []
  for run in range(runs):
    bare_start, ours_start = bare_s(few), ingest_s(few)
    bare, ours = bare_s(path), ingest_s(path)
    whole.append(ours / bare)
    reading.append((ours - ours_start) / (bare - bare_start))
    print(
      f'run {run + 1}: bare loop {bare:.1f} s (start-up {bare_start:.1f}), ingest {ours:.1f} s (start-up '
      f'{ours_start:.1f}); ratio {whole[-1]:.2f}, without start-up {reading[-1]:.2f}',
      flush=True,
    )
  return statistics.median(whole), statistics.median(reading)


def main() -> None:
  """Prints each pair and the medians; exit 1 if ingest is slower than it may be."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--zip', help='of benchmarks.make_dicoms')
  parser.add_argument('--runs', type=int, default=3)
  parser.add_argument('--bare', help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.bare:
    print(bare_loop(args.bare))
    return
  with tempfile.TemporaryDirectory() as folder:
    few = f'{folder}/few.zip'
    make_dicoms(['--output', few, '--count', str(_FEW)])
    whole, reading = compare(args.zip, few, args.runs)
  print(f'median ratio {whole:.2f}, without start-up {reading:.2f} (at most {LIMIT})')
  sys.exit(reading > LIMIT)


if __name__ == '__main__':
  main()
