"""Images made of two: mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019), on stored grey levels.

Chance is stateless, as in `model.augmenting`: seed and number of the batch decide.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.augmentation import Mixing

Image = NDArray[np.uint8]
Targets = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
  """What is done to one batch.

  Attributes:
    partners: for each image of the batch the position of the other: int64 [N].
    share: of the first of the two images.
    box: rows and columns that are pasted from the other; None blends the two.
  """

  partners: NDArray[np.int64]
  share: float
  box: tuple[slice, slice] | None

  def apply(self, images: Image, targets: Targets, others: Image, other_targets: Targets) -> tuple[Image, Targets]:
    """Mixes images, uint8 [M, height, width, channels], and targets, float32 [M, K], with those of their partners."""
    mixed = (self.share * targets + (1 - self.share) * other_targets).astype(np.float32)
    if self.box is None:
      return cv2.addWeighted(images, self.share, others, 1 - self.share, 0), mixed
    pasted = images.copy()
    pasted[:, *self.box] = others[:, *self.box]
    return pasted, mixed


def draw_mix(shape: tuple[int, ...], how: Mixing, seed: int, number: int) -> Mix | None:
  """Draws how a batch is mixed.

  Args:
    shape: of the whole batch: [N, height, width, channels].
    how: which ways are on.
    seed: of the training.
    number: of the batch.

  Returns:
    None where nothing is mixed.
  """
  ways = [(alpha, pasted) for alpha, pasted in ((how.mixup, False), (how.cutmix, True)) if alpha]
  if not ways:
    return None
  random = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, number, shape[0]))))
  alpha, pasted = ways[random.integers(len(ways))]
  partners = random.permutation(shape[0])
  share = float(random.beta(alpha, alpha))
  if not pasted:
    return Mix(partners, share, None)
  box = _draw_box(shape[1], shape[2], share, random)
  rows, columns = (side.stop - side.start for side in box)
  return Mix(partners, 1 - rows * columns / (shape[1] * shape[2]), box)


def _draw_box(height: int, width: int, share: float, random: np.random.Generator) -> tuple[slice, slice]:
  """Rows and columns of about the share that is not kept."""
  rows, columns = (round(side * float(np.sqrt(1 - share))) for side in (height, width))
  top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
  return slice(top, top + rows), slice(left, left + columns)
