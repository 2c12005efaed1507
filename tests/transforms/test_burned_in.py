import numpy as np
import pytest

from tests.transforms.pictures import colours, gradient
from transforms.burned_in import BurnedIn, Region, mask, read_regions
from transforms.conditions import Candidate
from transforms.elements import HeaderFacts
from transforms.errors import InputError
from transforms.yaml_entries import RulesError

DEVICES = """
devices:
  - name: epiq
    manufacturer: philips
    model: ^EPIQ
    rows: 48
    mask_px: [[0, 0, 64, 5], [60, 40, 4, 8]]
  - name: any-ultrasound
    modality: US
    mask_fraction: [[0, 0.9, 1, 0.1]]
"""
EPIQ, ULTRASOUND = read_regions(DEVICES)
GREY = np.maximum(gradient(48, 64, 8), 1).astype(np.uint8)


def image(model: str = 'EPIQ 7', *, declared: bool | None = None, rows: int = 48, modality: str = 'US') -> Candidate:
  facts = HeaderFacts(modality=modality, manufacturer='philips', rows=rows, burned_in=declared)
  return Candidate('dicom', facts, model=model)


@pytest.mark.parametrize(
  ('mode', 'candidate', 'expected'),
  [
    ('flag', image(declared=True), None),
    ('reject', image(), None),
    ('reject', image(declared=False), None),
    ('reject', image(declared=True), 'burned-in'),
    ('mask', image(), EPIQ),
    ('mask', image(declared=False), EPIQ),  # the site knows its device better than the header does
    ('mask', image(declared=True), EPIQ),
    ('mask', image(rows=49), ULTRASOUND),
    ('mask', image('CX50', declared=True), ULTRASOUND),
    ('mask', image('CX50', modality='CR'), None),
    ('mask', image('CX50', modality='CR', declared=True), 'burned-in'),
  ],
)
def test_modes(mode: str, candidate: Candidate, expected: Region | str | None) -> None:
  rule = BurnedIn(mode, (EPIQ, ULTRASOUND))  # type: ignore[arg-type]
  if isinstance(expected, str):
    with pytest.raises(InputError) as raised:
      rule.region(candidate)
    assert raised.value.code == expected
  else:
    assert rule.region(candidate) == expected


@pytest.mark.parametrize('picture', [GREY, np.maximum(colours(), 1)])
def test_a_mask_covers_its_rectangles_and_nothing_else(picture: np.ndarray) -> None:
  before = picture.copy()
  covered = mask(picture, EPIQ)
  expected = np.zeros((48, 64), bool)
  expected[:5] = True
  expected[40:, 60:] = True
  assert np.array_equal(covered == 0, expected if picture.ndim == 2 else np.dstack([expected] * 3))
  assert np.array_equal(covered[~expected], picture[~expected])
  assert np.array_equal(picture, before)


@pytest.mark.parametrize(('rows', 'first'), [(10, 9), (48, 43), (49, 44)])
def test_a_fraction_covers_every_pixel_that_it_touches(rows: int, first: int) -> None:
  covered = mask(np.ones((rows, 7), np.uint8), ULTRASOUND)
  assert np.flatnonzero(covered.min(axis=1) == 0).tolist() == list(range(first, rows))
  assert covered[first:].max() == 0


@pytest.mark.parametrize('shape', [(47, 64), (48, 63), (4, 4)])
def test_a_region_measured_on_another_size_is_refused(shape: tuple[int, int]) -> None:
  with pytest.raises(InputError) as raised:
    mask(np.ones(shape, np.uint8), EPIQ)
  assert raised.value.code == 'burned-in'


def test_the_digest_is_of_mode_and_regions() -> None:
  digests = {BurnedIn().digest, BurnedIn('reject').digest, BurnedIn('mask', (EPIQ,)).digest, BurnedIn('mask').digest}
  assert len(digests) == 4
  assert BurnedIn('mask', read_regions(DEVICES)).digest == BurnedIn('mask', (EPIQ, ULTRASOUND)).digest


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'line 1: expected `devices`, found nothing'),
    ('regions: []', "line 1: 'regions' is no key of a file of burned-in regions; expected devices"),
    ('devices: []', 'expected a list of devices, found a list of 0'),
    ('devices:\n  - name: a\n    rows: 4', 'line 2: a device needs a `name`, and `mask_px` or `mask_fraction`'),
    ('devices: [{rows: 4, mask_px: [[0, 0, 1, 1]]}]', 'a device needs a `name`'),
    ('devices: [{name: a, mask_px: [[0, 0, 1, 1]]}]', "the device 'a' has no condition"),
    ('devices: [{name: a, make: x, mask_px: [[0, 0, 1, 1]]}]', "'make' is no key of a device; expected name, mask_px"),
    ('devices: [{name: a, rows: 4, mask_px: []}]', 'expected a list of rectangles'),
    ('devices: [{name: a, rows: 4, mask_px: [0, 0, 1, 1]}]', 'expected [left, top, width, height] in whole pixels'),
    ('devices: [{name: a, rows: 4, mask_px: [[0, 0, 1]]}]', 'in whole pixels, found a list of 3'),
    ('devices: [{name: a, rows: 4, mask_px: [[0, 0, 1, 0.5]]}]', 'in whole pixels'),
    ('devices: [{name: a, rows: 4, mask_px: [[0, 0, 0, 1]]}]', 'in whole pixels'),
    ('devices: [{name: a, rows: 4, mask_px: [[-1, 0, 2, 1]]}]', 'in whole pixels'),
    ('devices: [{name: a, rows: 4, mask_fraction: [[0, 0, 2, 1]]}]', 'in fractions from 0 to 1'),
    ('devices: [{name: a, rows: 4, mask_fraction: [[0.5, 0, 0.6, 1]]}]', 'in fractions from 0 to 1'),
    ('devices: [{name: a, rows: 4, mask_fraction: [[.nan, 0, 0.6, 1]]}]', 'in fractions from 0 to 1'),
    ('devices: [{name: a, rows: 4, mask_fraction: [[0, 0, .nan, 1]]}]', 'in fractions from 0 to 1'),
    (
      'devices:\n- {name: a, rows: 4, mask_px: [[0, 0, 1, 1]]}\n- {name: a, rows: 5, mask_px: [[0, 0, 1, 1]]}',
      "line 3: 'a' is taken",
    ),
  ],
)
def test_what_is_no_region_is_refused_with_its_line(text: str, message: str) -> None:
  with pytest.raises(RulesError) as raised:
    read_regions(text)
  assert message in str(raised.value)
