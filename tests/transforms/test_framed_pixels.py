"""Frames in fragments that no medical codec is needed for, and syntaxes that are read as another."""

import zlib

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, RLELossless

from tests.transforms import pictures
from transforms.codecs import stored_frame
from transforms.dicom import Dicom
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.pixel_layout import pixel_layout
from transforms.transfer_syntaxes import DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED

GREY = pictures.gradient(bits=12)
FRAMES = np.stack([GREY, GREY[::-1], GREY[:, ::-1]])


def framed(uid: UID, frames: list[bytes], values: np.ndarray, **elements: object) -> Dicom:
  dataset = pictures.dicom_dataset(values, NumberOfFrames=len(frames), **elements)
  dataset.PixelData = encapsulate(frames)
  dataset['PixelData'].is_undefined_length = True
  dataset['PixelData'].VR = 'OB'
  dataset.file_meta.TransferSyntaxUID = uid
  return pictures.parsed(dataset)


def deflate(data: bytes) -> bytes:
  deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
  return deflater.compress(data) + deflater.flush()


def stored(dicom: Dicom, index: int) -> np.ndarray:
  return stored_frame(dicom, pixel_layout(dicom, Limits()), index)


@pytest.mark.parametrize('index', [0, 1, 2])
def test_uncompressed_frames_in_fragments(index: int) -> None:
  dicom = framed(ENCAPSULATED_UNCOMPRESSED, [frame.tobytes() for frame in FRAMES], FRAMES, BitsStored=12)
  assert np.array_equal(stored(dicom, index), FRAMES[index])


@pytest.mark.parametrize('index', [0, 1, 2])
def test_deflated_frames(index: int) -> None:
  dicom = framed(DEFLATED_FRAMES, [deflate(frame.tobytes()) for frame in FRAMES], FRAMES, BitsStored=12)
  assert np.array_equal(stored(dicom, index), FRAMES[index])


@pytest.mark.parametrize('frame', [b'\xff' * 40, deflate(b'short'), b'\0\0'])
def test_a_deflated_frame_that_is_damaged(frame: bytes) -> None:
  with pytest.raises(InputError, match='decode-failed'):
    stored(framed(DEFLATED_FRAMES, [frame, frame, frame], FRAMES, BitsStored=12), 0)


def test_a_deflated_frame_is_not_inflated_beyond_its_size() -> None:
  frame = deflate(GREY.tobytes() + bytes(64 << 20))
  assert np.array_equal(stored(framed(DEFLATED_FRAMES, [frame], GREY[None], BitsStored=12), 0), GREY)


MASKS = np.random.default_rng(1).integers(0, 2, (3, 7, 9), np.uint8)
ONE_BIT = {'BitsAllocated': 1, 'BitsStored': 1, 'HighBit': 0}


def packed(mask: np.ndarray) -> bytes:
  return np.packbits(mask.ravel(), bitorder='little').tobytes()


def rle(data: bytes) -> bytes:
  """One segment of literal runs (PS3.5 G.3.1)."""
  runs = b''.join(bytes([len(part) - 1]) + part for part in (data[at : at + 128] for at in range(0, len(data), 128)))
  return b'\1\0\0\0\x40\0\0\0' + bytes(56) + runs


@pytest.mark.parametrize('index', [0, 1, 2])
@pytest.mark.parametrize('uid', [RLELossless, DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED])
def test_one_bit_a_pixel(uid: UID, index: int) -> None:
  encode = {RLELossless: rle, DEFLATED_FRAMES: deflate}.get(uid, bytes)
  dicom = framed(uid, [encode(packed(mask)) for mask in MASKS], MASKS, **ONE_BIT)
  assert np.array_equal(stored(dicom, index), MASKS[index])


@pytest.mark.parametrize('uid', ['1.2.840.10008.1.2.4.92', '1.2.840.10008.1.2.4.93'])
def test_jpeg_2000_part_2_of_which_a_frame_needs_part_1_only(uid: str) -> None:
  dataset = pictures.compressed(pictures.dicom_dataset(GREY, BitsStored=12), JPEG2000Lossless, [GREY])
  dataset.file_meta.TransferSyntaxUID = UID(uid)
  assert np.array_equal(stored(pictures.parsed(dataset), 0), GREY)


@pytest.mark.parametrize('number', [53, 55])
def test_retired_progressive_jpeg(number: int) -> None:
  values = pictures.gradient(bits=8)
  frame = pictures.pillow_jpeg(values, progressive=True)
  dicom = framed(UID(f'1.2.840.10008.1.2.4.{number}'), [frame], values[None])
  assert np.abs(stored(dicom, 0).astype(int) - values).max() <= 2
