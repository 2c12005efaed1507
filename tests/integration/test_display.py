"""The display chain: windows, tables, inversion, palettes, colour spaces, bits that lie oddly; as dcmtk shows them."""

from typing import Any

import numpy as np
import pytest
from pydicom.sequence import Sequence

from benchmarks import dcmtk
from tests.integration import radiographs
from tests.integration.pictures_compared import assert_alike, assert_same, ours
from tests.transforms.pictures import dicom_dataset, dicom_file, lut
from tests.transforms.test_native_pixels import pack_12_bits

NO_WINDOW: dict[str, Any] = {'WindowCenter': None, 'WindowWidth': None}
WINDOW = ('+Wi', '1')
TABLE = ('+Wl', '1')
GREATEST = ('+Wm',)


def grey(bits: int = 12, *, signed: bool = False, **elements: Any) -> bytes:
  return dicom_file(radiographs.grey_object(bits, signed=signed, elements=elements))


def curve(bits: int, entries: int = 4096) -> list[int]:
  return [int(value) for value in np.rint((2**bits - 1) * np.linspace(0, 1, entries) ** 0.5)]


@pytest.mark.parametrize(
  'elements',
  [
    {},
    {'WindowCenter': [1500, 100], 'WindowWidth': [3000, 10]},
    {'WindowCenter': 1500, 'WindowWidth': 1},
    {'VOILUTFunction': 'LINEAR'},
    {'VOILUTFunction': 'LINEAR_EXACT'},
    {'VOILUTFunction': 'SIGMOID'},
    {'RescaleSlope': '2.5', 'RescaleIntercept': '-1024', 'WindowCenter': 3000, 'WindowWidth': 7000},
    {'RescaleSlope': '-2.5', 'RescaleIntercept': '10', 'WindowCenter': -5000, 'WindowWidth': 7000},
    {'ModalityLUTSequence': Sequence([lut(curve(16), 0, 16)]), 'WindowCenter': 30_000, 'WindowWidth': 50_000},
    {'PresentationLUTShape': 'INVERSE'},
    {'PresentationLUTShape': 'IDENTITY'},
  ],
)
@pytest.mark.parametrize('photometric', ['MONOCHROME1', 'MONOCHROME2'])
def test_windows(photometric: str, elements: dict[str, Any]) -> None:
  data = grey(PhotometricInterpretation=photometric, **elements)
  expected = dcmtk.picture(data, *WINDOW)
  if (photometric, elements.get('PresentationLUTShape')) == ('MONOCHROME1', 'IDENTITY'):
    # They contradict each other (PS3.3 C.8.11.3.1.2). dcmtk goes by the shape, we by what every image has.
    expected = 255 - expected
  assert_same(ours(data), expected)


@pytest.mark.parametrize('bits', [8, 10, 12, 16])
@pytest.mark.parametrize(('signed', 'first', 'entries'), [(False, 0, 4096), (False, 500, 3000), (True, -2048, 4096)])
def test_voi_tables(bits: int, signed: bool, first: int, entries: int) -> None:
  table = lut(curve(bits, entries), first, bits)
  data = grey(signed=signed, VOILUTSequence=Sequence([table]), **NO_WINDOW)
  assert_same(ours(data), dcmtk.picture(data, *TABLE))


def test_a_voi_table_goes_before_a_window() -> None:
  data = grey(VOILUTSequence=Sequence([lut(curve(12), 0, 12)]))
  assert_same(ours(data), dcmtk.picture(data, *TABLE))


