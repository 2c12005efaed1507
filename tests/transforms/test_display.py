"""The display chain against the formulas of PS3.3, written out again here, and against values worked out by hand."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.transforms import pictures
from tests.transforms.pictures import lut as _lut
from transforms.codecs import stored_frame
from transforms.dicom import read_dicom
from transforms.display import display_frame, window
from transforms.elements import Limits, Pixels
from transforms.pixel_layout import pixel_layout

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def _display(values: Any, index: int = 0, **elements: Any) -> Pixels:
  data = pictures.dicom_file(pictures.dicom_dataset(values, **elements))
  dataset = read_dicom(data, Limits())
  layout = pixel_layout(dataset, Limits())
  return display_frame(stored_frame(dataset, layout, index), dataset, layout, index)


def _item(**elements: Any) -> Dataset:
  dataset = Dataset()
  for keyword, value in elements.items():
    setattr(dataset, keyword, value)
  return dataset


@pytest.mark.parametrize(
  ('function', 'center', 'width', 'value', 'share'),
  [
    # PS3.3 C.11.2.1.2.1, the note's example: c=2048, w=4096 takes 0 to the least and 4095 to the greatest value
    ('LINEAR', 2048, 4096, 0, 0.0),
    ('LINEAR', 2048, 4096, 4095, 1.0),
    ('LINEAR', 2048, 4096, 2047.5, 0.5),
    ('LINEAR', 2048, 4096, -5, 0.0),
    ('LINEAR', 2048, 4096, 5000, 1.0),
    # the next one: c=2048, w=1 is a threshold: x <= 2047.5 black
    ('LINEAR', 2048, 1, 2047, 0.0),
    ('LINEAR', 2048, 1, 2047.5, 0.0),
    ('LINEAR', 2048, 1, 2048, 1.0),
    ('LINEAR', 0, 100, -50, 0.0),
    ('LINEAR', 0, 100, 49, 1.0),
    ('LINEAR', 0, 100, 24.25, 0.75),
    ('DOE', 0, 100, 49, 1.0),  # not a term: LINEAR
    ('LINEAR_EXACT', 0, 100, -50, 0.0),
    ('LINEAR_EXACT', 0, 100, 0, 0.5),
    ('LINEAR_EXACT', 0, 100, 25, 0.75),
    ('LINEAR_EXACT', 0, 100, 50, 1.0),
    ('LINEAR_EXACT', 0, 0.5, 0.125, 0.75),
    ('SIGMOID', 0, 100, 0, 0.5),
    ('SIGMOID', 0, 100, 25, 1 / (1 + np.exp(-1))),
    ('SIGMOID', 10, 100, -40, 1 / (1 + np.exp(2))),
  ],
)
def test_window_formulas(function: str, center: float, width: float, value: float, share: float) -> None:
  shares = window(center, width, function)
  assert shares is not None
  assert shares(np.array([value], np.float64))[0] == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(('function', 'width'), [('LINEAR', 0.5), ('LINEAR_EXACT', 0), ('SIGMOID', -1)])
def test_widths_that_are_not_allowed(function: str, width: float) -> None:
  assert window(0, width, function) is None


def _linear(values: Any, center: float, width: float) -> Any:
  """PS3.3 C.11.2.1.2.1 as pseudocode, for each value."""
  out = []
  for value in np.asarray(values, float).ravel():
    if value <= center - 0.5 - (width - 1) / 2:
      out.append(0.0)
    elif value > center - 0.5 + (width - 1) / 2:
      out.append(255.0)
    else:
      out.append(((value - (center - 0.5)) / (width - 1) + 0.5) * 255)
  return np.reshape(out, np.shape(values))


WINDOW = {'WindowCenter': 1000, 'WindowWidth': 800}


@pytest.mark.parametrize(
  ('elements', 'expected'),
  [
    (WINDOW, _linear(RAMP, 1000, 800)),
    ({'WindowCenter': [1000, 40], 'WindowWidth': [800, 80]}, _linear(RAMP, 1000, 800)),  # the first of several
    ({**WINDOW, 'RescaleSlope': 2, 'RescaleIntercept': -1024}, _linear(RAMP * 2.0 - 1024, 1000, 800)),
    ({**WINDOW, 'PhotometricInterpretation': 'MONOCHROME1'}, 255 - _linear(RAMP, 1000, 800)),
    ({**WINDOW, 'PresentationLUTShape': 'INVERSE'}, 255 - _linear(RAMP, 1000, 800)),
    (  # inverted once, not twice
      {**WINDOW, 'PhotometricInterpretation': 'MONOCHROME1', 'PresentationLUTShape': 'INVERSE'},
      255 - _linear(RAMP, 1000, 800),
    ),
    ({**WINDOW, 'PresentationLUTShape': 'IDENTITY'}, _linear(RAMP, 1000, 800)),
    ({**WINDOW, 'ModalityLUTSequence': Sequence([_lut([0, 900, 1100, 4000], 2000, 16)])}, None),
    ({'VOILUTSequence': Sequence([_lut([0, 100, 255], 2000, 8)])}, None),
  ],
)
def test_chain(elements: dict[str, Any], expected: Any) -> None:
  if expected is None:
    steps = np.clip(RAMP.astype(int) - 2000, 0, 3)
    if 'ModalityLUTSequence' in elements:
      expected = _linear(np.array([0, 900, 1100, 4000])[steps], 1000, 800)
    else:
      expected = np.array([0, 100, 255])[np.minimum(steps, 2)]
  assert np.abs(_display(RAMP, BitsStored=12, **elements) - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
  'elements',
  [
    {},
    {'WindowCenter': 90_000, 'WindowWidth': 10},  # beyond the data
    {'WindowCenter': -90_000, 'WindowWidth': 10},
    {'WindowCenter': 2000, 'WindowWidth': 0},
    {'WindowCenter': 2000},
    {'WindowCenter': None, 'WindowWidth': None},
  ],
)
def test_without_a_window_that_shows_anything_the_middle_99_percent_are_stretched(elements: dict[str, Any]) -> None:
  low, high = np.percentile(RAMP, [0.5, 99.5], method='lower')
  expected = np.clip((RAMP.astype(float) - low) / (high - low), 0, 1) * 255
  assert np.abs(_display(RAMP, BitsStored=12, **elements) - expected).max() <= 1


@pytest.mark.parametrize(
  ('padding', 'elements'),
  [
    (-2000, {'PixelPaddingValue': -2000}),
    (-1500, {'PixelPaddingValue': -2000, 'PixelPaddingRangeLimit': -1500}),
    (3000, {'PixelPaddingValue': 2900, 'PixelPaddingRangeLimit': 3000}),
  ],
)
def test_padding_does_not_count_for_the_stretch(padding: int, elements: dict[str, Any]) -> None:
  values = (np.arange(4096) % 100).astype(np.int16).reshape(64, 64)
  values[:20] = padding
  shown = _display(values, **elements)
  assert np.ptp(shown[20:]) >= 253
  assert np.ptp(_display(values)[20:]) < 30


def test_padding_alone_is_stretched_as_if_it_were_not_padding() -> None:
  assert np.unique(_display(np.full((8, 8), 7, np.uint8), PixelPaddingValue=7)).tolist() == [0]


@pytest.mark.parametrize('kind', ['u1', 'i1', 'u2', 'i2', 'u4', 'i4', 'f4', 'f8'])
def test_all_types_show_the_same_ramp(kind: str) -> None:
  values = np.arange(100).reshape(10, 10)
  elements: dict[str, Any] = {'WindowCenter': 50, 'WindowWidth': 100}
  typed = values.astype(kind)
  if kind[0] == 'f':
    keyword = 'FloatPixelData' if kind == 'f4' else 'DoubleFloatPixelData'
    elements |= {keyword: typed.tobytes(), 'BitsAllocated': 8 * typed.dtype.itemsize}
  assert np.abs(_display(typed, **elements) - _linear(values, 50, 100)).max() <= 0.5 + 1e-9


def test_negative_values_keep_their_order() -> None:
  values = np.arange(-1000, 1048, dtype=np.int16).reshape(32, 64)
  assert np.abs(_display(values, WindowCenter=0, WindowWidth=500) - _linear(values, 0, 500)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize('hostile', [np.nan, np.inf, -np.inf, 1e308])
def test_what_is_no_number_is_shown_as_something(hostile: float) -> None:
  values = np.linspace(0, 1, 64).reshape(8, 8)
  values[0, 0] = hostile
  shown = _display(values, DoubleFloatPixelData=values.tobytes(), BitsAllocated=64, RescaleSlope='1e300')
  assert shown.shape == (8, 8)


def _functional_groups(**window_of_frame: int) -> Dataset:
  group = Dataset()
  group.FrameVOILUTSequence = Sequence([_item(**window_of_frame)])
  return group


def test_each_frame_has_its_own_window_and_shares_the_rescale() -> None:
  shared = Dataset()
  shared.PixelValueTransformationSequence = Sequence([_item(RescaleSlope=2, RescaleIntercept=-100)])
  groups = [
    _functional_groups(WindowCenter=1000, WindowWidth=800),
    _functional_groups(WindowCenter=2000, WindowWidth=90),
  ]
  elements = {
    'NumberOfFrames': 2,
    'SharedFunctionalGroupsSequence': Sequence([shared]),
    'PerFrameFunctionalGroupsSequence': Sequence(groups),
  }
  for index, (center, width) in enumerate([(1000, 800), (2000, 90)]):
    shown = _display(np.stack([RAMP, RAMP]), index, **elements)
    assert np.abs(shown - _linear(RAMP * 2.0 - 100, center, width)).max() <= 0.5 + 1e-9


def _palette(entries: Any, bits: int, first: int = 0) -> dict[str, Any]:
  elements: dict[str, Any] = {'PhotometricInterpretation': 'PALETTE COLOR'}
  for channel, colour in enumerate(('Red', 'Green', 'Blue')):
    elements[f'{colour}PaletteColorLookupTableDescriptor'] = [len(entries), first, bits]
    elements[f'{colour}PaletteColorLookupTableData'] = entries[:, channel].tobytes()
  return elements


TABLE = np.array([[0, 0, 0], [255, 10, 20], [30, 200, 40], [50, 60, 150]], np.uint8)
INDEX = (np.arange(64) % 4).astype(np.uint8).reshape(8, 8)


@pytest.mark.parametrize(
  ('entries', 'bits', 'first'),
  [
    (TABLE, 8, 0),
    (TABLE.astype('<u2') * 257, 16, 0),
    (TABLE.astype('<u2'), 16, 0),  # 8 bits in words: against the standard, and common
    (TABLE, 8, 3),
  ],
)
def test_palette(entries: Any, bits: int, first: int) -> None:
  assert np.array_equal(_display(INDEX + np.uint8(first), **_palette(entries, bits, first)), TABLE[INDEX])


@pytest.mark.parametrize(
  ('kind', 'factor', 'bits'), [('u1', 1, 8), ('u2', 257, 16), ('u4', 16843009, 32), ('u2', 16, 12)]
)
def test_colour_of_any_depth_becomes_8_bit(kind: str, factor: int, bits: int) -> None:
  colours = pictures.colours()
  assert np.array_equal(_display(colours.astype(kind) * np.dtype(kind).type(factor), BitsStored=bits), colours)


@pytest.mark.parametrize('value', [0, 7, 255])
def test_a_constant_image_is_no_crash(value: int) -> None:
  assert np.ptp(_display(np.full((8, 8), value, np.uint8))) == 0


def test_a_supplemental_palette_colours_the_upper_values() -> None:
  """PS3.3 C.7.6.19: a velocity map over anatomy; the window is of the grey values alone."""
  values = np.array([[0, 50, 99, 1000, 1001, 1002]], np.uint16)
  entries = np.array([[9, 8, 7], [0, 255, 0], [1, 2, 3]], np.uint8)
  palette = {name: value for name, value in _palette(entries, 8, 1000).items() if name != 'PhotometricInterpretation'}
  shown = _display(values, PixelPresentation='COLOR', WindowCenter=50, WindowWidth=100, **palette)
  assert shown[0, :3].tolist() == [[0, 0, 0], [129, 129, 129], [255, 255, 255]]
  assert shown[0, 3:].tolist() == entries.tolist()


@pytest.mark.parametrize('presentation', ['MONOCHROME', None])
def test_a_palette_without_a_word_for_it_is_no_matter(presentation: str | None) -> None:
  elements = {**_palette(TABLE, 8), 'PhotometricInterpretation': 'MONOCHROME2', 'PixelPresentation': presentation}
  assert _display(RAMP, **elements).ndim == 2
  assert _display(RAMP, **{**elements, 'PixelPresentation': 'COLOR', 'RedPaletteColorLookupTableData': b''}).ndim == 2
