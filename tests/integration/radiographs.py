"""DICOM objects whose histogram is that of a radiograph: a body, air, bone, noise, a collimated border."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.transforms.pictures import dicom_dataset

Values = NDArray[Any]
ROWS, COLUMNS = 120, 152


def shares(rows: int = ROWS, columns: int = COLUMNS) -> Values:
  """Float64, 0 to 1: two dark lungs in a bright body on a dark background, ribs, a spine, a burnt-in marker."""
  y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
  body = np.clip(1.4 - (x / 0.85) ** 4 - (y / 1.1) ** 4, 0, 1)
  lungs = sum(np.exp(-(((x - side * 0.38) / 0.25) ** 2) - ((y + 0.1) / 0.5) ** 2) for side in (-1, 1))
  ribs = 0.06 * np.sin(18 * y + 4 * x**2) * body
  spine = 0.25 * np.exp(-((x / 0.08) ** 2))
  noise = np.random.default_rng(1).normal(0, 0.004, x.shape)
  picture = 0.04 + 0.62 * body - 0.42 * lungs * body + ribs + spine * body + noise
  picture[:, : columns // 20] = 0.01
  picture[4:14, -24:-14] = 0.97
  return np.clip(picture, 0, 1)


def values(bits: int, *, signed: bool = False) -> Values:
  """Stored values that fill about the range of `bits`."""
  greatest = (1 << bits) - 1
  stored = np.rint(shares() * greatest)
  kind = f'{"i" if signed else "u"}{1 if bits <= 8 else 2 if bits <= 16 else 4}'
  return (stored - (greatest // 2 + 1) * signed).astype(kind)


def colours(bits: int = 8) -> Values:
  """RGB in which colours change smoothly, and not with the grey alone."""
  grey = shares()
  y, x = np.mgrid[0 : 1 : ROWS * 1j, 0 : 1 : COLUMNS * 1j]
  rgb = np.stack([grey, grey * (0.4 + 0.6 * x), grey * (1 - 0.7 * y)], axis=-1)
  return np.rint(rgb * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def window(bits: int, *, signed: bool = False) -> dict[str, Any]:
  """One that clips some of both ends."""
  greatest = (1 << bits) - 1
  return {
    'WindowCenter': int(0.45 * greatest) - (greatest // 2 + 1) * signed,
    'WindowWidth': max(2, int(0.8 * greatest)),
  }


def grey_object(bits: int, *, signed: bool = False, elements: Mapping[str, Any] | None = None) -> Dataset:
  """A grey object with a window."""
  given = {'BitsStored': bits, **window(bits, signed=signed), **(elements or {})}
  return dicom_dataset(values(bits, signed=signed), **given)
