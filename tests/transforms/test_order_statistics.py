import numpy as np
import pytest

from transforms import order_statistics as module
from transforms.order_statistics import Blocks, order_statistics

RANDOM = np.random.default_rng(5)
HOSTILE = np.array([0.0, -0.0, 1e-320, -1e-320, 1e30, -1e30, 1.5, 1.5, -1.5, 2**53, 2**53 + 2, 7.0])


def _blocks(values: np.ndarray, weights: np.ndarray, parts: int) -> Blocks:
  pairs = [*zip(np.array_split(values, parts), np.array_split(weights, parts), strict=True)]
  return lambda: iter(pairs)


@pytest.mark.parametrize(
  'values',
  [
    RANDOM.normal(size=5000),
    RANDOM.normal(size=5000) * 1e-9 + 1e6,
    RANDOM.integers(-(2**31), 2**31, 5000).astype(float),
    np.full(5000, -3.25),
    np.tile(HOSTILE, 50),
  ],
)
@pytest.mark.parametrize('at_once', [1 << 17, 10])
def test_as_sorting_all_gives_them(values: np.ndarray, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(module, '_SORTED_AT_ONCE', at_once)
  weights = RANDOM.integers(0, 3, values.size)
  expected = np.sort(np.repeat(values, weights))
  ranks = [0, 1, expected.size // 2, expected.size - 2, expected.size - 1]
  assert order_statistics(_blocks(values, weights, 7), ranks) == expected[ranks].tolist()
