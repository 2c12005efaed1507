"""From an 8-bit image of any size to the model's size: one function for ingest, score and serving."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import cv2
import numpy as np

from transforms.elements import Pixels
from transforms.trace import note_step

Resize = Literal['pad', 'crop', 'stretch']


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
  """How an image becomes the model's input; a value that is stored, compared and digested.

  Attributes:
    image_size: height and width of the result, in pixels.
    resize: `pad` keeps the whole image on black, `crop` keeps its centre
      square, `stretch` ignores its proportions.
    channels: 1 (grey) or 3 (RGB).
    decode_scale: the rule by which a JPEG is decoded at a reduced scale;
      `full` decodes every pixel.
    version: goes up whenever the same spec would give other bytes.
  """

  image_size: int = 224
  resize: Resize = 'pad'
  channels: Literal[1, 3] = 1
  decode_scale: Literal['full'] = 'full'
  version: int = 1

  def __post_init__(self) -> None:
    if not 16 <= self.image_size <= 4096:
      raise ValueError(f'image_size is {self.image_size}; it must be 16 to 4096')
    if self.resize not in get_args(Resize):
      raise ValueError(f'resize is {self.resize!r}; it must be one of {", ".join(get_args(Resize))}')
    if self.channels not in (1, 3):
      raise ValueError(f'channels is {self.channels}; it must be 1 or 3')

  @property
  def shape(self) -> tuple[int, int, int]:
    """Height, width, channels of what the model is fed."""
    return self.image_size, self.image_size, self.channels

  def to_json(self) -> str:
    """Canonical JSON: sorted keys, no spaces."""
    return json.dumps(asdict(self), sort_keys=True, separators=(',', ':'))

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'PreprocessSpec':
    """Reads what `asdict` wrote.

    Raises:
      ValueError: if a key is unknown or missing: another version wrote it.
    """
    known = {field.name for field in fields(cls)}
    if set(values) != known:
      raise ValueError(f'preprocessing spec has the keys {sorted(values)}, expected {sorted(known)}')
    return cls(**values)

  @property
  def digest(self) -> str:
    """SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(self.to_json().encode()).hexdigest()


def preprocess(image: Pixels, spec: PreprocessSpec) -> Pixels:
  """Brings an image to the spec's size and channels.

  Args:
    image: uint8, (height, width) grey or (height, width, 3) RGB.
    spec: what to make of it.

  Returns:
    uint8, C-contiguous, (image_size, image_size) for one channel or
    (image_size, image_size, 3) for three.
  """
  fitted = _fit(_match_channels(image, spec.channels), spec)
  height, width = image.shape[:2]
  note_step('{}: {} x {} to {} x {}', spec.resize, width, height, spec.image_size, spec.image_size)
  return np.ascontiguousarray(fitted)


def _match_channels(image: Pixels, channels: int) -> Pixels:
  if channels == 1 and image.ndim == 3:
    note_step('grey: Rec. 601 luma of RGB')
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # Rec. 601 luma
  if channels == 3 and image.ndim == 2:
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
  return image


def _fit(image: Pixels, spec: PreprocessSpec) -> Pixels:
  size = spec.image_size
  if spec.resize == 'crop':
    image = _centre_square(image)
  if spec.resize != 'pad':
    return _resize(image, size, size)
  height, width = image.shape[:2]
  scale = size / max(height, width)
  inner = _resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
  canvas = np.zeros((size, size, *image.shape[2:]), np.uint8)
  top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
  canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
  return canvas


def _centre_square(image: Pixels) -> Pixels:
  height, width = image.shape[:2]
  side = min(height, width)
  top, left = (height - side) // 2, (width - side) // 2
  return image[top : top + side, left : left + side]


def _resize(image: Pixels, height: int, width: int) -> Pixels:
  shrinks = height <= image.shape[0] and width <= image.shape[1]
  if shrinks:
    image = _halve_towards(image, height, width)
  if image.shape[:2] == (height, width):
    return image
  return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _halve_towards(image: Pixels, height: int, width: int) -> Pixels:
  """Halves as long as twice the wanted size is left: OpenCV is quick at exactly two, four times as fast in all.

  What follows takes means of areas of at least 2 x 2, so that the pixels that
  lie on a border between areas weigh little. An odd last line is dropped.
  """
  while image.shape[0] >= 4 * height and image.shape[1] >= 4 * width:
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    image = cv2.resize(image[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
  return image
