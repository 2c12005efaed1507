"""Reads the tensors of a PyTorch checkpoint in its first format, without PyTorch and without running what it holds.

The file is five pickles one after the other (a magic number, the version of
the format, sizes of the writer's types, the tensors by name, the keys of the
storages) and then for each key, in that order, the number of elements (int64)
and the elements, little-endian. A pickle is a program: here it may name four
things only, none of which does more than keep its arguments; anything else is
refused (docs.python.org/3/library/pickle.html#restricting-globals).
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.networks.weights import WeightsError

MAGIC: Final = 0x1950A86A20F9469CFC6C
FORMAT_VERSION: Final = 1001

_DTYPES: Final = {'FloatStorage': '<f4', 'LongStorage': '<i8'}
# What a damaged or foreign pickle may make of the unpickler.
_PICKLE_ERRORS: Final = (
  pickle.UnpicklingError,
  AttributeError,
  EOFError,
  ImportError,
  IndexError,
  KeyError,
  MemoryError,
  OverflowError,
  TypeError,
  ValueError,
)


@dataclass(frozen=True, slots=True)
class _Storage:
  """A run of elements of one type, at the end of the file."""

  key: str
  dtype: str
  count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
  """A view of a storage: offset and strides in elements."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Rebuild:
  """Stands for `_rebuild_tensor_v2`; whether gradients are wanted, and hooks, are left aside."""

  def __call__(self, storage: _Storage, offset: int, shape: Any, strides: Any, *rest: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
      raise pickle.UnpicklingError('a tensor without a storage')
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


_KNOWN: Final[Mapping[tuple[str, str], Any]] = {
  ('collections', 'OrderedDict'): OrderedDict,
  ('torch', 'FloatStorage'): 'FloatStorage',
  ('torch', 'LongStorage'): 'LongStorage',
  ('torch._utils', '_rebuild_tensor_v2'): _Rebuild(),
}


class _Unpickler(pickle.Unpickler):
  """Knows four names."""

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in _KNOWN:
      raise WeightsError(
        f'the weights name {module}.{name}; expected tensors of numbers only: the file may be an attack, '
        'do not open it with other programs'
      )
    return _KNOWN[module, name]

  def persistent_load(self, pid: Any) -> _Storage:
    kind, storage_type, key, _, count, view = pid
    if kind != 'storage' or view is not None or count < 0:
      raise pickle.UnpicklingError('a storage of an unknown kind')
    return _Storage(str(key), _DTYPES[storage_type], int(count))


def parse_torch_weights(data: bytes) -> dict[str, NDArray[Any]]:
  """Takes the tensors out of a checkpoint.

  Args:
    data: the whole file.

  Returns:
    By name, in the order of the file: float32 or int64.

  Raises:
    WeightsError: if it is not such a file, is cut off or too long, or names anything but tensors.
  """
  stream = io.BytesIO(data)
  try:
    magic, version, _, tensors, keys = [_Unpickler(stream).load() for _ in range(5)]
  except WeightsError:
    raise
  except _PICKLE_ERRORS as error:
    raise _damaged(f'its pickles cannot be read ({type(error).__name__})') from error
  if magic != MAGIC or version != FORMAT_VERSION:
    raise _damaged('it does not begin with the magic number and the version of the format')
  named = _named_tensors(tensors)
  storages = _read_storages(
    data, stream.tell(), keys, {tensor.storage.key: tensor.storage for tensor in named.values()}
  )
  return {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in named.items()}


def _named_tensors(tensors: Any) -> dict[str, _Tensor]:
  if not isinstance(tensors, dict) or not all(
    isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in tensors.items()
  ):
    raise _damaged('it holds something else than tensors by name')
  return dict(tensors)


def _read_storages(data: bytes, position: int, keys: Any, expected: Mapping[str, _Storage]) -> dict[str, NDArray[Any]]:
  if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(expected):
    raise _damaged('its list of storages is not that of its tensors')
  storages = {}
  for storage in (expected[key] for key in keys):
    dtype = np.dtype(storage.dtype)
    start, end = position + 8, position + 8 + storage.count * dtype.itemsize
    if end > len(data) or int.from_bytes(data[position:start], 'little') != storage.count:
      raise _damaged(f'a storage of {storage.count} elements is cut off, or has another size')
    storages[storage.key] = np.frombuffer(data, dtype, storage.count, start)
    position = end
  if position != len(data):
    raise _damaged(f'{len(data) - position} bytes follow the last storage')
  return storages


def _view(tensor: _Tensor, elements: NDArray[Any]) -> NDArray[Any]:
  """The tensor as an array of its own; a view that leaves its storage, or repeats elements of it, is refused."""
  steps = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=False)]
  inside = tensor.offset >= 0 and tensor.offset + sum(steps) < len(elements)
  if (
    len(tensor.shape) != len(tensor.strides)
    or min(*tensor.shape, *tensor.strides, 1, 1) < 1
    or math.prod(tensor.shape) > len(elements)
    or not inside
  ):
    raise _damaged('a tensor reaches beyond its storage')
  strides = tuple(stride * elements.itemsize for stride in tensor.strides)
  return np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides, writeable=False).copy()


def _damaged(what: str) -> WeightsError:
  return WeightsError(f'not a checkpoint of PyTorch in its first format: {what}; take the file of the package again')
