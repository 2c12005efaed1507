"""A hash that stays nearly the same where an image is scaled, recompressed or windowed a little differently."""

from typing import Final

import imagehash
from PIL import Image

from transforms.elements import Pixels

BITS: Final = 64


def perceptual_hash(pixels: Pixels) -> str:
  """ImageHash's pHash: signs of the 8 x 8 lowest frequencies of a cosine transform, about their median.

  Args:
    pixels: uint8, preprocessed, grey or RGB.

  Returns:
    64 bits as 16 hexadecimal digits; the number of bits in which two of them
    differ is how far the images are apart.
  """
  return str(imagehash.phash(Image.fromarray(pixels)))
