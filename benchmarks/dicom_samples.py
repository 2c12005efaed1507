"""Compares the rendering of real DICOM files with statistics and pictures that other decoders made.

  python -m benchmarks.dicom_samples DIR

DIR holds the files and `manifest.csv`: file, expect (image or quarantine), confidence (firm where several decoders
agree, either where both outcomes are right), ref_mode (how the grey levels were made), ref_mean, ref_std (of the first
frame, 0 to 255). With a window, a table or colour mean and deviation must be within 2. A `minmax` reference is a plain
stretch from the least value to the greatest; ours is of the middle 99 percent, since a burnt-in marker or a dead pixel
must not set the scale: there the picture of dcmtk, or of gdcm where dcmtk has no decoder, must correlate by 0.95.
Prints a line a file. Exits with 1 if one is off.
"""

import argparse
import csv
import io
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import numpy as np
import pydicom
from pydicom.pixels.decoders.base import get_decoder

from benchmarks import dcmtk
from transforms.codecs import stored_frame
from transforms.decode import DecodeOptions, decode_source
from transforms.dicom import read_dicom
from transforms.display import display_frame
from transforms.elements import Limits, Pixels
from transforms.pixel_layout import pixel_layout

TOLERANCE: Final = 2.0  # grey levels
LEAST_CORRELATION: Final = 0.95
STRETCHED: Final = 'minmax'

# dcmtk and gdcm refuse JPEG-LS of 7 bits: their picture is of a file that holds the same with 15.
TWINS: Final = {'JLSL_08_07_0_1F.dcm': 'JLSL_16_15_1_1F.dcm'}


def main(arguments: list[str]) -> int:
  parser = argparse.ArgumentParser(description='Compare the rendering of DICOM files with a manifest.')
  parser.add_argument('directory', type=pathlib.Path)
  directory: pathlib.Path = parser.parse_args(arguments).directory
  if dcmtk.missing():
    print('dcmtk is not installed: files without a window are compared with nothing; `make integration` installs it')
  with open(directory / 'manifest.csv', newline='') as manifest:
    rows = list(csv.DictReader(manifest))
  off = [row['file'] for row in rows if not _holds(directory / row['file'], row)]
  print(f'{len(rows)} files, {len(off)} off: {", ".join(off) or "none"}')
  return 1 if off else 0


def _holds(path: pathlib.Path, row: Mapping[str, str]) -> bool:
  """Prints the file's line; False if it is not as expected."""
  data = path.read_bytes()
  frames = list(decode_source(data, DecodeOptions()))
  errors = sorted({frame.error.code for frame in frames if frame.error})
  is_image = any(frame.pixels is not None for frame in frames)
  figures, is_close = _compared(path, data, row) if is_image and row['ref_mean'] else ('', True)
  is_expected = row['confidence'] == 'either' or is_image == (row['expect'] == 'image')
  verdict = 'ok' if is_expected and is_close else 'OFF'
  outcome = f'image ({len(frames)})' if is_image else ' '.join(errors)
  print(f'{row["file"]:42} {row["expect"]:11} {outcome:12} {row["ref_mode"]:15} {figures:36} {verdict}')
  return verdict != 'OFF'


def _compared(path: pathlib.Path, data: bytes, row: Mapping[str, str]) -> tuple[str, bool]:
  """Figures of the comparison, and whether they are good enough."""
  shown = _first_frame(data)
  grey = dcmtk.luma(shown)
  if row['ref_mode'].endswith(STRETCHED):
    if dcmtk.missing():
      return 'not compared', True
    other, name = _stretched_by_others(path.with_name(TWINS.get(path.name, path.name)).read_bytes())
    correlation = dcmtk.correlation(shown, other)
    return f'correlation {correlation:.4f} with {name}', correlation >= LEAST_CORRELATION
  differences = grey.mean() - float(row['ref_mean']), grey.std() - float(row['ref_std'])
  return 'mean {:+.2f}, std {:+.2f}'.format(*differences), max(map(abs, differences)) <= TOLERANCE


def _first_frame(data: bytes) -> Pixels:
  dataset = read_dicom(data, Limits())
  layout = pixel_layout(dataset, Limits())
  return display_frame(stored_frame(dataset, layout, 0), dataset, layout, 0)


def _stretched_by_others(data: bytes) -> tuple[Pixels, str]:
  try:
    return dcmtk.picture(data, '+Wm'), 'dcmtk'
  except subprocess.CalledProcessError:  # no JPEG 2000
    return _stretched_by_gdcm(data), 'gdcm'


def _stretched_by_gdcm(data: bytes) -> Pixels:
  """Grey only, and not inverted: what the samples without a decoder in dcmtk are."""
  dataset = pydicom.dcmread(io.BytesIO(data))
  uid = dataset.file_meta.TransferSyntaxUID
  values, _ = get_decoder(uid).as_array(dataset, index=0, decoding_plugin='gdcm', validate=False)
  return np.rint((values - values.min()) / max(1, np.ptp(values)) * 255.0).astype(np.uint8)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
