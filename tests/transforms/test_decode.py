from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.uid import (
  UID,
  ExplicitVRLittleEndian,
  JPEG2000Lossless,
  JPEGBaseline8Bit,
  JPEGLosslessSV1,
  JPEGLSLossless,
  RLELossless,
)

from tests.transforms import pictures
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame, HeaderFacts, Limits
from transforms.errors import CODES
from transforms.preprocess import PreprocessSpec

SPEC = PreprocessSpec(image_size=32)
GREY = pictures.gradient(64, 64, 8)
PIXELS = cv2.resize(GREY, (32, 32), interpolation=cv2.INTER_AREA)


def _decode(data: bytes, *, keep_original: bool = False, **options: Any) -> list[Frame]:
  return list(decode_source(data, DecodeOptions(**{'spec': SPEC, **options}), keep_original=keep_original))


def _dicom(values: Any = GREY, **elements: Any) -> bytes:
  elements = {'WindowCenter': 128, 'WindowWidth': 256, **elements}  # LINEAR: 0 to 255 as they are
  return pictures.dicom_file(pictures.dicom_dataset(values, **elements))


def _result(frame: Frame) -> tuple[int | None, str | None]:
  return frame.number, frame.error.code if frame.error else None


@pytest.mark.parametrize(
  ('data', 'tolerance'), [(_dicom(), 0), (pictures.png(GREY), 0), (pictures.pillow_jpeg(GREY), 2)]
)
def test_the_same_picture_gives_the_same_pixels(data: bytes, tolerance: int) -> None:
  (frame,) = _decode(data)
  assert _result(frame) == (1, None)
  assert frame.pixels is not None
  assert frame.pixels.dtype == np.uint8
  assert np.abs(frame.pixels.astype(int) - PIXELS).max() <= tolerance
  assert (frame.facts.rows, frame.facts.columns, frame.facts.bits_stored) == (64, 64, 8)
  assert frame.original is None


@pytest.mark.parametrize(
  ('data', 'facts'),
  [
    (
      pictures.pillow_jpeg(GREY),
      HeaderFacts(
        rows=64,
        columns=64,
        bits_stored=8,
        number_of_frames=1,
        transfer_syntax='jpeg',
        photometric='MONOCHROME2',
        lossy=True,
        lossy_ratio=round(64 * 64 / len(pictures.pillow_jpeg(GREY)), 2),
      ),
    ),
    (
      pictures.png(pictures.colours(40, 50)),
      HeaderFacts(
        rows=40,
        columns=50,
        bits_stored=8,
        number_of_frames=1,
        transfer_syntax='png',
        photometric='RGB',
        lossy=False,
      ),
    ),
  ],
)
def test_facts_of_jpeg_and_png(data: bytes, facts: HeaderFacts) -> None:
  assert [frame.facts for frame in _decode(data)] == [facts]


@pytest.mark.parametrize(
  ('data', 'code', 'detail'),
  [
    (b'', 'empty-file', ''),
    (b'%PDF-1.7', 'auxiliary-file', ''),
    (b'plain text', 'auxiliary-file', ''),
    (bytes(2000), 'not-an-image', ''),
    (b'GIF89a', 'unsupported-image', 'gif'),
    (b'II*\0', 'unsupported-image', 'tiff'),
    (b'PK\x03\x04', 'archive-nesting', 'zip'),
    (b'\x1f\x8b\x08', 'archive-nesting', 'gzip'),
    (b'\x28\xb5\x2f\xfd', 'archive-nesting', 'zstd'),
    (b'\xff\xd8\xff\xe0', 'header-corrupt', 'JPEG without frame header'),
    (bytes(128) + b'DICM', 'header-corrupt', 'no element could be read'),
  ],
)
def test_what_is_no_image_is_one_frame_without_number(data: bytes, code: str, detail: str) -> None:
  (frame,) = _decode(data)
  assert _result(frame) == (None, code)
  assert frame.error is not None
  assert frame.error.detail == detail


STACK = np.stack([GREY, GREY[::-1], GREY[:, ::-1], np.zeros_like(GREY)])


@pytest.mark.parametrize(
  ('frames', 'results'),
  [('all', [(1, None), (2, None), (3, None), (4, 'blank')]), ('first', [(1, None)]), ('middle', [(2, None)])],
)
def test_frames_are_chosen_and_fail_alone(frames: str, results: list[tuple[int, str | None]]) -> None:
  decoded = _decode(_dicom(STACK, NumberOfFrames=4), frames=frames)
  assert [_result(frame) for frame in decoded] == results
  assert all(frame.facts.number_of_frames == 4 for frame in decoded)


def test_a_broken_frame_leaves_its_neighbours() -> None:
  frames = [GREY, GREY, GREY]
  dataset = pictures.compressed(pictures.dicom_dataset(np.stack(frames), NumberOfFrames=3), JPEGLSLossless, frames)
  stream = bytearray(dataset.PixelData)
  starts = [at for at in range(len(stream)) if stream[at : at + 4] == b'\xff\xd8\xff\xf7']
  stream[starts[1] + 20 : starts[2] - 8] = bytes(starts[2] - starts[1] - 28)
  dataset.PixelData = bytes(stream)
  decoded = _decode(pictures.dicom_file(dataset))
  assert [_result(frame) for frame in decoded] == [(1, None), (2, 'decode-failed'), (3, None)]


