"""Text that a device has burned into the pixels: flagged, refused, or covered before anything else sees it."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from transforms.conditions import FACTS, Candidate, Condition, hold, read_conditions
from transforms.elements import Pixels
from transforms.errors import InputError
from transforms.trace import note_step
from transforms.yaml_entries import Entry, check_keys, read_yaml

Mode = Literal['flag', 'reject', 'mask']
Rectangle = tuple[float, float, float, float]  # left, top, width, height

_UNITS: Final = ('mask_px', 'mask_fraction')


@dataclass(frozen=True, slots=True)
class Region:
  """What a device writes over: in pixels of its images, and in fractions of their width and height."""

  name: str
  conditions: tuple[Condition, ...]
  mask_px: tuple[Rectangle, ...] = ()
  mask_fraction: tuple[Rectangle, ...] = ()


@dataclass(frozen=True, slots=True)
class BurnedIn:
  """What to do about burned-in text.

  Attributes:
    mode: `flag` says so in the row; `reject` refuses what declares it; `mask`
      covers what the regions name, and refuses what declares burned-in text
      but has no region.
    regions: the first whose conditions hold applies.
  """

  mode: Mode = 'flag'
  regions: tuple[Region, ...] = ()

  @property
  def digest(self) -> str:
    """SHA-256 of mode and regions, hexadecimal."""
    return hashlib.sha256(repr(self).encode()).hexdigest()

  def region(self, candidate: Candidate) -> Region | None:
    """What to cover; None for nothing.

    Raises:
      InputError: `burned-in` if the image is not wanted as it is.
    """
    declared = candidate.facts.burned_in
    if self.mode == 'reject' and declared:
      raise InputError('burned-in', 'declared by the header')
    if self.mode != 'mask':
      return None
    found = next((region for region in self.regions if hold(region.conditions, candidate)), None)
    if found is None and declared:
      raise InputError('burned-in', 'declared by the header, and no region for the device')
    return found


def mask(image: Pixels, region: Region) -> Pixels:
  """Covers a region with black.

  Args:
    image: uint8, (rows, columns) or (rows, columns, 3), as displayed.
    region: of the device.

  Returns:
    A copy of the image.

  Raises:
    InputError: `burned-in` if a rectangle in pixels does not lie in the image:
      it was measured on another size, and would miss the text.
  """
  note_step('masked: {} regions', len(region.mask_px) + len(region.mask_fraction))
  covered = np.array(image)
  height, width = image.shape[:2]
  for left, top, across, down in region.mask_px:
    if left + across > width or top + down > height:
      raise InputError('burned-in', f'a region does not fit into {width} x {height} pixels')
    covered[int(top) : int(top + down), int(left) : int(left + across)] = 0
  for left, top, across, down in region.mask_fraction:
    rows = slice(int(top * height), int(np.ceil((top + down) * height)))
    covered[rows, int(left * width) : int(np.ceil((left + across) * width))] = 0
  return covered


def read_regions(text: str) -> tuple[Region, ...]:
  """Reads the YAML of `--burned_in_regions`.

  Raises:
    RulesError: naming the line.
  """
  root = read_yaml(text)
  entries = root.mapping('`devices`')
  check_keys(entries, ('devices',), 'a file of burned-in regions')
  if 'devices' not in entries:
    raise root.error('devices is missing; expected a list of devices with their regions')
  regions: dict[str, Region] = {}
  for entry in entries['devices'].sequence('a list of devices'):
    region = _read_region(entry)
    if region.name in regions:
      raise entry.error(f'{region.name!r} is taken; every device needs a name of its own')
    regions[region.name] = region
  return tuple(regions.values())


def _read_region(entry: Entry) -> Region:
  entries = dict(entry.mapping('a device with `name`, conditions, and `mask_px` or `mask_fraction`'))
  check_keys(entries, ('name', *_UNITS, *FACTS), 'a device')
  if 'name' not in entries or not set(_UNITS) & set(entries):
    raise entry.error('a device needs a `name`, and `mask_px` or `mask_fraction`')
  name = entries.pop('name').name()
  masks = {unit: _rectangles(entries.pop(unit), unit) for unit in _UNITS if unit in entries}
  if not entries:
    raise entry.error(f'the device {name!r} has no condition; a mask for all images would hide what nobody looked at')
  return Region(name, read_conditions(entries), masks.get('mask_px', ()), masks.get('mask_fraction', ()))


def _rectangles(entry: Entry, unit: str) -> tuple[Rectangle, ...]:
  return tuple(_rectangle(one, unit) for one in entry.sequence('a list of rectangles'))


def _rectangle(entry: Entry, unit: str) -> Rectangle:
  kind, most = (int, float('inf')) if unit == 'mask_px' else (int | float, 1 + 1e-9)
  given = [one.value for one in entry.value] if isinstance(entry.value, list) else []
  plain = len(given) == 4 and all(isinstance(one, kind) and not isinstance(one, bool) and one >= 0 for one in given)
  if not plain or not min(given[2:]) > 0 or not max(given[0] + given[2], given[1] + given[3]) <= most:
    of = 'whole pixels' if unit == 'mask_px' else 'fractions from 0 to 1 of width and height'
    raise entry.error(f'expected [left, top, width, height] in {of}, found {entry.shown}')
  left, top, width, height = given
  return left, top, width, height
