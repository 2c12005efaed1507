from typing import Any

import numpy as np
import pytest

from tests.transforms.pictures import lut
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
  entry, bits = look_up(lut(entries, first, 12))
  assert entry(np.array([float(value)])).tolist() == [expected]
  assert bits == 12


def test_a_descriptor_of_0_entries_stands_for_65536() -> None:
  table = lut([*range(1 << 16)], 0, 16)
  table.LUTDescriptor = [0, 0, 16]
  assert look_up(table)[0](np.array([70_000.0])).tolist() == [65_535]


@pytest.mark.parametrize('change', [{'LUTData': b''}, {'LUTDescriptor': [3, 0]}, {'LUTDescriptor': None}])
def test_a_broken_lut_is_the_input_s_defect(change: dict[str, Any]) -> None:
  table = lut([1, 2, 3], 0, 16)
  for keyword, value in change.items():
    setattr(table, keyword, value)
  with pytest.raises(InputError) as caught:
    look_up(table)
  assert caught.value.code == 'header-corrupt'


@pytest.mark.parametrize(
  ('data', 'little_endian', 'expected'),
  [
    (b'\1\2\3\4\5\0', True, [1, 2, 3, 4, 5]),  # 8 bits; the last byte pads
    (b'\2\1\4\3\0\5', False, [1, 2, 3, 4, 5]),  # in words (PS3.5 7.3)
    (b'\1\2\3\4\5\6\7\x08\x09\x0a', True, [0x0201, 0x0403, 0x0605, 0x0807, 0x0A09]),
    (b'\1\2\3\4\5\6\7\x08\x09\x0a', False, [0x0102, 0x0304, 0x0506, 0x0708, 0x090A]),
    (b'\1\2', True, [1, 2]),  # breaks off
    (b'\1\2\3', True, [1, 2, 3, 0]),
    ([7, 8, 9, 10, 11, 12], True, [7, 8, 9, 10, 11]),  # VR US
    (7, True, [7]),
  ],
)
def test_entries(data: Any, little_endian: bool, expected: list[int]) -> None:
  table = lut([], 0, 16)
  table.set_original_encoding(False, little_endian)
  assert lut_entries(table, data, 5).tolist() == expected
