"""JPEG 2000 and HTJ2K for pydicom by pylibjpeg-openjpeg alone.

pydicom's own plugin for it goes through the package pylibjpeg, which also
loads whatever else calls itself a pylibjpeg plugin, among it GPL code. The
module's form (`DECODER_DEPENDENCIES`, `is_available`, one function) is what
`pydicom.pixels.decoders.base.Decoder.add_plugin` asks for.
"""

from typing import Any, Final

import openjpeg
from pydicom.uid import HTJ2K, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, JPEG2000Lossless

SYNTAXES: Final = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
DECODER_DEPENDENCIES: Final = dict.fromkeys(SYNTAXES, ('pylibjpeg-openjpeg>=2.0',))


def is_available(uid: str) -> bool:
  """Whether `uid` is decoded here."""
  return uid in SYNTAXES


def decode_frame(codestream: bytes, runner: Any) -> bytearray:
  """One frame's codestream to samples, interleaved by pixel; sets on pydicom's runner what they are."""
  samples = openjpeg.decode_pixel_data(codestream, version=2)
  if runner.photometric_interpretation in ('YBR_ICT', 'YBR_RCT'):
    runner.set_option('photometric_interpretation', 'RGB')  # the codec has undone it
  precision = runner.get_option('j2k_precision', runner.bits_stored)
  runner.set_option('bits_allocated', 8 if precision <= 8 else 16 if precision <= 16 else 32)
  runner.set_option('planar_configuration', 0)
  return samples
