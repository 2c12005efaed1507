"""A hash that stays nearly the same where an image is scaled, recompressed or windowed a little differently."""

from typing import Final

import cv2
import imagehash
import numpy as np
from PIL import Image

from transforms.elements import Pixels

BITS: Final = 64
_SIDE_PX: Final = 32  # of what ImageHash transforms


def perceptual_hash(pixels: Pixels) -> str:
  """ImageHash's pHash: signs of the 8 x 8 lowest frequencies of a cosine transform, about their median.

  Args:
    pixels: uint8, preprocessed, grey or RGB.

  Returns:
    64 bits as 16 hexadecimal digits; the number of bits in which two of them
    differ is how far the images are apart.
  """
  grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
  # At this size ImageHash need not resample, which it does slowly and under the interpreter's lock.
  small = cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
  return np.packbits(imagehash.phash(Image.fromarray(small)).hash).tobytes().hex()
