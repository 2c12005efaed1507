"""Decoded frames as bytes, for the way from one process to another: JSON and raw arrays, no pickles.

The process that they come from has worked on hostile input; what it says is
read, and never executed.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transforms.elements import Frame, HeaderFacts
from transforms.errors import InputError

_ARRAYS: Final = ('pixels', 'original', 'histogram')


def to_bytes(frames: Iterable[Frame]) -> tuple[bytes, bytes]:
  """Frames as a head in JSON, and the bytes of their arrays, one after the other."""
  told: list[dict[str, Any]] = []
  arrays: list[bytes] = []
  for frame in frames:
    present = {name: getattr(frame, name) for name in _ARRAYS if getattr(frame, name) is not None}
    told.append(
      {
        'number': frame.number,
        'facts': asdict(frame.facts),
        'error': [frame.error.code, frame.error.detail] if frame.error else None,
        'quality': frame.quality,
        'perceptual_hash': frame.perceptual_hash,
        'arrays': {name: [array.dtype.str, array.shape] for name, array in present.items()},
      }
    )
    arrays.extend(np.ascontiguousarray(array).tobytes() for array in present.values())
  return json.dumps(told).encode(), b''.join(arrays)


def from_bytes(head: bytes | bytearray, body: bytes | bytearray) -> tuple[Frame, ...]:
  """The frames again.

  Raises:
    ValueError, KeyError, TypeError: if these are no frames.
  """
  rest = memoryview(body)
  frames: list[Frame] = []
  for told in json.loads(head):
    arrays: dict[str, NDArray[Any]] = {}
    for name, (dtype, shape) in told.pop('arrays').items():
      arrays[name], rest = _array(rest, np.dtype(dtype), shape)
    frames.append(_frame(told, arrays))
  return tuple(frames)


def _array(rest: memoryview, dtype: np.dtype[Any], shape: Sequence[int]) -> tuple[NDArray[Any], memoryview]:
  size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
  return np.frombuffer(rest[:size], dtype).reshape(shape), rest[size:]


def _frame(told: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Frame:
  facts = told['facts']
  scanner = facts['scanner']
  return Frame(
    number=told['number'],
    facts=HeaderFacts(**facts | {'scanner': None if scanner is None else tuple(scanner)}),
    error=InputError(*told['error']) if told['error'] else None,
    quality=tuple(told['quality']),
    perceptual_hash=told['perceptual_hash'],
    **arrays,
  )
