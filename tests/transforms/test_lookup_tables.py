from typing import Any

import numpy as np
import pytest

from tests.transforms.pictures import lut, parsed
from transforms.errors import InputError
from transforms.lookup_tables import look_up, lut_entries


@pytest.mark.parametrize(
  ('entries', 'first', 'value', 'expected'),
  [
    ([10, 20, 30], 0, -5, 10),
    ([10, 20, 30], 0, 1, 20),
    ([10, 20, 30], 0, 99, 30),
    ([10, 20, 30], -1, 0, 20),
    ([10, 20, 30], 65535, -1, 10),  # -1, read as unsigned
  ],
)
def test_look_up(entries: list[int], first: int, value: int, expected: int) -> None:
  entry, bits = look_up(parsed(lut(entries, first, 12)))
  assert entry(np.array([float(value)])).tolist() == [expected]
  assert bits == 12


def test_a_descriptor_of_0_entries_stands_for_65536() -> None:
  table = lut([*range(1 << 16)], 0, 16)
  table.LUTDescriptor = [0, 0, 16]
  assert look_up(parsed(table))[0](np.array([70_000.0])).tolist() == [65_535]


@pytest.mark.parametrize('change', [{'LUTData': b''}, {'LUTDescriptor': [3, 0]}, {'LUTDescriptor': None}])
def test_a_broken_lut_is_the_input_s_defect(change: dict[str, Any]) -> None:
  table = lut([1, 2, 3], 0, 16)
  for keyword, value in change.items():
    setattr(table, keyword, value)
  with pytest.raises(InputError) as caught:
    look_up(parsed(table))
  assert caught.value.code == 'header-corrupt'


@pytest.mark.parametrize(
  ('data', 'order', 'expected'),
  [
    (b'\1\2\3\4\5\0', '<', [1, 2, 3, 4, 5]),  # 8 bits; the last byte pads
    (b'\2\1\4\3\0\5', '>', [1, 2, 3, 4, 5]),  # in words (PS3.5 7.3)
    (b'\1\2\3\4\5\6\7\x08\x09\x0a', '<', [0x0201, 0x0403, 0x0605, 0x0807, 0x0A09]),
    (b'\1\2\3\4\5\6\7\x08\x09\x0a', '>', [0x0102, 0x0304, 0x0506, 0x0708, 0x090A]),
    (b'\1\2', '<', [1, 2]),  # breaks off
    (b'\1\2\3', '<', [1, 2, 3, 0]),
  ],
)
def test_entries(data: bytes, order: str, expected: list[int]) -> None:
  assert lut_entries(data, order, 5).tolist() == expected


@pytest.mark.parametrize('little_endian', [True, False])
def test_a_lut_is_in_the_order_of_its_data_set(little_endian: bool) -> None:
  table = lut([1, 500], 0, 16)
  table.LUTData = np.array([1, 500], '<u2' if little_endian else '>u2').tobytes()
  assert look_up(parsed(table, little_endian=little_endian))[0](np.arange(2.0)).tolist() == [1, 500]


def test_more_bits_than_declared_are_believed() -> None:
  assert look_up(parsed(lut([0, 4095], 0, 8)))[1] == 12
