"""Images made of two: mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019), on stored grey levels.

Chance is stateless, as in `model.augmentation`: seed and number of the batch decide.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.augmentation import Mixing

Image = NDArray[np.uint8]
Targets = NDArray[np.float32]


def mix_batch(images: Image, targets: Targets, how: Mixing, seed: int, number: int) -> tuple[Image, Targets]:
  """Mixes each image of a batch with another of the batch, drawn at random.

  Args:
    images: uint8 [N, height, width, channels].
    targets: float32 [N, K], what the network is to say.
    how: which ways are on.
    seed: of the training.
    number: of the batch.

  Returns:
    Images and targets of the same shapes; the targets are mixed by the same shares.
  """
  random = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, number, len(images)))))
  ways = [way for way, alpha in ((_mixup, how.mixup), (_cutmix, how.cutmix)) if alpha]
  if not ways:
    return images, targets
  way = ways[random.integers(len(ways))]
  partners = random.permutation(len(images))
  alpha = how.mixup if way is _mixup else how.cutmix
  mixed, kept = way(images, images[partners], float(random.beta(alpha, alpha)), random)
  return mixed, (kept * targets + (1 - kept) * targets[partners]).astype(np.float32)


def _mixup(images: Image, others: Image, share: float, random: np.random.Generator) -> tuple[Image, float]:
  return cv2.addWeighted(images, share, others, 1 - share, 0), share


def _cutmix(images: Image, others: Image, share: float, random: np.random.Generator) -> tuple[Image, float]:
  height, width = images.shape[1:3]
  rows, columns = (round(side * float(np.sqrt(1 - share))) for side in (height, width))
  top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
  mixed = images.copy()
  mixed[:, top : top + rows, left : left + columns] = others[:, top : top + rows, left : left + columns]
  return mixed, 1 - rows * columns / (height * width)
