"""Jobs that are killed at a chosen point: before, during or after the nth change that they make to their output.

`python -m tests.crash_points.crashing` loads what the jobs need, then reads requests from stdin, a line of JSON each,
`{"argv": [...], "output": "...", "point": n, "moment": "before"}`, forks a process for each, and answers with its exit
code, negative for the signal that ended it. Point 0 is never reached.
"""

import builtins
import importlib
import io
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from pipelines import lock
from pipelines.cli import main as radbeam
from transforms import object_store

_CHANGES: Final = ('mkdir', 'rename', 'replace', 'link', 'unlink', 'rmdir')


class Crash:
  """Counts changes below an output, and ends the process at one of them, as a power cut would."""

  def __init__(self, output: str, point: int, moment: str) -> None:
    self._output, self._point, self._moment = output, point, moment
    self._numbers = itertools.count(1)
    self._lock = threading.Lock()

  def concerns(self, *paths: Any) -> bool:
    """Whether a change is one of the output's; inside a tree that is being deleted names are relative."""
    return any(str(path).startswith(self._output) for path in paths if isinstance(path, str | os.PathLike))

  def change(self, work: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
    """Does one change; `half` leaves it half done."""
    with self._lock:
      number = next(self._numbers)
    if number != self._point:
      return work()
    if self._moment == 'during' and half:
      half()
    os.kill(os.getpid(), signal.SIGKILL)
    return None

  def install(self) -> None:
    """Puts itself between the process and its disk, and its object store."""
    for name in _CHANGES:
      setattr(os, name, self._guarded(getattr(os, name)))
    builtins.open = self._guarded_open(builtins.open)
    for name in ('write_file', 'delete', '_copy'):
      setattr(object_store, name, self._guarded(getattr(object_store, name)))

  def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
      if 'dir_fd' not in kwargs and not self.concerns(*args):
        return function(*args, **kwargs)
      return self.change(lambda: function(*args, **kwargs))

    return guarded

  def _guarded_open(self, function: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(file: Any, mode: str = 'r', *args: Any, **kwargs: Any) -> Any:
      opened = function(file, mode, *args, **kwargs)
      return _Written(opened, self) if 'wb' in mode and self.concerns(file) else opened

    return guarded


class _Written(io.RawIOBase):
  """A file whose bytes reach the disk when it is closed: at once, not at all, or by half."""

  def __init__(self, file: Any, crash: Crash) -> None:
    self._file, self._crash, self._content = file, crash, bytearray()

  def writable(self) -> bool:
    return True

  def write(self, data: Any) -> int:
    self._content += memoryview(data).cast('B')
    return len(memoryview(data).cast('B'))

  def tell(self) -> int:
    return len(self._content)

  def fileno(self) -> int:
    return int(self._file.fileno())

  def close(self) -> None:
    if not self.closed:
      self._crash.change(lambda: self._put(len(self._content)), lambda: self._put(len(self._content) // 2))
    super().close()

  def _put(self, count: int) -> None:
    self._file.write(self._content[:count])
    self._file.close()


def _serve(request: dict[str, Any]) -> int:
  pid = os.fork()
  if pid == 0:
    lock.STALE_AFTER_S = 0.0  # who is dead is known here
    Crash(request['output'], request['point'], request['moment']).install()
    os._exit(int(radbeam(request['argv'])))
  _, status = os.waitpid(pid, 0)
  return os.waitstatus_to_exitcode(status)


def main() -> None:
  """Answers requests until stdin ends."""
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  for name in ('nightly', 'night_slices', 'current'):
    importlib.import_module(f'pipelines.{name}')
  for line in sys.stdin:
    print(json.dumps(_serve(json.loads(line))), file=answers, flush=True)


if __name__ == '__main__':
  main()
