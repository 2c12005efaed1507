"""Random variation of training images: what another site, device or technician might have made of the same patient.

Everything is done by OpenCV on stored grey levels, before the transform graph
scales them: an image takes under a millisecond of one core. Chance is
stateless: seed and number of the batch give the same images, whatever the
number of threads.
"""

import math
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.augmentation import Augmentation

Image = NDArray[np.uint8]
Random = np.random.Generator

WHITE: Final = 255
_REFERENCE_SIDE_PX: Final = 160  # blur and marks grow with the image; their figures are for this side


def augment_batch(
  images: Image, how: Augmentation, seed: int, number: int, positions: NDArray[np.int64] | None = None
) -> Image:
  """Varies images of a batch.

  Args:
    images: uint8 [N, height, width, channels].
    how: the limits.
    seed: of the training.
    number: of the batch.
    positions: of the images in their batch, int64 [N], where they are not all of it: they decide on chance.

  Returns:
    uint8, of the same shape.
  """
  cv2.setNumThreads(1)  # tf.data has threads of its own
  varied = np.empty_like(images)
  for index, position in enumerate(range(len(images)) if positions is None else positions):
    random = Random(np.random.SFC64(np.random.SeedSequence((seed, number, int(position)))))
    varied[index] = augment_image(images[index], how, random)
  return varied


def augment_image(image: Image, how: Augmentation, random: Random) -> Image:
  """Varies one image, uint8 [height, width, channels], step by step."""
  for step in (_local_contrast, _sharpness, _geometry, _tone):
    image = step(image, how, random).reshape(image.shape)  # OpenCV drops a single channel
  for probability, mark in ((how.noise, _noise), (how.boxes, _boxes), (how.borders, _borders), (how.markers, _markers)):
    if random.random() < probability:
      image = mark(image, random)
  return image


def _local_contrast(image: Image, how: Augmentation, random: Random) -> Image:
  draw = random.random()
  if draw < how.clahe:
    tiles = cv2.createCLAHE(clipLimit=float(random.uniform(1, 4)), tileGridSize=(8, 8))
    return _by_channel(image, tiles.apply)
  return _by_channel(image, cv2.equalizeHist) if draw < how.clahe + how.equalise else image


def _by_channel(image: Image, change: Callable[[Image], Image]) -> Image:
  return np.stack([change(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)], axis=-1)


def _sharpness(image: Image, how: Augmentation, random: Random) -> Image:
  """At most one of the three: who blurs does not sharpen."""
  draw = random.random()
  if draw < how.blur:
    return _blurred(image, random.uniform(0.4, 1.6))
  if draw < how.blur + how.resample:
    return _resampled(image, random.uniform(0.4, 0.9))
  if draw < how.blur + how.resample + how.sharpen:
    amount = random.uniform(0.3, 1.2)
    return cv2.addWeighted(image, 1 + amount, _blurred(image, 1.0), -amount, 0).reshape(image.shape)
  return image


def _blurred(image: Image, sigma: float) -> Image:
  return cv2.GaussianBlur(image, (0, 0), sigma * _scale(image)).reshape(image.shape)


def _resampled(image: Image, share: float) -> Image:
  height, width = image.shape[:2]
  small = cv2.resize(image, (max(1, round(width * share)), max(1, round(height * share))), interpolation=cv2.INTER_AREA)
  return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _scale(image: Image) -> float:
  return max(image.shape[:2]) / _REFERENCE_SIDE_PX


def _geometry(image: Image, how: Augmentation, random: Random) -> Image:
  """One affine map, hence one interpolation; black fills what it uncovers."""
  if not (how.mirror or how.rotation_degrees or how.zoom or how.aspect or how.shear or how.shift):
    return image
  height, width = image.shape[:2]
  moved = cv2.warpAffine(image, _random_map(height, width, how, random), (width, height), flags=cv2.INTER_LINEAR)
  return moved.reshape(image.shape)


def _random_map(height: int, width: int, how: Augmentation, random: Random) -> NDArray[np.float64]:
  """Input to output pixels: float64 [2, 3]."""
  angle, zoom, aspect, shear, down, right = random.uniform(-1, 1, 6) * (
    *(math.radians(how.rotation_degrees), how.zoom, how.aspect, how.shear),
    *(how.shift * height, how.shift * width),
  )
  flip = -1.0 if how.mirror and random.random() < 0.5 else 1.0
  turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
  sheared = np.array([[1.0, shear], [0.0, 1.0]])
  sizes = np.diag([flip * math.exp(zoom + aspect / 2), math.exp(zoom - aspect / 2)])
  linear = turned @ sheared @ sizes
  centre = np.array([(width - 1) / 2, (height - 1) / 2])
  return np.column_stack([linear, centre - linear @ centre + (right, down)])


def _tone(image: Image, how: Augmentation, random: Random) -> Image:
  """Gamma, contrast and brightness are one table of 256 levels."""
  if not (how.gamma or how.contrast or how.brightness):
    return image
  gamma, contrast, brightness = random.uniform(-1, 1, 3) * (how.gamma, how.contrast, how.brightness)
  levels = np.linspace(0, 1, WHITE + 1) ** math.exp(gamma) * WHITE
  middle = WHITE / 2
  table = (levels - middle) * math.exp(contrast) + middle + brightness
  return cv2.LUT(image, np.clip(np.rint(table), 0, WHITE).astype(np.uint8)).reshape(image.shape)


def _noise(image: Image, random: Random) -> Image:
  grain = random.standard_normal(image.shape, np.float32) * np.float32(random.uniform(1, 12))
  return cv2.add(image, grain, dtype=cv2.CV_8U).reshape(image.shape)  # rounds, and saturates


def _boxes(image: Image, random: Random) -> Image:
  """Boxes of one grey level, each of 5 to 25 % of the sides."""
  varied = image.copy()
  height, width = image.shape[:2]
  for _ in range(random.integers(1, 4)):
    rows, columns = (max(1, round(side * random.uniform(0.05, 0.25))) for side in (height, width))
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    varied[top : top + rows, left : left + columns] = random.integers(0, WHITE + 1)
  return varied


def _borders(image: Image, random: Random) -> Image:
  """Up to 8 % of each side."""
  varied = image.copy()
  height, width = image.shape[:2]
  top, bottom = (random.uniform(0, 0.08, 2) * height).astype(int)
  left, right = (random.uniform(0, 0.08, 2) * width).astype(int)
  level = 0 if random.random() < 0.7 else WHITE
  for edge in np.s_[:top, :], np.s_[height - bottom :, :], np.s_[:, :left], np.s_[:, width - right :]:
    varied[edge] = level
  return varied


def _markers(image: Image, random: Random) -> Image:
  """One or two letters near a corner, light, in a size that a lead letter has."""
  varied = image.copy()
  height, width = image.shape[:2]
  text = ''.join(random.choice(list('RLAPSEM'), random.integers(1, 3)))
  x = int(width * (random.uniform(0.02, 0.15) if random.random() < 0.5 else random.uniform(0.75, 0.9)))
  y = int(height * (random.uniform(0.08, 0.25) if random.random() < 0.7 else random.uniform(0.75, 0.97)))
  level = int(random.integers(180, WHITE + 1))
  size = float(random.uniform(0.3, 0.7)) * _scale(image)
  cv2.putText(varied, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (level,) * image.shape[2], 1, cv2.LINE_AA)
  return varied
