"""dcmtk's tools as functions: encoders of nearly every transfer syntax, and pictures by a decoder that is not ours."""

import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from transforms.elements import Pixels

TOOLS: Final = ('dcmconv', 'dcmcrle', 'dcmcjpeg', 'dcmcjpls', 'dcmj2pnm', 'dcml2pnm')
_LIMIT_S: Final = 60


def missing() -> list[str]:
  """Tools that are not installed."""
  return [tool for tool in TOOLS if shutil.which(tool) is None]


def transcode(data: bytes, tool: str, *flags: str) -> bytes:
  """A file in another transfer syntax.

  Raises:
    subprocess.CalledProcessError: if the tool refuses it.
  """
  with TemporaryDirectory() as folder:
    source, target = pathlib.Path(folder, 'source.dcm'), pathlib.Path(folder, 'target.dcm')
    source.write_bytes(data)
    _run([tool, *flags, str(source), str(target)])
    return target.read_bytes()


def picture(data: bytes, *flags: str, frame: int = 1) -> Pixels:
  """One frame as dcmtk shows it, without overlays, uint8, (rows, columns) or (rows, columns, 3) RGB.

  Args:
    data: of a file that dcmtk can read, by itself or by its JPEG-LS library.
    flags: which window or table; none takes the values from the least to the greatest that can be.
    frame: from 1.
  """
  with TemporaryDirectory() as folder:
    source, target = pathlib.Path(folder, 'source.dcm'), pathlib.Path(folder, 'target.pnm')
    source.write_bytes(data)
    tool = 'dcml2pnm' if _is_jpeg_ls(data) else 'dcmj2pnm'
    _run([tool, '-O', '+F', str(frame), *flags, str(source), str(target)])
    image = cv2.imread(str(target), cv2.IMREAD_UNCHANGED)
  if image is None:
    raise RuntimeError(f'{tool} wrote no picture')
  return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image


def _is_jpeg_ls(data: bytes) -> bool:
  return b'1.2.840.10008.1.2.4.8' in data[:1024]


def _run(command: Sequence[str]) -> None:
  subprocess.run(command, check=True, capture_output=True, timeout=_LIMIT_S)


def luma(image: Pixels) -> NDArray[Any]:
  """Grey of a picture, by Rec. 601."""
  return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def correlation(ours: Pixels, theirs: Pixels) -> float:
  """Of the grey of two pictures."""
  return float(np.corrcoef(luma(ours).ravel(), luma(theirs).ravel())[0, 1])
