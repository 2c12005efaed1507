"""What is said of the chain is what it does: each case names the steps, and recomputes the picture from them alone."""

import threading
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from tests.transforms import pictures
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame
from transforms.preprocess import PreprocessSpec
from transforms.trace import note_step, recorded_steps

_SPEC = PreprocessSpec(32, 'stretch')
_VALUES = pictures.gradient(64, 64, 12)
_END = 'stretch: 64 x 64 to 32 x 32'


def traced(data: bytes, spec: PreprocessSpec = _SPEC) -> tuple[Frame, list[str]]:
  with recorded_steps() as steps:
    [frame] = decode_source(data, DecodeOptions(spec))
  return frame, steps


def grey(**elements: Any) -> Dataset:
  return pictures.dicom_dataset(_VALUES, BitsStored=12, **elements)


def sequence(*items: Dataset) -> list[Dataset]:
  return list(items)


NUMPY = 'decoded by numpy: Explicit VR Little Endian'
KEPT = 'kept 12 of 16 bits, the highest 11, unsigned'
PLAIN = 'rescale: slope 1, intercept 0'
WINDOW = {'WindowCenter': 2048, 'WindowWidth': 4096}
SHOWN = 'window: center 2048, width 4096, LINEAR'


@pytest.mark.parametrize(
  ('elements', 'steps'),
  [
    (WINDOW, [NUMPY, KEPT, PLAIN, SHOWN, _END]),
    ({}, [NUMPY, KEPT, PLAIN, 'stretch: the middle 99 percent', _END]),
    (
      {**WINDOW, 'RescaleSlope': 0.5, 'RescaleIntercept': -1024},
      [NUMPY, KEPT, 'rescale: slope 0.5, intercept -1024', SHOWN, _END],
    ),
    (
      {**WINDOW, 'VOILUTFunction': 'SIGMOID', 'PhotometricInterpretation': 'MONOCHROME1'},
      [NUMPY, KEPT, PLAIN, SHOWN.replace('LINEAR', 'SIGMOID'), 'inverted: MONOCHROME1', _END],
    ),
    (
      {**WINDOW, 'VOILUTFunction': 'Doe^Planted', 'PresentationLUTShape': 'INVERSE'},
      [NUMPY, KEPT, PLAIN, SHOWN, 'inverted: PresentationLUTShape INVERSE', _END],
    ),
    (
      {'WindowCenter': -9000, 'WindowWidth': 10, 'PixelPaddingValue': 0},
      [
        *(NUMPY, KEPT, PLAIN, 'window: center -9000, width 10, LINEAR', 'taken back: it shows one grey only'),
        *('stretch: the middle 99 percent of what is no padding', _END),
      ],
    ),
    (
      {'WindowCenter': 40, 'WindowWidth': 0},
      [
        *(NUMPY, KEPT, PLAIN, 'window: center 40, width 0, LINEAR: not allowed'),
        *('stretch: the middle 99 percent', _END),
      ],
    ),
    (
      {'VOILUTSequence': sequence(pictures.lut([0, 255], 2000, 8))},
      [NUMPY, KEPT, PLAIN, 'VOI LUT: to 0…255', _END],
    ),
    (
      {'ModalityLUTSequence': sequence(pictures.lut(list(range(0, 8192, 2)), 0, 16)), **WINDOW},
      [NUMPY, KEPT, 'modality LUT', SHOWN, _END],
    ),
  ],
)
def test_steps_of_grey(elements: dict[str, Any], steps: list[str]) -> None:
  frame, found = traced(pictures.dicom_file(grey(**elements)))
  assert frame.error is None
  assert found == steps


@pytest.mark.parametrize(
  ('uid', 'decoder', 'masked'),
  [(RLELossless, 'pydicom', True), (JPEG2000Lossless, 'radbeam-openjpeg', False), (JPEGLosslessSV1, 'gdcm', True)],
)
def test_the_decoder_is_named(uid: Any, decoder: str, masked: bool) -> None:
  dataset = pictures.compressed(grey(**WINDOW), uid, [_VALUES])
  _, found = traced(pictures.dicom_file(dataset))
  assert found[0] == f'decoded by {decoder}: {uid.name}'
  assert (KEPT in found) is masked


def test_steps_of_colour_and_pictures() -> None:
  rgb = pictures.colours(64, 64)
  assert traced(pictures.dicom_file(pictures.dicom_dataset(rgb)))[1] == [
    *(NUMPY, 'colour: RGB of 8 bits to RGB of 8', 'grey: Rec. 601 luma of RGB', _END),
  ]
  assert traced(pictures.png(rgb))[1] == ['decoded by OpenCV: PNG of 8 bits', 'grey: Rec. 601 luma of RGB', _END]
  assert traced(pictures.pillow_jpeg(rgb), PreprocessSpec(32, 'stretch', 3))[1] == ['decoded by OpenCV: JPEG', _END]


def test_the_steps_lead_to_the_picture() -> None:
  """Slope, intercept, window and inversion as they are said, by numpy alone."""
  dataset = grey(
    RescaleSlope=2, RescaleIntercept=-100, WindowCenter=3000, WindowWidth=5000, PhotometricInterpretation='MONOCHROME1'
  )
  frame, found = traced(pictures.dicom_file(dataset))
  numbers = [float(word) for step in found[2:4] for word in step.replace(',', '').split() if word[-1].isdigit()]
  slope, intercept, center, width = numbers
  assert found[4].startswith('inverted')
  shares = np.clip((_VALUES * slope + intercept - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
  expected = cv2.resize(np.rint(255 * (1 - shares)).astype(np.uint8), (32, 32), interpolation=cv2.INTER_AREA)
  assert frame.pixels is not None
  np.testing.assert_array_equal(frame.pixels, expected)


def test_nothing_is_noted_where_nobody_listens() -> None:
  with recorded_steps() as steps:
    note_step('a {}', 1)
  note_step('b')
  assert steps == ['a 1']


def test_a_thread_hears_its_own_steps_only() -> None:
  with recorded_steps() as steps:
    other = threading.Thread(target=note_step, args=('of another',))
    other.start()
    other.join()
  assert steps == []


def test_numbers_are_short() -> None:
  with recorded_steps() as steps:
    note_step('{} {} {} {}', 0.5, 1.0, -1024, np.float64(0.25))
  assert steps == ['0.5 1 -1024 0.25']