@pytest.mark.parametrize('uid', [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_a_compressed_file_that_breaks_off_keeps_the_frames_before(uid: UID) -> None:
  frames = [GREY, GREY[::-1].copy(), GREY[:, ::-1].copy()]
  dataset = pictures.compressed(pictures.dicom_dataset(np.stack(frames), NumberOfFrames=3), uid, frames)
  data = pictures.dicom_file(dataset)
  results = [_result(frame) for frame in _decode(data[: len(data) - len(dataset.PixelData) // 4])]
  assert results[:2] == [(1, None), (2, None)]
  assert results[2][1] == 'decode-failed'


@pytest.mark.parametrize('level', [0, 90, 255])
@pytest.mark.parametrize('shape', [(64, 64), (40, 64), (64, 40, 3)])
def test_one_grey_level_is_blank_padding_or_not(level: int, shape: tuple[int, ...]) -> None:
  (frame,) = _decode(pictures.png(np.full(shape, level, np.uint8)))
  assert _result(frame) == (1, 'blank')
  assert frame.pixels is None


def test_black_and_white_is_not_blank() -> None:
  (frame,) = _decode(pictures.png(np.where(GREY > 99, 255, 0).astype(np.uint8)))
  assert _result(frame) == (1, None)


@pytest.mark.parametrize(
  ('values', 'shape'),
  [(pictures.gradient(300, 1024, 8), (150, 512)), (GREY, (64, 64)), (pictures.colours(600, 100), (512, 85, 3))],
)
def test_the_original_is_kept_when_asked_for(values: Any, shape: tuple[int, ...]) -> None:
  (frame,) = _decode(pictures.png(values), keep_original=True, spec=PreprocessSpec(image_size=32, channels=3))
  assert frame.original is not None
  assert frame.original.shape == (shape if len(shape) == 3 else (*shape, 3))
  (frame,) = _decode(_dicom(values), keep_original=True)
  assert frame.original is not None
  assert frame.original.shape == shape


def test_limits_reach_every_kind() -> None:
  limits = Limits(max_pixels=GREY.size - 1)
  for data in (_dicom(), pictures.png(GREY), pictures.pillow_jpeg(GREY)):
    assert [_result(frame) for frame in _decode(data, limits=limits)] == [(None, 'too-large')]


def test_facts_survive_pixels_that_cannot_be_read() -> None:
  (frame,) = _decode(_dicom(HighBit=3))
  assert _result(frame) == (None, 'header-corrupt')
  assert (frame.facts.patient_id, frame.facts.rows) == (pictures.NAME, 64)


def _files() -> dict[str, bytes]:
  colours = pictures.colours(40, 40)
  grey = pictures.gradient(40, 40, 8)
  files = {'png': pictures.png(colours), 'jpeg': pictures.pillow_jpeg(grey)}
  for uid in (RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1, JPEGBaseline8Bit):
    dataset = pictures.dicom_dataset(grey, WindowCenter=100, WindowWidth=50)
    files[uid.keyword] = pictures.dicom_file(pictures.compressed(dataset, uid, [grey]))
  files[ExplicitVRLittleEndian.keyword] = pictures.dicom_file(
    pictures.dicom_dataset(np.stack([grey, grey]), NumberOfFrames=2, Manufacturer=pictures.NAME)
  )
  return files


FILES = _files()


def _assert_total(data: bytes) -> None:
  frames = _decode(data)
  assert frames
  for frame in frames:
    assert (frame.pixels is None) == (frame.error is not None)
    assert frame.error is None or (frame.error.code in CODES and 'Doe' not in frame.error.detail)


@pytest.mark.parametrize('name', FILES)
def test_a_file_cut_anywhere_is_frames(name: str) -> None:
  data = FILES[name]
  for length in np.linspace(0, len(data) - 1, 60).astype(int):
    _assert_total(data[:length])


@pytest.mark.parametrize('name', FILES)
def test_changed_bytes_are_frames(name: str) -> None:
  rng = np.random.default_rng(11)
  for _ in range(150):
    data = np.frombuffer(FILES[name], np.uint8).copy()
    changes = int(rng.integers(1, 12))
    # gdcm ends the process on some changed codestreams: there, change the header only.
    end = FILES[name].index(b'\xe0\x7f\x10\0') if name == JPEGLosslessSV1.keyword else data.size
    data[rng.integers(0, end, changes)] = rng.integers(0, 256, changes)
    _assert_total(data.tobytes())


def _bytes(name: str) -> list[bytes | None]:
  return [None if frame.pixels is None else frame.pixels.tobytes() for frame in _decode(FILES[name])]


def test_threads_do_not_disturb_each_other() -> None:
  names = [*FILES] * 20
  with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(_bytes, names)) == [_bytes(name) for name in FILES] * 20
