"""A frozen set of changes, as other devices and sites make them, to see a network's validation under shift.

The set has families, each of several changes, each in two strengths. An image
is seen through one change of every family, by itself; which, and how strongly,
is drawn from its own pixels. And once through all of these together, mild:
another site differs in everything a little. A shifted validation so costs one
pass more than there are families, whatever the number of changes, and recipes
are always compared on the same pictures.

The set is frozen: figures of bundles are compared over years. Whoever changes
it raises `VERSION`; a test holds what it makes of drawn images.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model import shift_functions as functions

Pixels = NDArray[np.uint8]
Strength = Literal['mild', 'strong']
Figures = Mapping[str, float]

VERSION: Final = 1
STRENGTHS: Final[tuple[Strength, ...]] = ('mild', 'strong')
_LEAST_SIDE_PX: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
  """One change.

  Attributes:
    name: as it stands in tables.
    family: changes of a kind, of which an image gets one.
    function: of `model.shift_functions`.
    mild: its figures when it is mild.
    strong: its figures when it is strong.
    imitates: for a reader.
  """

  name: str
  family: str
  function: Callable[..., functions.Image]
  mild: Figures
  strong: Figures
  imitates: str

  def figures(self, strength: Strength) -> Figures:
    """How strong it is."""
    return self.mild if strength == 'mild' else self.strong


SHIFTS: Final[tuple[Shift, ...]] = (
  Shift('film-steep', 'grey', functions.film, {'slope': 6, 'centre': 0.5}, {'slope': 9, 'centre': 0.5}, 'hard film'),
  Shift(
    'film-dark', 'grey', functions.film, {'slope': 4, 'centre': 0.65}, {'slope': 6, 'centre': 0.75}, 'overexposed film'
  ),
  Shift('film-flat', 'grey', functions.fog, {'base': 0.1, 'bend': 0.1}, {'base': 0.25, 'bend': 0.1}, 'fogged film'),
  Shift(
    'log-display', 'grey', functions.log_display, {'steepness': 2}, {'steepness': 6}, 'logarithmic scale, underexposed'
  ),
  Shift('defocus', 'sharpness', functions.defocus, {'radius': 0.006}, {'radius': 0.012}, 'large focal spot'),
  Shift('motion', 'sharpness', functions.motion, {'length': 0.02}, {'length': 0.04}, 'patient who moved'),
  Shift('skipped-pixels', 'sharpness', functions.skip_pixels, {'share': 0.6}, {'share': 0.4}, 'small export'),
  Shift(
    'processed-detail',
    'sharpness',
    functions.process_detail,
    {'power': 0.85, 'latitude': 0.8},
    {'power': 0.7, 'latitude': 0.6},
    'multi-scale processing of a vendor',
  ),
  Shift('quantum-noise', 'noise', functions.quantum_noise, {'photons': 2000}, {'photons': 600}, 'low dose'),
  Shift('grain', 'noise', functions.grain, {'amplitude': 0.015}, {'amplitude': 0.035}, 'film and screen'),
  Shift('grid-lines', 'noise', functions.grid_lines, {'amplitude': 0.02}, {'amplitude': 0.05}, 'anti-scatter grid'),
  Shift('jpeg', 'noise', functions.jpeg, {'quality': 35}, {'quality': 15}, 'lossy archive'),
  Shift('cropped', 'field', functions.crop, {'keep': 0.9}, {'keep': 0.78}, 'small field, off the centre'),
  Shift('collimated', 'field', functions.collimate, {'inset': 0.07}, {'inset': 0.13}, 'shutters in the picture'),
  Shift('heel', 'field', functions.heel, {'amplitude': 0.18}, {'amplitude': 0.35}, 'heel effect, grid cut-off'),
  Shift('plate', 'field', functions.plate, {'height': 0.09}, {'height': 0.14}, 'side marker of a detector'),
)
FAMILIES: Final = tuple(dict.fromkeys(shift.family for shift in SHIFTS))


TOGETHER: Final = 'together'


@dataclass(frozen=True, slots=True)
class Variant:
  """A change with its strength; of the name `TOGETHER`, those that an image drew, one after the other."""

  shift: str
  strength: Strength

  @property
  def family(self) -> str:
    """That of the change."""
    return TOGETHER if self.shift == TOGETHER else _BY_NAME[self.shift].family


_BY_NAME: Final = {shift.name: shift for shift in SHIFTS}
VARIANTS: Final = tuple(Variant(shift.name, strength) for shift in SHIFTS for strength in STRENGTHS)
ALL_AT_ONCE: Final = Variant(TOGETHER, 'mild')
VIEWS: Final = len(FAMILIES) + 1


def set_digest() -> str:
  """SHA-256 of the set: its version, its names and its figures; it stands with every result."""
  rows = [[shift.name, shift.family, shift.function.__name__, dict(shift.mild), dict(shift.strong)] for shift in SHIFTS]
  facts = [VERSION, rows, ALL_AT_ONCE.strength]
  return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def draw(image: Pixels) -> tuple[Variant, ...]:
  """The variants that an image is seen in: one of every family, then all at once.

  Drawn from the pixels alone: neither ids, which depend on a site's key, nor
  the order of the images have a say.
  """
  return (*_draw_singly(image), ALL_AT_ONCE)


def _draw_singly(image: Pixels) -> tuple[Variant, ...]:
  return tuple(_draw_of(family, image) for family in FAMILIES)


def _draw_of(family: str, image: Pixels) -> Variant:
  chance = _hash(family, image)
  names = [shift.name for shift in SHIFTS if shift.family == family]
  return Variant(names[chance[0] % len(names)], STRENGTHS[chance[1] % len(STRENGTHS)])


def apply(variant: Variant, image: Pixels) -> Pixels:
  """Changes an image as it is stored in a dataset.

  What `pad` left black around the picture stays: a site changes its pictures,
  not our preprocessing.

  Args:
    variant: which change.
    image: uint8 [height, width, channels]; it stays as it is.

  Returns:
    The same shape and type; the same image and variant give the same result.
  """
  if variant.shift == TOGETHER:
    return _apply_together(variant.strength, image)
  shift = _BY_NAME[variant.shift]
  random = np.random.default_rng(int.from_bytes(_hash(variant.shift, image)[:8], 'big'))
  inner = _content(image)
  changed = shift.function(image[inner].astype(np.float32) / 255, random, **shift.figures(variant.strength))
  result = image.copy()
  result[inner] = np.clip(np.rint(changed * 255), 0, 255).astype(np.uint8)
  return result


def _apply_together(strength: Strength, image: Pixels) -> Pixels:
  changed = image
  for drawn in _draw_singly(image):
    changed = apply(Variant(drawn.shift, strength), changed)
  return changed


def _hash(text: str, image: Pixels) -> bytes:
  return hashlib.sha256(f'{text}\x1f'.encode() + np.ascontiguousarray(image).tobytes()).digest()


def _content(image: Pixels) -> tuple[slice, slice]:
  """Rows and columns without the black around them; all of an image that has next to nothing else."""
  lit = np.any(image, axis=2)
  rows, columns = np.flatnonzero(np.any(lit, axis=1)), np.flatnonzero(np.any(lit, axis=0))
  if min(len(rows), len(columns)) < _LEAST_SIDE_PX:
    return slice(None), slice(None)
  return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
