"""Compares the rendering of real DICOM files with statistics that other decoders found.

  python -m benchmarks.dicom_samples DIR

DIR holds the files and `manifest.csv`: file, expect (image or quarantine), confidence (firm where several
decoders agree), ref_mode (how the grey levels were made), ref_mean, ref_std (of the first frame, 0 to 255).
Prints a line a file. Exits with 1 if a firm one is off.
"""

import argparse
import csv
import pathlib
import sys
from collections.abc import Mapping
from typing import Final

import cv2

from transforms.codecs import stored_frame
from transforms.decode import DecodeOptions, decode_source
from transforms.dicom import read_dicom
from transforms.display import display_frame
from transforms.elements import Limits, Pixels
from transforms.pixel_layout import pixel_layout

TOLERANCE: Final = 2.0  # grey levels

# Modes whose statistics are of a plain stretch from the least value to the greatest; without a window we stretch
# the middle 99 percent, since a burnt-in marker or a dead pixel must not darken the image.
STRETCHED: Final = 'minmax'

# Where the manifest is not followed, and why.
EXCEPTIONS: Final = {
  'emri_small_jpeg_2k_lossless_too_short.dcm': 'only the sequence delimiter is cut off: all ten frames are whole',
}


def main(arguments: list[str]) -> int:
  parser = argparse.ArgumentParser(description='Compare the rendering of DICOM files with a manifest.')
  parser.add_argument('directory', type=pathlib.Path)
  directory: pathlib.Path = parser.parse_args(arguments).directory
  with open(directory / 'manifest.csv', newline='') as manifest:
    rows = list(csv.DictReader(manifest))
  failed = [row['file'] for row in rows if not _compare((directory / row['file']).read_bytes(), row)]
  print(f'{len(rows)} files, {len(failed)} off: {", ".join(failed) or "none"}')
  return 1 if failed else 0


def _compare(data: bytes, row: Mapping[str, str]) -> bool:
  """Prints the file's line; False if it is firm and off."""
  frames = list(decode_source(data, DecodeOptions()))
  errors = sorted({frame.error.code for frame in frames if frame.error})
  is_image = any(frame.pixels is not None for frame in frames)
  got = f'image ({len(frames)})' if is_image else 'rejected'
  differences = _differences(data, row) if is_image and row['ref_mean'] else None
  shown = f'mean {differences[0]:+7.2f}  std {differences[1]:+7.2f}' if differences else ''
  is_right = is_image == (row['expect'] == 'image') and _is_close(differences, row['ref_mode'])
  verdict = 'ok' if is_right else EXCEPTIONS.get(row['file'], row['confidence'])
  print(f'{row["file"]:40} {row["expect"]:11} {got:12} {row["ref_mode"]:15} {shown:30} {verdict} {" ".join(errors)}')
  return is_right or row['file'] in EXCEPTIONS or row['confidence'] != 'firm'


def _differences(data: bytes, row: Mapping[str, str]) -> tuple[float, float]:
  grey = _first_frame(data)
  return grey.mean() - float(row['ref_mean']), grey.std() - float(row['ref_std'])


def _first_frame(data: bytes) -> Pixels:
  dataset = read_dicom(data, Limits())
  layout = pixel_layout(dataset, Limits())
  image = display_frame(stored_frame(dataset, layout, 0), dataset, layout, 0)
  return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _is_close(differences: tuple[float, float] | None, mode: str) -> bool:
  return differences is None or mode.endswith(STRETCHED) or max(map(abs, differences)) <= TOLERANCE


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
