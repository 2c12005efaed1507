"""Distillation: a network learns what another, or an ensemble, says of the images, beside their labels.

Soft targets tell more than labels: how sure one can be of an image (Hinton et
al., 2015). They are the teacher's calibrated probabilities, of the very images
that the student sees, varied and mixed as they are (Beyer et al., CVPR 2022),
or of the stored ones, which costs one pass of the teacher and no more. What
the teacher learnt these images by heart says little of them: a teacher is best
on images that it sees in a new form.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.recipe import TeacherSees

Pixels = NDArray[np.uint8]
Targets = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
  """What gives soft targets.

  Attributes:
    score: uint8 [N, height, width, channels] to probabilities, float32 [N, K], in the order of the labels.
    weight: of them in the targets; the labels have the rest.
    sees: `varied` images, as the student does, or the `plain` ones.
    facts: which bundle it is, for the recipe of the student.
  """

  score: Callable[[Pixels], NDArray[np.float32]]
  weight: float
  sees: TeacherSees
  facts: Mapping[str, Any]
  _said: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)
  _lock: threading.Lock = field(default_factory=threading.Lock)  # batches are made by several threads

  def on_plain(self, images: Pixels, targets: Targets) -> Targets:
    """Targets of stored images, [N, K], before these are varied; each image is scored once."""
    if self.sees != 'plain':
      return targets
    keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
    with self._lock:
      new = [position for position, key in enumerate(keys) if key not in self._said]
      if new:
        self._said.update(zip((keys[position] for position in new), self._filled_up(images, new), strict=True))
    return self._joined(targets, np.stack([self._said[key] for key in keys]))

  def on_varied(self, images: Pixels, targets: Targets) -> Targets:
    """Targets of images as the student is given them, [N, K]."""
    return self._joined(targets, self.score(images)) if self.sees == 'varied' else targets

  def _filled_up(self, images: Pixels, chosen: list[int]) -> NDArray[np.float32]:
    """Scores of some images of a batch, in a batch of its size: what is said of one depends on no other number."""
    positions = chosen + [chosen[-1]] * (len(images) - len(chosen))
    return self.score(images[positions])[: len(chosen)]

  def _joined(self, targets: Targets, soft: NDArray[np.float32]) -> Targets:
    return ((1 - self.weight) * targets + self.weight * soft).astype(np.float32)
