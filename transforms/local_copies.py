"""Folders of an object store on local disk: TensorFlow reads and writes nothing else."""

import contextlib
import functools
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator

from transforms import storage

_COPY_BYTES = 1 << 20


def local_folder(path: str | pathlib.Path) -> pathlib.Path:
  """A folder as one of this machine: itself, or a copy that lives as long as the process."""
  return pathlib.Path(path) if storage.is_local(str(path)) else _Copies.of_process().get(str(path))


class _Copies:
  """What this process has copied."""

  def __init__(self) -> None:
    self._root = pathlib.Path(tempfile.mkdtemp(prefix='radbeam-'))
    self._folders: dict[str, pathlib.Path] = {}
    weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)  # also when the process ends

  @classmethod
  @functools.cache
  def of_process(cls) -> '_Copies':
    return cls()

  def get(self, url: str) -> pathlib.Path:
    """The copy of a folder, made when it is first asked for."""
    if url not in self._folders:
      folder = self._root / str(len(self._folders)) / url.rstrip('/').rpartition('/')[2]
      folder.mkdir(parents=True)
      _download(url, folder)
      self._folders[url] = folder
    return self._folders[url]


def _download(url: str, folder: pathlib.Path) -> None:
  prefix = f'{url.rstrip("/")}/'
  for file in storage.list_files(prefix):
    target = folder / file.path.removeprefix(prefix)
    target.parent.mkdir(parents=True, exist_ok=True)
    with storage.open_read(file.path) as source, target.open('wb') as copy:
      shutil.copyfileobj(source, copy, _COPY_BYTES)


@contextlib.contextmanager
def written_folder(path: str, last: str) -> Iterator[pathlib.Path]:
  """A folder of this machine to write a result to; it takes the place of what is at `path` when the block ends well.

  Args:
    path: where the result belongs.
    last: the file that commits it, which is copied after all others.
  """
  if storage.is_local(path):
    yield pathlib.Path(path)
    return
  with tempfile.TemporaryDirectory(prefix='radbeam-') as temporary:
    folder = pathlib.Path(temporary, path.rstrip('/').rpartition('/')[2])
    yield folder
    storage.delete_tree(path)
    files = sorted((file for file in folder.rglob('*') if file.is_file()), key=lambda file: file.name == last)
    for file in files:
      storage.copy_files([(str(file), storage.join(path, file.relative_to(folder).as_posix()))])
