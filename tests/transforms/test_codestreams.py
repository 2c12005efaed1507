import pytest
from openjpeg.utils import encode_array
from pydicom.encaps import get_frame
from pydicom.uid import (
  JPEG2000,
  UID,
  JPEGBaseline8Bit,
  JPEGExtended12Bit,
  JPEGLossless,
  JPEGLosslessSV1,
  JPEGLSLossless,
)

from tests.transforms import pictures
from transforms.codestreams import Codestream, read_codestream, without_jp2_header
from transforms.errors import InputError


def encoded(uid: UID, bits: int) -> bytes:
  values = pictures.gradient(40, 50, bits)
  dataset = pictures.compressed(pictures.dicom_dataset(values, BitsStored=bits), uid, [values])
  return get_frame(dataset.PixelData, 0, number_of_frames=1)


J2K = bytes(encode_array(pictures.colours(40, 50), photometric_interpretation=1))


@pytest.mark.parametrize(
  ('data', 'expected'),
  [
    (encoded(JPEGBaseline8Bit, 8), Codestream(JPEGBaseline8Bit, 40, 50, 1, 8)),
    (encoded(JPEGExtended12Bit, 12), Codestream(JPEGExtended12Bit, 40, 50, 1, 16)),  # as gdcm writes it
    (encoded(JPEGLossless, 16), Codestream(JPEGLossless, 40, 50, 1, 16)),
    (encoded(JPEGLosslessSV1, 8), Codestream(JPEGLossless, 40, 50, 1, 8)),
    (encoded(JPEGLSLossless, 16), Codestream(JPEGLSLossless, 40, 50, 1, 16)),
    (pictures.pillow_jpeg(pictures.colours(40, 50), progressive=True), Codestream(JPEGBaseline8Bit, 40, 50, 3, 8)),
    (J2K, Codestream(JPEG2000, 40, 50, 3, 8)),
    (b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(60) + J2K, Codestream(JPEG2000, 40, 50, 3, 8)),  # a JP2 header was left on
    (b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(60), None),
    (b'', None),
    (bytes(100), None),
  ],
)
def test_what_a_frame_says_of_itself(data: bytes, expected: Codestream | None) -> None:
  assert read_codestream(data) == expected


@pytest.mark.parametrize(
  ('data', 'code'),
  [
    (b'\xff\x0a' + bytes(9), 'unsupported-transfer-syntax'),
    (b'\xff\xd8\xff\xe0', 'header-corrupt'),
    (J2K[:30], 'header-corrupt'),
    (encoded(JPEGBaseline8Bit, 8).replace(b'\xff\xc0', b'\xff\xc9'), 'unsupported-transfer-syntax'),  # arithmetic
  ],
)
def test_what_is_refused(data: bytes, code: str) -> None:
  with pytest.raises(InputError) as caught:
    read_codestream(data)
  assert caught.value.code == code


@pytest.mark.parametrize('header', [b'', b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(60)])  # boxes without length
def test_a_jp2_header_is_taken_off(header: bytes) -> None:
  assert without_jp2_header(header + J2K) == J2K
