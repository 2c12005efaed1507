import struct
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.transforms.pictures import parsed
from transforms.errors import InputError
from transforms.palettes import read_palette

VALUES = np.arange(-2.0, 12.0)


def _dataset(descriptor: Any, segmented: bool = False, **tables: Any) -> Dataset:
  dataset = Dataset()
  for colour in ('Red', 'Green', 'Blue'):
    setattr(dataset, f'{colour}PaletteColorLookupTableDescriptor', descriptor)
    keyword = f'{"Segmented" * segmented}{colour}PaletteColorLookupTableData'
    setattr(dataset, keyword, tables.get(colour.lower(), tables['red']))
  return dataset


def _red(dataset: Dataset, values: np.ndarray = VALUES) -> list[int]:
  return [int(red) for red in read_palette(parsed(dataset)).paint(values)[:, 0]]


def test_beyond_its_ends_a_palette_is_constant() -> None:
  dataset = _dataset([3, 5, 8], red=b'\x0a\x14\x1e\0', green=b'\1\2\3\0', blue=b'\4\5\6\0')
  assert read_palette(parsed(dataset)).paint(np.array([0.0, 5, 6, 7, 99])).tolist() == [
    [10, 1, 4],
    [10, 1, 4],
    [20, 2, 5],
    [30, 3, 6],
    [30, 3, 6],
  ]


def test_the_first_value_of_signed_pixels_may_be_negative() -> None:
  dataset = _dataset([3, 65_535, 8], red=b'\x0a\x14\x1e\0')
  parsed_dataset = parsed(dataset)  # before the sign is known: as unsigned
  dataset.PixelRepresentation = 1
  del dataset.RedPaletteColorLookupTableDescriptor
  signed = parsed(dataset)
  signed.at.update(parsed_dataset.at)


DISCRETE_3 = [0, 3, 10, 20, 30]
LINEAR_4_TO_70 = [1, 4, 70]
SEGMENTS = [
  (DISCRETE_3, [10, 20, 30]),
  ([*DISCRETE_3, *LINEAR_4_TO_70], [10, 20, 30, 40, 50, 60, 70]),
  ([*DISCRETE_3, 0, 1, 0, *LINEAR_4_TO_70], [10, 20, 30, 0, 18, 35, 52, 70]),
]


@pytest.mark.parametrize(('words', 'expected'), SEGMENTS)
@pytest.mark.parametrize('bits', [8, 16])
def test_segments(words: list[int], expected: list[int], bits: int) -> None:
  data = struct.pack(f'<{len(words)}{"B" if bits == 8 else "H"}', *words)
  dataset = _dataset([len(expected), 0, bits], segmented=True, red=data)
  assert _red(dataset, np.arange(float(len(expected)))) == expected


@pytest.mark.parametrize(
  ('bits', 'reference'), [(16, struct.pack('<4H', 2, 1, 10, 0)), (8, struct.pack('<2BI', 2, 1, 5))]
)
def test_an_indirect_segment_repeats_others(bits: int, reference: bytes) -> None:
  """The second segment again, from the byte where it starts: the line to 70 now starts at 70."""
  words = [*DISCRETE_3, *LINEAR_4_TO_70]
  data = struct.pack(f'<{len(words)}{"B" if bits == 8 else "H"}', *words) + reference
  assert _red(_dataset([11, 0, bits], segmented=True, red=data), np.arange(11.0)) == [
    10,
    20,
    30,
    40,
    50,
    60,
    70,
    70,
    70,
    70,
    70,
  ]


def test_a_hostile_segment_ends_with_the_table() -> None:
  data = struct.pack('<3H', 0, 1, 5) + struct.pack('<3H', 1, 65_535, 9) * 1000
  assert _red(_dataset([20, 0, 16], segmented=True, red=data), np.array([0.0, 19.0])) == [5, 5]


@pytest.mark.parametrize(
  'dataset',
  [
    _dataset([3, 0, 8], red=b''),
    _dataset([3, 0], red=bytes(4)),
    _dataset(None, red=bytes(4)),
    _dataset([3, 0, 16], segmented=True, red=struct.pack('<3H', 3, 1, 1)),
    _dataset([3, 0, 16], segmented=True, red=struct.pack('<4H', 2, 1, 0, 0)),  # refers to itself
    _dataset([3, 0, 16], segmented=True, red=struct.pack('<4H', 2, 1, 900, 0)),
    _dataset([3, 0, 16], segmented=True, red=struct.pack('<3H', 1, 0, 7)),
    _dataset([3, 0, 16, 1], red=bytes(6)),
  ],
)
def test_a_broken_palette_is_the_input_s_defect(dataset: Dataset) -> None:
  with pytest.raises(InputError) as caught:
    read_palette(parsed(dataset))
  assert caught.value.code == 'header-corrupt'
