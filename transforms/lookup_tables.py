"""Lookup tables of grey: modality and VOI (PS3.3 C.11.1, C.11.2)."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from transforms.dicom_values import DataSet, integers, value_bytes
from transforms.errors import InputError

_MOST_ENTRIES: Final = 1 << 16  # what a descriptor's 0 stands for

Numbers = NDArray[np.float64]
Words = NDArray[np.int64]


def look_up(lut: DataSet) -> tuple[Callable[[Numbers], Numbers], int]:
  """Reads an item of a Modality or VOI LUT Sequence.

  Returns:
    From values to entries, beyond the table's ends constant (PS3.3 C.11.1.1,
    C.11.2.1.1); bits of an entry, as many as are declared, or as are needed.

  Raises:
    InputError: `header-corrupt`.
  """
  entries, first, bits = read_descriptor(lut, 'LUTDescriptor')
  table = lut_entries(value_bytes(lut, 'LUTData'), lut.encoding.order, entries).astype(np.float64)
  if not table.size:
    raise InputError('header-corrupt', 'empty lookup table')

  def entry(values: Numbers) -> Numbers:
    start = first
    if first >= 1 << 15 and values.min() < 0:  # signed values, descriptor read as unsigned
      start -= _MOST_ENTRIES
    return table[np.clip(values - start, 0, len(table) - 1).astype(np.int64)]

  return entry, max(bits, int(table.max()).bit_length())


def read_descriptor(dataset: DataSet, keyword: str) -> tuple[int, int, int]:
  """Entries, the value that the first stands for, and bits of an entry (PS3.3 C.11.1.1).

  Raises:
    InputError: `header-corrupt`.
  """
  values = [value for value in integers(dataset, keyword) if value is not None]
  if len(values) != 3:
    raise InputError('header-corrupt', f'{keyword} of {len(values)} numbers')
  return values[0] % _MOST_ENTRIES or _MOST_ENTRIES, values[1], values[2]


def lut_entries(data: bytes, order: str, entries: int) -> Words:
  """Entries of a table, as many as there are.

  Args:
    data: the element's value: entries of 16 bits, or of 8 where it would be too short for that.
    order: of words, `<` or `>`; octets, too, lie in words (PS3.5 7.3, OW).
    entries: wanted.
  """
  if len(data) >= 2 * entries:
    return np.frombuffer(data, f'{order}u2', entries).astype(np.int64)
  octets = np.frombuffer(data + bytes(len(data) % 2), f'{order}u2').astype('<u2').view(np.uint8)
  return octets[:entries].astype(np.int64)
