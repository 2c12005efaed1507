"""How much a threshold owes to chance: the rules on images drawn again and again from the shifted validation.

`python -m benchmarks.threshold_spread --dataset DIR --bundle BUNDLE` scores the
images that a bundle was not trained on, under shift, and prints the threshold
that each rule gives, and the middle 90 % of those on bootstrap samples of images.
"""

import argparse
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.bundle import load_bundle
from model.ensemble_scores import SavedMember, mean_scorer
from model.evaluation import open_unseen
from model.shifted_table import Shifted
from model.shifted_validation import score_shifted
from model.thresholds import BALANCED, YOUDEN, ThresholdRule, choose_threshold

RULES: Final = (YOUDEN, BALANCED)


def resampled(images: NDArray[np.int64], count: int) -> Iterator[NDArray[np.int64]]:
  """Bootstrap samples of images, as the rows of all their views: int64 [N] each."""
  random = np.random.default_rng(0)
  order = np.argsort(images, kind='stable')
  rows = np.split(order, np.flatnonzero(np.diff(images[order])) + 1)
  for _ in range(count):
    yield np.concatenate([rows[number] for number in random.integers(0, len(rows), len(rows))])


def thresholds(rule: ThresholdRule, shifted: Shifted, positive: int, count: int) -> NDArray[np.float64]:
  """By the rule on each sample: float64 [count]."""
  truth, scores = shifted.truth == positive, shifted.scores[:, positive]
  return np.array([choose_threshold(rule, truth[rows], scores[rows]) for rows in resampled(shifted.images, count)])


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--dataset', required=True, help='that it was trained on')
  parser.add_argument('--bundle', required=True)
  parser.add_argument('--samples', type=int, default=200)
  given = parser.parse_args()
  bundle = load_bundle(given.bundle)
  dataset = open_unseen(given.dataset, bundle, 'val')
  shifted = score_shifted(mean_scorer([SavedMember(bundle.path)]), dataset)
  positive = bundle.labels.index(bundle.positive_label)
  truth, scores = shifted.truth == positive, shifted.scores[:, positive]
  print(f'{len(np.unique(shifted.images))} images')
  for rule in RULES:
    low, high = np.quantile(thresholds(rule, shifted, positive, given.samples), [0.05, 0.95])
    print(f'{rule.kind}: {choose_threshold(rule, truth, scores):.3f} ({low:.3f} to {high:.3f})')


if __name__ == '__main__':
  main()
