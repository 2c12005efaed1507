"""Which decoder serves a DICOM transfer syntax, and which of them are dangerous.

One choice for each: a second that tries when the first fails would make pixels
depend on luck. None of them is under the GPL.
"""

from typing import Final

from pydicom.uid import (
  HTJ2K,
  JPEG2000,
  HTJ2KLossless,
  HTJ2KLosslessRPCL,
  JPEG2000Lossless,
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLossless,
  JPEGLosslessSV1,
  JPEGLSLossless,
  JPEGLSNearLossless,
  RLELossless,
)

OPENJPEG_SYNTAXES: Final = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
OPENJPEG_PLUGIN: Final = 'radbeam-openjpeg'
GDCM_12_BIT_PLUGIN: Final = 'radbeam-gdcm'
DECODERS: Final[dict[str, str]] = {
  RLELossless: 'pydicom',
  JPEGBaseline8Bit: 'pillow',
  JPEGExtended12Bit: 'pillow',  # of 8 bits; those of 12 by gdcm
  JPEGLossless: 'gdcm',
  JPEGLosslessSV1: 'gdcm',
  JPEGLSLossless: 'pyjpegls',
  JPEGLSNearLossless: 'pyjpegls',
  **dict.fromkeys(OPENJPEG_SYNTAXES, OPENJPEG_PLUGIN),
}
# Decoded by native code that crashes and hangs on hostile files; the others are safe to run in a thread.
NATIVE_SYNTAXES: Final = frozenset([*DECODERS]) - {RLELossless, JPEGBaseline8Bit}