@pytest.mark.parametrize(
  'elements',
  [
    NO_WINDOW,
    {'WindowCenter': 60_000, 'WindowWidth': 100},  # does not touch the data
    {'WindowCenter': 2000, 'WindowWidth': 0},
    {'WindowCenter': 2000, 'WindowWidth': None},
    {**NO_WINDOW, 'PixelPaddingValue': 0},
    {**NO_WINDOW, 'RescaleSlope': '0.5', 'RescaleIntercept': '-100'},
  ],
)
@pytest.mark.parametrize('photometric', ['MONOCHROME1', 'MONOCHROME2'])
@pytest.mark.parametrize(('bits', 'signed'), [(8, False), (12, False), (12, True), (16, False)])
def test_without_a_window_that_can_be_used(bits: int, signed: bool, photometric: str, elements: dict[str, Any]) -> None:
  data = grey(bits, signed=signed, PhotometricInterpretation=photometric, **elements)
  if bits == 16 and elements.get('WindowCenter') == 60_000:
    data = grey(bits, signed=signed, PhotometricInterpretation=photometric, WindowCenter=-900, WindowWidth=10)
  assert_alike(ours(data), dcmtk.picture(data, *GREATEST))


VALUES = radiographs.values(12)


@pytest.mark.parametrize(
  ('values', 'elements'),
  [
    (VALUES << 4 | 5, {'BitsStored': 12, 'HighBit': 15}),
    (VALUES << 2 | 3 | 0x8000, {'BitsStored': 12, 'HighBit': 13}),
    (VALUES | 0xA000, {'BitsStored': 12, 'HighBit': 11}),  # overlays in the upper bits
    (VALUES, {'BitsAllocated': 12, 'BitsStored': 12, 'HighBit': 11, 'PixelData': pack_12_bits(VALUES)}),
  ],
)
@pytest.mark.parametrize('encoder', [None, '+tb', '+ti'])
def test_bits_that_lie_oddly(values: Any, elements: dict[str, Any], encoder: str | None) -> None:
  data = dicom_file(dicom_dataset(values, **elements, **radiographs.window(12)))
  data = dcmtk.transcode(data, 'dcmconv', encoder) if encoder else data
  assert_same(ours(data), dcmtk.picture(data, *WINDOW))


@pytest.mark.parametrize('encoder', [None, '+tb', '+ti', '+td'])
def test_one_bit(encoder: str | None) -> None:
  mask = (radiographs.shares() > 0.4).astype(np.uint8)
  packed = np.packbits(mask.ravel(), bitorder='little').tobytes()
  data = dicom_file(dicom_dataset(mask, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed))
  data = dcmtk.transcode(data, 'dcmconv', encoder) if encoder else data
  assert_same(ours(data), dcmtk.picture(data, *GREATEST))


def palette(bits: int, entries: int, first: int = 0) -> dict[str, Any]:
  """From blue to orange."""
  share = np.linspace(0, 1, entries)
  colours = np.rint(np.stack([share**0.5, share, 1 - share]) * (2**bits - 1)).astype('u1' if bits == 8 else '<u2')
  elements: dict[str, Any] = {'PhotometricInterpretation': 'PALETTE COLOR'}
  for name, channel in zip(('Red', 'Green', 'Blue'), colours, strict=True):
    elements[f'{name}PaletteColorLookupTableDescriptor'] = [entries % 65_536, first, bits]
    elements[f'{name}PaletteColorLookupTableData'] = channel.tobytes() + bytes(channel.nbytes % 2)
  return elements


PALETTE_ENCODERS: list[tuple[str, ...]] = [
  ('dcmconv', '+te'),
  ('dcmconv', '+ti'),
  ('dcmconv', '+tb'),
  ('dcmconv', '+td'),
  ('dcmcrle',),
  ('dcmcjpeg', '+e1'),
  ('dcmcjpls', '+el'),
]


@pytest.mark.parametrize('encoder', PALETTE_ENCODERS)
@pytest.mark.parametrize('entry_bits', [8, 16])
@pytest.mark.parametrize(('bits', 'entries', 'first'), [(8, 256, 0), (8, 200, 30), (10, 1024, 0), (16, 65_536, 0)])
def test_palettes(encoder: tuple[str, ...], entry_bits: int, bits: int, entries: int, first: int) -> None:
  values = radiographs.values(bits)
  data = dicom_file(dicom_dataset(values, BitsStored=bits, **palette(entry_bits, entries, first)))
  data = dcmtk.transcode(data, *encoder)
  assert_same(ours(data), dcmtk.picture(data))
