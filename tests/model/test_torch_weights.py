"""Checkpoints are made here, byte by byte, so that each can be broken in one place."""

import io
import os
import pathlib
import pickle
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from model.networks.torch_weights import FORMAT_VERSION, MAGIC, parse_torch_weights
from model.networks.weights import PackagedFile, WeightsError, packaged_file, read_pinned


@dataclass(frozen=True)
class View:
  """A tensor as a writer puts it: elements of a storage, and what it says of them."""

  elements: NDArray[Any]
  shape: Sequence[int]
  strides: Sequence[int]
  offset: int = 0


class Global:
  """Is pickled as a mere name, whether or not there is such a thing here."""

  def __init__(self, module: str, name: str) -> None:
    self.module, self.name = module, name

  def __call__(self) -> None:
    """Callable, as pickle wants a function to be."""


class Call:
  """Is pickled as a call of a name."""

  def __init__(self, function: Global, *arguments: Any) -> None:
    self.function, self.arguments = function, arguments

  def __reduce__(self) -> tuple[Any, ...]:
    return self.function, self.arguments


class Storage:
  """Is pickled as a persistent id."""

  def __init__(self, key: str, elements: NDArray[Any], count: int | None = None) -> None:
    kind = 'FloatStorage' if elements.dtype == np.float32 else 'LongStorage'
    self.pid = ('storage', Global('torch', kind), key, 'cpu', len(elements) if count is None else count, None)


class Writer(pickle._Pickler):  # the one in Python: its table of types can be added to
  dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

  def persistent_id(self, obj: Any) -> Any:
    return obj.pid if isinstance(obj, Storage) else None


def _write_name(writer: Any, obj: Global) -> None:
  writer.write(pickle.GLOBAL + f'{obj.module}\n{obj.name}\n'.encode())


Writer.dispatch[Global] = _write_name


def pickled(value: Any) -> bytes:
  stream = io.BytesIO()
  Writer(stream, protocol=2).dump(value)
  return stream.getvalue()


def tensor(key: str, view: View) -> Call:
  rebuild = Global('torch._utils', '_rebuild_tensor_v2')
  return Call(
    rebuild, Storage(key, view.elements), view.offset, tuple(view.shape), tuple(view.strides), False, OrderedDict()
  )


VIEWS = {
  'kernel': View(np.arange(6, dtype=np.float32), (2, 3), (1, 2)),  # written column by column
  'bias': View(np.array([7, 8, 9], np.float32), (2,), (1,), offset=1),
  'steps': View(np.array([5], np.int64), (), ()),
}


def checkpoint(
  views: dict[str, View] = VIEWS,
  objects: Any = None,
  magic: int = MAGIC,
  version: int = FORMAT_VERSION,
  keys: Any = None,
  tail: bytes = b'',
) -> bytes:
  named = {name: tensor(str(index), view) for index, (name, view) in enumerate(views.items())}
  head = [magic, version, {'little_endian': True}, OrderedDict(named) if objects is None else objects]
  listed = [str(index) for index in range(len(views))] if keys is None else keys
  storages = b''.join(len(view.elements).to_bytes(8, 'little') + view.elements.tobytes() for view in views.values())
  return b''.join(map(pickled, [*head, listed])) + storages + tail


def test_tensors_are_read_as_they_were_written() -> None:
  tensors = parse_torch_weights(checkpoint())
  assert list(tensors) == ['kernel', 'bias', 'steps']
  np.testing.assert_array_equal(tensors['kernel'], [[0, 2, 4], [1, 3, 5]])
  np.testing.assert_array_equal(tensors['bias'], [8, 9])
  assert tensors['kernel'].dtype == np.float32
  assert tensors['steps'].dtype == np.int64
  assert tensors['steps'].shape == ()
  assert tensors['steps'] == 5


@pytest.mark.parametrize(
  ('module', 'name'),
  [('posix', 'system'), ('os', 'system'), ('builtins', 'eval'), ('torch', 'DoubleStorage'), ('collections', 'deque')],
)
def test_what_names_anything_else_is_refused_before_it_runs(module: str, name: str, tmp_path: pathlib.Path) -> None:
  call = Call(Global(module, name), f'touch {tmp_path}/run')
  with pytest.raises(WeightsError, match=f'the weights name {module}.{name}; expected tensors of numbers only'):
    parse_torch_weights(checkpoint(objects=OrderedDict(kernel=call)))
  assert list(tmp_path.iterdir()) == []


def test_a_pickle_of_the_real_thing_is_refused_too(tmp_path: pathlib.Path) -> None:
  """The same attack as Python's own pickle writes it, and a proof that it is one."""

  class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
      return os.system, (f'touch {tmp_path}/run',)

  attack = pickle.dumps(Attack())
  with pytest.raises(WeightsError, match='system; expected tensors of numbers only'):
    parse_torch_weights(attack)
  assert list(tmp_path.iterdir()) == []
  pickle.loads(attack)
  assert [path.name for path in tmp_path.iterdir()] == ['run']


