"""One frame's codestream to stored values, by the decoder that pydicom knows for its transfer syntax."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import RLELossless

from transforms.native_pixels import to_rgb
from transforms.pixel_layout import Layout
from transforms.third_party import third_party
from transforms.transfer_syntaxes import DECODERS


def decode_with_pydicom(codestream: bytes, layout: Layout) -> NDArray[Any]:
  """Decodes one frame.

  Args:
    codestream: all fragments of the frame, whose header was compared with the layout.
    layout: of `pixel_layout`; its fragments are not looked at.

  Returns:
    (rows, columns) of integers, or (rows, columns, 3) RGB, unsigned.

  Raises:
    InputError: `decode-failed`.
  """
  with third_party('decode-failed', layout.transfer_syntax.name):
    values, properties = get_decoder(layout.transfer_syntax).as_array(
      encapsulate([codestream], has_bot=False),
      index=0,
      validate=False,  # of the whole object; the layout is checked
      decoding_plugin=DECODERS[layout.transfer_syntax],
      **_options(layout),
    )
  if layout.bits_allocated == 1 and layout.transfer_syntax == RLELossless:
    values = np.unpackbits(values.ravel(), bitorder='little', count=layout.rows * layout.columns)
    return values.reshape(layout.rows, layout.columns)
  values = values.astype(values.dtype.newbyteorder('='), copy=False)
  if layout.samples == 1:
    return values
  rgb = values.view(values.dtype.str.replace('i', 'u'))
  return rgb if str(properties['photometric_interpretation']) == 'RGB' else to_rgb(rgb, layout)


def _options(layout: Layout) -> dict[str, Any]:
  options: dict[str, Any] = {
    'rows': layout.rows,
    'columns': layout.columns,
    'number_of_frames': 1,
    'samples_per_pixel': layout.samples,
    'photometric_interpretation': layout.photometric,
    'planar_configuration': layout.planar,
    'bits_allocated': layout.bits_allocated,
    'bits_stored': layout.bits_stored,
    'pixel_representation': int(layout.signed),
    'pixel_keyword': layout.keyword,
    'as_rgb': False,
    'correct_unused_bits': False,  # takes the high bit for granted; done by `codecs`
  }
  if layout.bits_allocated == 1 and layout.transfer_syntax == RLELossless:  # eight pixels in a byte of one segment
    options |= {'rows': 1, 'columns': layout.frame_bytes, 'bits_allocated': 8, 'bits_stored': 8}
  return options
