"""Sources decoded in processes of their own: the same frames, and one that ends its process costs itself."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless

from tests.transforms import pictures
from transforms.careful import decode_by, decode_source_apart
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame, HeaderFacts
from transforms.errors import InputError
from transforms.frames_as_bytes import from_bytes, to_bytes
from transforms.preprocess import PreprocessSpec
from transforms.worker_processes import WorkerPool

OPTIONS = DecodeOptions(PreprocessSpec(32))
GREY = pictures.gradient(64, 64, 8)
SOUND = pictures.png(GREY)


def facts_of(frame: Frame) -> dict[str, Any]:
  """What can be compared by `==`."""
  values = {field.name: getattr(frame, field.name) for field in fields(frame)}
  error = values.pop('error')
  arrays = {name: value.tolist() for name, value in values.items() if isinstance(value, np.ndarray)}
  return values | arrays | {'error': (error.code, error.detail) if error else None}


def multi_frame() -> bytes:
  frames = np.stack([GREY, np.full_like(GREY, 7), GREY[::-1]])
  dataset = pictures.dicom_dataset(frames, NumberOfFrames=3, Manufacturer='SIEMENS', DeviceSerialNumber='7')
  return pictures.dicom_file(pictures.compressed(dataset, JPEGLSLossless, list(frames)))


@pytest.mark.parametrize('keep_original', [False, True])
@pytest.mark.parametrize('data', [SOUND, multi_frame(), b'no image', pictures.pillow_jpeg(pictures.colours())[:-99]])
def test_frames_are_the_same_in_another_process(data: bytes, keep_original: bool) -> None:
  here = list(decode_source(data, OPTIONS, keep_original=keep_original))
  there = decode_source_apart(data, OPTIONS, keep_original=keep_original)
  assert [facts_of(frame) for frame in there] == [facts_of(frame) for frame in here]


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
  made = WorkerPool(1, 'tests.transforms.bad_sources')
  yield made
  made.close()


@pytest.mark.parametrize(
  ('data', 'error'),
  [
    (b'abort', ('internal-error', 'decode process ended by SIGABRT')),
    (b'exit', ('internal-error', 'decode process ended by exit code 7')),
    (b'late', ('decoder-timeout', '60 s')),
    (b'memory', ('decoder-memory', '')),
  ],
)
def test_a_source_that_ends_its_process_costs_itself(pool: WorkerPool, data: bytes, error: tuple[str, str]) -> None:
  (frame,) = decode_by(pool, data, OPTIONS, keep_original=False)
  assert (frame.number, frame.error and (frame.error.code, frame.error.detail)) == (None, error)
  (frame,) = decode_by(pool, SOUND, OPTIONS, keep_original=False)
  assert frame.error is None


def test_a_process_that_makes_no_sense_is_ended(pool: WorkerPool) -> None:
  (frame,) = decode_by(pool, b'babble', OPTIONS, keep_original=False)
  assert frame.error
  assert frame.error.code == 'internal-error'


def test_arrays_come_back_with_their_shapes() -> None:
  colour = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
  frames = [
    Frame(1, HeaderFacts(scanner=('a', 'b')), colour, None, ('tiny',), colour[:1], 'f' * 16, np.arange(256)),
    Frame(None, HeaderFacts(), error=InputError('too-large', '7 bytes')),
  ]
  assert [facts_of(frame) for frame in from_bytes(*to_bytes(frames))] == [facts_of(frame) for frame in frames]
