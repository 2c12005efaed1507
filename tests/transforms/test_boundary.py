"""A defect of ours costs the image that meets it."""

import numpy as np
import pytest

from tests.transforms import pictures
from transforms import decode
from transforms.boundary import guarded, kind_and_place
from transforms.decode import DecodeOptions, decode_source
from transforms.display import display_frame
from transforms.errors import InputError, MachineError
from transforms.preprocess import PreprocessSpec

OPTIONS = DecodeOptions(PreprocessSpec(32))
GREY = pictures.gradient(64, 64, 8)


def fails(error: BaseException) -> None:
  raise error


@pytest.mark.parametrize('error', [TypeError('Erika'), OSError(5, 'Erika'), RecursionError(), np.linalg.LinAlgError()])
def test_what_is_no_defect_of_the_input_is_told_by_kind_and_place(error: Exception) -> None:
  with pytest.raises(InputError) as caught:
    guarded(lambda: fails(error))
  assert (caught.value.code, caught.value.__cause__) == ('internal-error', None)
  kind, place = caught.value.detail.split(' at ')
  assert kind == type(error).__name__
  assert place.startswith('transforms/boundary.py:')


@pytest.mark.parametrize('error', [InputError('blank'), MachineError('no process'), MemoryError(), KeyboardInterrupt()])
def test_the_others_pass(error: BaseException) -> None:
  with pytest.raises(type(error)):
    guarded(lambda: fails(error))


def test_an_exception_that_was_never_raised_has_no_place() -> None:
  assert kind_and_place(KeyError('Erika')) == 'KeyError'


@pytest.mark.parametrize(
  'step', ['read_dicom', 'header_facts', 'pixel_layout', 'stored_frame', 'display_frame', 'preprocess']
)
def test_a_step_that_fails_costs_the_image_and_names_itself(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
  def fail(*_: object) -> None:
    raise TypeError('Erika Mustermann')

  data = pictures.dicom_file(pictures.dicom_dataset(GREY))
  monkeypatch.setattr(decode, step, fail)
  (frame,) = decode_source(data, OPTIONS)
  assert frame.error
  assert frame.error.code == 'internal-error'
  assert frame.error.detail.startswith('TypeError at transforms/decode.py:')


def test_other_frames_of_the_object_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
  frames = np.stack([GREY, GREY[::-1], GREY[:, ::-1]])
  data = pictures.dicom_file(pictures.dicom_dataset(frames, NumberOfFrames=3))

  def fail_at_the_second(*args: object) -> object:
    if args[-1] == 1:
      raise TypeError('Erika Mustermann')
    return display_frame(*args)  # type: ignore[arg-type]

  monkeypatch.setattr(decode, 'display_frame', fail_at_the_second)
  found = list(decode_source(data, OPTIONS))
  assert [(frame.number, frame.error and frame.error.code) for frame in found] == [
    (1, None),
    (2, 'internal-error'),
    (3, None),
  ]
  assert found[1].facts.patient_id == pictures.NAME
