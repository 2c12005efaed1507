"""How often a night without drift raises an alarm, and what counting costs: the README's figures.

python -m benchmarks.drift
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np

from benchmarks.drawn_nights import HOSPITAL, Site, draw
from model.drift import Thresholds, Training, alarms_of, drift_of
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame, Source
from transforms.identifiers import Pseudonyms
from transforms.rows import columns_of, image_row
from transforms.statistics import Sketch, grey_counts, input_bins, score_bin

_NIGHTS: Final = ((50, 1, 2000), (200, 1, 1000), (2000, 1, 200), (2000, 40, 400))  # images, of a study, nights
_IMAGES: Final = 300


@dataclass(frozen=True, slots=True)
class Rates:
  """Share of nights with an alarm: as it is, and if limits were all."""

  as_it_is: float
  by_limits_alone: float


def false_alarms(training: Training, site: Site, images: int, nights: int) -> Rates:
  """Nights that are drawn as the training was."""
  figures = [drift_of(training, draw(site, images, 1000 + seed), 'k') for seed in range(nights)]
  alarms = sum(bool(alarms_of(one, Thresholds())) for one in figures)
  alone = sum(bool(alarms_of(_without_noise(one), Thresholds())) for one in figures)
  return Rates(alarms / nights, alone / nights)


def _without_noise(figures: Mapping[str, Any]) -> dict[str, Any]:
  return {name: _zeroed(value) for name, value in figures.items()}


def _zeroed(value: Any) -> Any:
  if not isinstance(value, dict):
    return value
  return {name: 0.0 if name.endswith('_noise') else _zeroed(one) for name, one in value.items()}


def cost() -> tuple[float, float]:
  """Seconds to decode an image, and to count it: JPEGs of 1400 x 1000 pixels, one thread."""
  random = np.random.default_rng(1)
  picture = cv2.GaussianBlur(random.integers(0, 256, (1000, 1400), np.uint8), (0, 0), 4)
  data = cv2.imencode('.jpg', cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX))[1].tobytes()
  cv2.setNumThreads(1)
  begin = time.perf_counter()
  frames = [frame for _ in range(_IMAGES) for frame in decode_source(data, DecodeOptions())]
  decoding = time.perf_counter() - begin
  rows = [_row(number, frame) for number, frame in enumerate(frames)]
  begin = time.perf_counter()
  sketch = Sketch()
  for row, frame in zip(rows, frames, strict=True):
    assert frame.histogram is not None
    sketch.add(row, input_bins(row) | score_bin(0.3), grey_counts(frame.histogram))
  sketch.to_json()
  return decoding / _IMAGES, (time.perf_counter() - begin) / _IMAGES


def _row(number: int, frame: Frame) -> dict[str, Any]:
  facts = replace(frame.facts, scanner=('maker', 'model', str(number % 8), ''))
  return columns_of(image_row(Source('a.zip', str(number)), None, replace(frame, facts=facts), Pseudonyms(bytes(32))))


def main() -> None:
  training = Training(draw(HOSPITAL, 4000, 1), draw(HOSPITAL, 600, 2), 'k')
  for images, of_study, nights in _NIGHTS:
    rates = false_alarms(training, replace(HOSPITAL, images_of_study=of_study), images, nights)
    print(
      f'{images} images, {of_study} of a study, {nights} nights: '
      f'alarms {rates.as_it_is:.2%}, by the limits alone {rates.by_limits_alone:.1%}'
    )
  decoding, counting = cost()
  print(f'decoding {decoding * 1e3:.2f} ms, counting {counting * 1e6:.0f} µs: {counting / decoding:.2%}')


if __name__ == '__main__':
  main()
