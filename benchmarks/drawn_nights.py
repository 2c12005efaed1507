"""Sketches of drawn nights: no images, but what would be counted of them."""

from dataclasses import dataclass

import numpy as np

from transforms.quality import histogram_of
from transforms.statistics import Sketch, Statistics, grey_counts, input_bins, score_bin


@dataclass(frozen=True)
class Site:
  """What its images are drawn from: means, and the most frequent values."""

  scanners: tuple[str, ...] = ('a', 'b', 'c', 'd')
  modality: str = 'DX'
  rows: int = 2048
  age: int = 60
  brightness: float = 110.0
  log_odds: float = -2.0
  flag: str = ''
  images_of_study: int = 1


HOSPITAL = Site()


def draw(site: Site, images: int, seed: int) -> Statistics:
  """A sketch of images that differ by chance; those of a study are equal."""
  random = np.random.default_rng(seed)
  sketch = Sketch()
  for number in range(images // site.images_of_study):
    row = {
      'study_id': f'{seed}-{number}',
      'scanner_id': str(random.choice(site.scanners)),
      'modality': site.modality if random.random() < 0.8 else 'CR',
      'view_position': str(random.choice(['AP', 'PA', 'LL', 'other'], p=[0.4, 0.4, 0.15, 0.05])),
      'body_part': 'CHEST' if random.random() < 0.97 else 'RIB',
      'manufacturer': 'ge',
      'sex': str(random.choice(['F', 'M'])),
      'age_years': int(np.clip(random.normal(site.age, 18), 0, 90)),
      'rows': int(random.choice([site.rows, 2500, 3000], p=[0.7, 0.2, 0.1])),
      'columns': int(random.choice([site.rows, 2500], p=[0.7, 0.3])),
      'bits_stored': 12,
      'quality': [site.flag] if site.flag and random.random() < 0.6 else [],
    }
    pixels = random.normal(random.normal(site.brightness, 12), 45, 1024).clip(0, 255).astype(np.uint8)
    probability = 1 / (1 + np.exp(-random.normal(site.log_odds, 1.5)))
    for _ in range(site.images_of_study):
      sketch.add(row, input_bins(row) | score_bin(float(probability)), grey_counts(histogram_of(pixels)))
  return sketch.to_json()
