"""Lookup tables of grey: modality and VOI (PS3.3 C.11.1, C.11.2)."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from transforms.dicom import third_party
from transforms.errors import InputError

_MOST_ENTRIES: Final = 1 << 16  # what a descriptor's 0 stands for

Numbers = NDArray[np.float64]
Words = NDArray[np.int64]


def look_up(lut: Dataset) -> tuple[Callable[[Numbers], Numbers], int]:
  """Reads an item of a Modality or VOI LUT Sequence.

  Returns:
    From values to entries, beyond the table's ends constant (PS3.3 C.11.1.1, C.11.2.1.1); bits of an entry.

  Raises:
    InputError: `header-corrupt`.
  """
  with third_party('header-corrupt', 'lookup table'):
    entries, first, bits = (int(part) for part in lut.LUTDescriptor)
    table = lut_entries(lut, lut.LUTData, entries % _MOST_ENTRIES or _MOST_ENTRIES).astype(np.float64)
  if not table.size:
    raise InputError('header-corrupt', 'empty lookup table')

  def entry(values: Numbers) -> Numbers:
    start = first
    if first >= 1 << 15 and values.min() < 0:  # signed values, descriptor read as unsigned
      start -= _MOST_ENTRIES
    return table[np.clip(values - start, 0, len(table) - 1).astype(np.int64)]

  return entry, bits


def lut_entries(dataset: Dataset, data: Any, entries: int) -> Words:
  """Entries of a table, as many as there are.

  Args:
    dataset: that holds it: its byte order counts.
    data: the element's value: words, or bytes of entries of 16 bits, of 8 where they would not suffice.
    entries: wanted.
  """
  if not isinstance(data, bytes):  # VR US: numbers already
    return np.atleast_1d(np.asarray(data, np.int64))[:entries]
  _, little_endian = dataset.original_encoding
  order = '>' if little_endian is False else '<'
  if len(data) >= 2 * entries:
    return np.frombuffer(data, f'{order}u2', entries).astype(np.int64)
  octets = np.frombuffer(data + bytes(len(data) % 2), f'{order}u2').astype('<u2').view(np.uint8)  # VR OW: in words
  return octets[:entries].astype(np.int64)