ONE = np.zeros(4, np.float32)


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (b'', 'its pickles cannot be read'),
    (b'PK\x03\x04 a zip, as PyTorch writes since 1.6', 'its pickles cannot be read'),
    (pickled(MAGIC), 'its pickles cannot be read'),
    (checkpoint(magic=1), 'does not begin with the magic number'),
    (checkpoint(version=1002), 'does not begin with the magic number'),
    (checkpoint(objects=[1, 2]), 'something else than tensors by name'),
    (checkpoint(objects={'kernel': 1.0}), 'something else than tensors by name'),
    (checkpoint(objects={1: tensor('0', VIEWS['kernel'])}), 'something else than tensors by name'),
    (checkpoint(keys=['0', '1']), 'its list of storages'),
    (checkpoint(keys=['0', '1', '1']), 'its list of storages'),
    (checkpoint(keys=['1', '0', '2']), 'cut off, or has another size'),
    (checkpoint(keys=5), 'its list of storages'),
    (checkpoint()[:-1], 'cut off'),
    (checkpoint()[:-12], 'cut off'),
    (checkpoint(tail=b'more'), '4 bytes follow the last storage'),
    (checkpoint({'x': View(ONE, (5,), (1,))}), 'beyond its storage'),
    (checkpoint({'x': View(ONE, (2, 2), (3, 2))}), 'beyond its storage'),
    (checkpoint({'x': View(ONE, (4,), (1,), offset=1)}), 'beyond its storage'),
    (checkpoint({'x': View(ONE, (2,), (1,), offset=-1)}), 'beyond its storage'),
    (checkpoint({'x': View(ONE, (2,), (-1,), offset=1)}), 'beyond its storage'),
    (checkpoint({'x': View(ONE, (1 << 40,), (0,))}), 'beyond its storage'),
    (checkpoint({'x': View(ONE, (2, 2), (1,))}), 'beyond its storage'),
  ],
)
def test_what_is_damaged_is_refused(data: bytes, message: str) -> None:
  with pytest.raises(WeightsError, match=message):
    parse_torch_weights(data)


def rebuilt(storage: Any) -> bytes:
  """A checkpoint whose one tensor is of this storage."""
  call = Call(Global('torch._utils', '_rebuild_tensor_v2'), storage, 0, (1,), (1,), False, OrderedDict())
  return checkpoint({'x': View(ONE, (4,), (1,))}, objects={'x': call})


@pytest.mark.parametrize(
  ('storage', 'message'),
  [
    (Storage('0', ONE, count=1 << 40), 'a storage of 1099511627776 elements is cut off'),
    (Storage('0', ONE, count=-1), 'pickles cannot be read'),
    ('no storage', 'pickles cannot be read'),
  ],
)
def test_a_lie_about_a_storage_is_refused(storage: Any, message: str) -> None:
  with pytest.raises(WeightsError, match=message):
    parse_torch_weights(rebuilt(storage))


def test_every_cut_is_refused() -> None:
  data = checkpoint()
  for length in range(len(data)):
    with pytest.raises(WeightsError):
      parse_torch_weights(data[:length])


def test_every_flipped_byte_is_refused_or_read_as_numbers() -> None:
  """Without the pin: whatever the byte, nothing but an array or a refusal comes out."""
  data = checkpoint()
  outcomes = set()
  for index in range(len(data)):
    try:
      tensors = parse_torch_weights(data[:index] + bytes([data[index] ^ 0xFF]) + data[index + 1 :])
    except WeightsError:
      outcomes.add('refused')
    else:
      assert all(isinstance(value, np.ndarray) for value in tensors.values())
      outcomes.add('read')
  assert outcomes == {'refused', 'read'}


def test_one_byte_breaks_the_pin(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'weights.pth'
  path.write_bytes(b'right')
  sha256 = '47a2bf0beb0faee25dd9c9bf12ae70d8ed9a6ee24ba3fa1a0cff1b7f1a8a9d3b'
  with pytest.raises(WeightsError, match=r"'weights.pth' have the sha256 [0-9a-f]{12}…, expected 47a2bf0beb0f…"):
    read_pinned(path, sha256)
  with pytest.raises(WeightsError, match=r"'none.pth' cannot be read: No such file"):
    read_pinned(tmp_path / 'none.pth', sha256)


def test_a_package_that_is_missing_is_named_with_the_remedy() -> None:
  with pytest.raises(
    WeightsError, match=r"no-such-package .* is not installed; .*'radbeam\[pretrained\]', or .* x.pth"
  ):
    packaged_file(PackagedFile('no-such-package', 'models/x.pth', ''))
