"""Drawings that look like chest radiographs, with or without soft opacities in the lungs.

They teach a small network what a real data set would, and show no real patient.
Exposure varies more than the opacities add, so that mean brightness tells little.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.floating[Any]]

_BODY = 0.62
_AIR = 0.04
_LUNG_DEPTH = 0.42


@dataclass(frozen=True, slots=True)
class _Chest:
  """One body in front of the detector: coordinates run from about -1 to 1, y downwards."""

  x: Picture
  y: Picture
  lung_width: float
  lung_height: float
  heart: float


def draw_chest(rng: np.random.Generator, opacities: bool, height: int, width: int) -> Picture:
  """Draws one frontal radiograph.

  Args:
    rng: what varies comes from here alone: anatomy, position, exposure, noise.
    opacities: adds one to four soft opacities to the lung fields.
    height: rows of the picture.
    width: columns of the picture.

  Returns:
    float32, (height, width), 0 (black) to 1 (white): as it is displayed.
  """
  chest = _place_chest(rng, height, width)
  lungs = _lungs(chest)
  picture = _body(chest) - _LUNG_DEPTH * lungs
  picture += _bones(rng, chest, lungs) + _heart_and_mediastinum(chest)
  picture += 0.04 * lungs * _clouds(rng, (height, width), 24)
  if opacities:
    picture += _opacities(rng, chest, lungs)
  return _expose(rng, picture)


def _place_chest(rng: np.random.Generator, height: int, width: int) -> _Chest:
  scale_x, scale_y = rng.uniform(0.92, 1.08, 2)
  shift_x, shift_y = rng.uniform(-0.07, 0.07, 2)
  angle = rng.uniform(-0.06, 0.06)
  columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(scale_x) - np.float32(shift_x)
  rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(scale_y) - np.float32(shift_y)
  cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
  return _Chest(
    x=cosine * columns - sine * rows,
    y=sine * columns + cosine * rows,
    lung_width=rng.uniform(0.30, 0.36),
    lung_height=rng.uniform(0.60, 0.70),
    heart=rng.uniform(0.20, 0.30),
  )


def _edge(distance: Picture, softness: float) -> Picture:
  """1 where `distance` is negative (inside), 0 outside, soft between."""
  return 0.5 - 0.5 * np.tanh(distance / np.float32(softness))


def _ellipse(chest: _Chest, centre: tuple[float, float], radii: tuple[float, float], softness: float) -> Picture:
  radius = np.hypot((chest.x - centre[0]) / radii[0], (chest.y - centre[1]) / radii[1])
  return _edge(radius - 1, softness)


def _body(chest: _Chest) -> Picture:
  torso = _ellipse(chest, (0, 0.35), (0.98, 1.25), 0.05)
  neck = _ellipse(chest, (0, -1.1), (0.3, 0.5), 0.08)
  return _AIR + (_BODY - _AIR) * np.maximum(torso, neck)


def _lungs(chest: _Chest) -> Picture:
  lungs = [_ellipse(chest, (side * 0.44, -0.08), (chest.lung_width, chest.lung_height), 0.10) for side in (-1, 1)]
  diaphragm = chest.y - 0.48 + 0.25 * np.square(np.abs(chest.x) - 0.4) * 4
  return np.maximum(*lungs) * _edge(diaphragm, 0.05)


def _heart_and_mediastinum(chest: _Chest) -> Picture:
  spine = np.exp(-np.square(chest.x / 0.13)) * _edge(np.abs(chest.y) - 0.95, 0.1)
  heart = _ellipse(chest, (0.14, 0.28), (chest.heart + 0.05, 0.30), 0.20)
  return 0.14 * spine + 0.24 * heart


def _bones(rng: np.random.Generator, chest: _Chest, lungs: Picture) -> Picture:
  slope, phase = rng.uniform(0.35, 0.6), rng.uniform(0, 2 * np.pi)
  arcs = np.sin((chest.y + slope * np.square(chest.x)) * np.float32(2 * np.pi * 4.5) + np.float32(phase))
  cage = _edge(np.abs(chest.x) - 0.8, 0.05) * _edge(np.abs(chest.y + 0.1) - 0.65, 0.1)
  ribs = np.clip(arcs - 0.3, 0, None) * (0.3 + 0.7 * lungs) * cage
  collar = np.exp(-np.square((chest.y + 0.66 - 0.16 * np.abs(chest.x)) / 0.035)) * _edge(np.abs(chest.x) - 0.75, 0.1)
  return 0.10 * ribs + 0.09 * collar


def _clouds(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Picture:
  """Smooth noise of deviation near 1, with about `cells` bumps along the height."""
  height, width = shape
  coarse = rng.standard_normal((cells, max(2, cells * width // height)), np.float32)
  return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _opacities(rng: np.random.Generator, chest: _Chest, lungs: Picture) -> Picture:
  total = np.zeros_like(lungs)
  for _ in range(rng.integers(1, 5)):
    side = rng.choice((-1, 1))
    centre_x, centre_y = side * rng.uniform(0.32, 0.58), rng.uniform(-0.40, 0.40)
    radius = rng.uniform(0.13, 0.24)
    distance = np.square((chest.x - centre_x) / radius) + np.square((chest.y - centre_y) / radius)
    total += np.float32(rng.uniform(0.8, 1.2)) * np.exp(-distance)
  patchy = 1 + 0.25 * _clouds(rng, lungs.shape[:2], 16)
  return 0.42 * np.minimum(total, 1.1) * patchy * np.sqrt(lungs)


def _expose(rng: np.random.Generator, picture: Picture) -> Picture:
  """Tube, detector and noise: the same chest comes out darker, paler or harder."""
  gamma, gain, fog = rng.uniform(0.75, 1.35), rng.uniform(0.72, 1.05), rng.uniform(0.0, 0.12)
  exposed = fog + gain * np.power(np.clip(picture, 0, 1), np.float32(gamma))
  grain = rng.standard_normal(picture.shape, np.float32)
  return np.clip(exposed + np.float32(rng.uniform(0.006, 0.018)) * grain, 0, 1).astype(np.float32)
