"""Order statistics of values that come in blocks: exact, without holding all of them at once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Blocks = Callable[[], Iterable[tuple[Numbers, Counts]]]  # called once a pass

_SORTED_AT_ONCE: Final = 1 << 17
_DIGIT_BITS: Final = 16


def order_statistics(blocks: Blocks, ranks: Sequence[int]) -> list[float]:
  """Values at the ranks.

  Args:
    blocks: gives values, (n,) finite, with how often each counts.
    ranks: from 0, below the sum of all counts, in ascending order of value.

  Returns:
    Of each rank the value, one of those given.
  """
  if sum(values.size for values, _ in blocks()) > _SORTED_AT_ONCE:
    return _by_digits(blocks, ranks)
  values, counts = (np.concatenate(parts) for parts in zip(*blocks(), strict=True))
  order = np.argsort(values, kind='stable')
  at = np.searchsorted(np.cumsum(counts[order]), ranks, side='right')
  return [float(value) for value in values[order[at]]]


def _by_digits(blocks: Blocks, ranks: Sequence[int]) -> list[float]:
  """Radix selection: one pass over the blocks settles the next 16 bits of each answer."""
  prefixes, left = [0] * len(ranks), list(ranks)
  for shift in range(64 - _DIGIT_BITS, -1, -_DIGIT_BITS):
    for index, histogram in enumerate(_histograms(blocks, prefixes, shift)):
      cumulative = np.cumsum(histogram)
      digit = int(np.searchsorted(cumulative, left[index], side='right'))
      left[index] -= int(cumulative[digit - 1]) if digit else 0
      prefixes[index] = prefixes[index] << _DIGIT_BITS | digit
  return [_value(prefix) for prefix in prefixes]


def _histograms(blocks: Blocks, prefixes: Sequence[int], shift: int) -> list[Counts]:
  """For each prefix, how often each digit below it occurs."""
  histograms = [np.zeros(1 << _DIGIT_BITS, np.int64) for _ in prefixes]
  for values, counts in blocks():
    digits = _keys(values) >> np.uint64(shift)
    upper = digits >> np.uint64(_DIGIT_BITS)
    lower = (digits & np.uint64((1 << _DIGIT_BITS) - 1)).astype(np.int64)
    for prefix, histogram in zip(prefixes, histograms, strict=True):
      fits = upper == np.uint64(prefix)
      histogram += np.bincount(lower[fits], counts[fits], histogram.size).astype(np.int64)
  return histograms


_SIGN: Final = 1 << 63


def _keys(values: Numbers) -> NDArray[np.uint64]:
  """Bit patterns in the order of the values: IEEE 754 orders magnitudes already, the sign has to be turned."""
  bits = np.ascontiguousarray(values).view(np.uint64)
  return np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(_SIGN))


def _value(key: int) -> float:
  bits = key ^ _SIGN if key & _SIGN else ~key & ((1 << 64) - 1)
  return float(np.array([bits], np.uint64).view(np.float64)[0])
