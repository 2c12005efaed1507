"""Codecs that pydicom does not call by itself, in the form that it asks for.

JPEG 2000 and HTJ2K by pylibjpeg-openjpeg alone: pydicom's own plugin goes
through the package pylibjpeg, which also loads whatever else calls itself a
pylibjpeg plugin, among it GPL code. JPEG Extended of 12 bits by gdcm: pydicom's
own plugin refuses what gdcm 3 reads.

Imported by decode processes alone: gdcm and openjpeg crash on hostile files.
`Decoder.add_plugin` wants `DECODER_DEPENDENCIES`, `is_available` and a
function of the codestream and its runner.
"""

from typing import Any, Final

import gdcm
import openjpeg
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGExtended12Bit

from transforms.transfer_syntaxes import GDCM_12_BIT_PLUGIN, OPENJPEG_PLUGIN, OPENJPEG_SYNTAXES

DECODER_DEPENDENCIES: Final = {
  JPEGExtended12Bit: ('python-gdcm>=3.0',),
  **dict.fromkeys(OPENJPEG_SYNTAXES, ('pylibjpeg-openjpeg>=2.0',)),
}


def add_plugins() -> None:
  """Makes pydicom know them, and gdcm silent; once a process."""
  for uid in OPENJPEG_SYNTAXES:
    get_decoder(uid).add_plugin(OPENJPEG_PLUGIN, (__name__, 'decode_with_openjpeg'))
  get_decoder(JPEGExtended12Bit).add_plugin(GDCM_12_BIT_PLUGIN, (__name__, 'decode_with_gdcm'))
  gdcm.Trace.DebugOff()
  gdcm.Trace.WarningOff()
  gdcm.Trace.ErrorOff()


def is_available(uid: str) -> bool:
  """Whether `uid` is decoded here."""
  return uid in DECODER_DEPENDENCIES


def decode_with_openjpeg(codestream: bytes, runner: Any) -> bytearray:
  """One frame's codestream to samples, interleaved by pixel; sets on pydicom's runner what they are."""
  samples = openjpeg.decode_pixel_data(codestream, version=2)
  if runner.photometric_interpretation in ('YBR_ICT', 'YBR_RCT'):
    runner.set_option('photometric_interpretation', 'RGB')  # the codec has undone it
  precision = runner.get_option('j2k_precision', runner.bits_stored)
  runner.set_option('bits_allocated', 8 if precision <= 8 else 16 if precision <= 16 else 32)
  runner.set_option('planar_configuration', 0)
  return samples


def decode_with_gdcm(codestream: bytes, runner: Any) -> bytes:
  """One grey frame's codestream to samples of `bits_allocated` bits."""
  image = gdcm.Image()
  image.SetNumberOfDimensions(2)
  image.SetDimensions((runner.columns, runner.rows, 1))
  image.SetDataElement(_pixel_data(codestream))
  image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
  image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
  bits = (runner.bits_allocated, runner.bits_stored, runner.bits_stored - 1)
  image.SetPixelFormat(gdcm.PixelFormat(1, *bits, runner.pixel_representation))
  return image.GetBuffer().encode('utf-8', 'surrogateescape')  # gdcm hands bytes over as text


def _pixel_data(codestream: bytes) -> Any:
  fragment = gdcm.Fragment()
  fragment.SetByteStringValue(codestream)
  fragments = gdcm.SequenceOfFragments.New()
  fragments.AddFragment(fragment)
  element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
  element.SetValue(fragments.__ref__())
  return element
