"""Which decoder serves a DICOM transfer syntax, and which of them are dangerous.

One choice for each: a second that tries when the first fails would make pixels
depend on luck. None of them is under the GPL.
"""

from typing import Final

from pydicom.uid import (
  HTJ2K,
  JPEG2000,
  UID,
  DeflatedExplicitVRLittleEndian,
  ExplicitVRBigEndian,
  ExplicitVRLittleEndian,
  HTJ2KLossless,
  HTJ2KLosslessRPCL,
  ImplicitVRLittleEndian,
  JPEG2000Lossless,
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLossless,
  JPEGLosslessSV1,
  JPEGLSLossless,
  JPEGLSNearLossless,
  RLELossless,
)

# Pixel words are big endian, all else is little; its conformance statements call it implicit VR big endian.
GE_BIG_ENDIAN_PIXELS: Final = UID('1.2.840.113619.5.2')
PAPYRUS_IMPLICIT: Final = UID('1.2.840.10008.1.20')
ENCAPSULATED_UNCOMPRESSED: Final = UID('1.2.840.10008.1.2.1.98')
DEFLATED_FRAMES: Final = UID('1.2.840.10008.1.2.8.1')

# In PS3.6 A, but newer than pydicom's dictionary; the last three are JPEG XL.
_NEWER: Final = {
  DEFLATED_FRAMES: 'Deflated Image Frame Compression',
  UID('1.2.840.10008.1.2.4.110'): 'JPEG XL Lossless',
  UID('1.2.840.10008.1.2.4.111'): 'JPEG XL JPEG Recompression',
  UID('1.2.840.10008.1.2.4.112'): 'JPEG XL',
}

# The frames follow each other as they are.
UNCOMPRESSED: Final = frozenset(
  [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    GE_BIG_ENDIAN_PIXELS,
    PAPYRUS_IMPLICIT,
  ]
)
OPENJPEG_SYNTAXES: Final = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
OPENJPEG_PLUGIN: Final = 'radbeam-openjpeg'
GDCM_12_BIT_PLUGIN: Final = 'radbeam-gdcm'
DECODERS: Final[dict[str, str]] = {
  ENCAPSULATED_UNCOMPRESSED: 'numpy',
  DEFLATED_FRAMES: 'zlib',
  RLELossless: 'pydicom',
  JPEGBaseline8Bit: 'opencv',
  JPEGExtended12Bit: GDCM_12_BIT_PLUGIN,  # of 12 bits; what has 8 is read as baseline
  JPEGLossless: 'gdcm',
  JPEGLosslessSV1: 'gdcm',
  JPEGLSLossless: 'pyjpegls',
  JPEGLSNearLossless: 'pyjpegls',
  **dict.fromkeys(OPENJPEG_SYNTAXES, OPENJPEG_PLUGIN),
}
# Spectral selection and full progression: of the retired processes those that are neither arithmetic nor hierarchical.
_RETIRED_JPEG: Final = (UID('1.2.840.10008.1.2.4.53'), UID('1.2.840.10008.1.2.4.55'))
# Decoded as another one. Of JPEG 2000 part 2 so much as openjpeg knows: components of one frame, transformed by a
# matrix of their own.
READ_AS: Final = {
  UID('1.2.840.10008.1.2.4.92'): JPEG2000Lossless,
  UID('1.2.840.10008.1.2.4.93'): JPEG2000,
  **dict.fromkeys(_RETIRED_JPEG, JPEGBaseline8Bit),
}
# Decoded by native code that crashes and hangs on hostile files; the others are safe to run in a thread.
NATIVE_SYNTAXES: Final = frozenset([*OPENJPEG_SYNTAXES, JPEGLSLossless, JPEGLSNearLossless]) | frozenset(
  [JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1]
)


def name_of(uid: UID) -> str | None:
  """The name that PS3.6 A gives it; None for what it does not list: such a text may hold anything."""
  if uid.type == 'Transfer Syntax':
    return uid.name
  return _NEWER.get(uid)


def decoder_of(uid: UID) -> str | None:
  """The library that reads its pixels; None where there is none."""
  if uid in UNCOMPRESSED:
    return 'numpy'
  return DECODERS.get(READ_AS.get(uid, uid))
