import numpy as np
import pytest

from tests.transforms import pictures
from transforms.elements import HeaderFacts, Pixels
from transforms.quality import histogram_of, quality_flags

GREY = pictures.gradient(224, 224, 8)
PADDED = np.pad(GREY[32:-32] // 16 + 100, ((32, 32), (0, 0)))
WHITE_THIRD = np.where(np.arange(224) < 75, 255, GREY).astype(np.uint8)
MASK = np.where(GREY > 100, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(
  ('pixels', 'rows', 'columns', 'flags'),
  [
    (GREY, 1000, 1400, ()),
    (np.dstack([GREY] * 3), 1000, 1400, ()),
    (np.zeros_like(GREY), 1000, 1400, ('blank',)),
    (np.full_like(GREY, 90), 1000, 1400, ('blank',)),
    (GREY // 16 + 100, 1000, 1400, ('low-contrast',)),
    (PADDED, 1000, 1400, ('low-contrast',)),  # black borders lend no contrast
    (WHITE_THIRD, 1000, 1400, ('clipped',)),
    (MASK, 1000, 1400, ()),
    (GREY, 63, 64, ('tiny',)),
    (GREY, 64, 64, ()),
    (GREY, 400, 100, ('extreme-aspect',)),
    (GREY, 399, 100, ()),
    (GREY, 10, 100, ('extreme-aspect', 'tiny')),
    (np.zeros_like(GREY), 10, 100, ('blank', 'extreme-aspect', 'tiny')),
    (GREY, None, None, ()),
  ],
)
def test_flags(pixels: Pixels, rows: int | None, columns: int | None, flags: tuple[str, ...]) -> None:
  assert quality_flags(histogram_of(pixels), HeaderFacts(rows=rows, columns=columns)) == flags


def test_the_histogram_is_exact_beyond_what_float32_can_count() -> None:
  pixels = np.full((4096, 4099, 1), 7, np.uint8)
  pixels[-1, -3:] = 255
  counts = histogram_of(pixels)
  assert (int(counts[7]), int(counts[255]), int(counts.sum())) == (pixels.size - 3, 3, pixels.size)
