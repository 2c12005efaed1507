"""Whole commands measured from outside: wall time, and peak memory of the process tree."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

RADBEAM = (sys.executable, '-c', 'from pipelines.cli import main; raise SystemExit(main())')
_PAGE_BYTES = os.sysconf('SC_PAGE_SIZE')
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
  """One run of a command."""

  wall_s: float
  peak_bytes: int
  exit_code: int


def measure(command: Sequence[str]) -> Measured:
  """Runs a command; its peak is the largest sum of resident memory over its process tree."""
  started = time.perf_counter()
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
  peak = _Peak(process.pid)
  peak.start()
  exit_code = process.wait()
  wall_s = time.perf_counter() - started
  peak.stopped.set()
  peak.join()
  return Measured(wall_s, peak.peak_bytes, exit_code)


class _Peak(threading.Thread):
  def __init__(self, pid: int) -> None:
    super().__init__(daemon=True)
    self.stopped = threading.Event()
    self.peak_bytes = 0
    self._pid = pid

  def run(self) -> None:
    while not self.stopped.wait(_POLL_S):
      self.peak_bytes = max(self.peak_bytes, tree_bytes(self._pid))


def tree_bytes(pid: int) -> int:
  """Resident bytes of a process and its descendants (Linux)."""
  return sum(_resident_bytes(one) for one in tree(pid))


def tree(pid: int) -> Iterator[int]:
  """A process and its descendants, as far as they are still there; children of any of its threads."""
  yield pid
  for children in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      for child in map(int, children.read_text().split()):
        if not _is_copy(child, pid):
          yield from tree(child)


def _is_copy(child: int, parent: int) -> bool:
  """Whether a child has just been forked and runs nothing of its own yet: its memory is its parent's, once more."""
  lines = [pathlib.Path(f'/proc/{pid}/cmdline').read_bytes() for pid in (child, parent)]
  return lines[0] == lines[1]


def _resident_bytes(pid: int) -> int:
  try:
    return int(pathlib.Path(f'/proc/{pid}/statm').read_text().split()[1]) * _PAGE_BYTES
  except (FileNotFoundError, ProcessLookupError):
    return 0


def forget_peaks(pid: int) -> None:
  """Sets the peaks of a process and its descendants to what they hold now (Linux, proc(5): clear_refs)."""
  for one in tree(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      pathlib.Path(f'/proc/{one}/clear_refs').write_text('5')


def tree_peak_bytes(pid: int) -> int:
  """The peaks of a process and its descendants since they were forgotten, added up: no less than their joint peak."""
  return sum(_peak_bytes(one) for one in tree(pid))


def _peak_bytes(pid: int) -> int:
  try:
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
  except (FileNotFoundError, ProcessLookupError):
    return 0
  found = re.search(r'^VmHWM:\s*(\d+) kB$', status, re.MULTILINE)
  return int(found[1]) << 10 if found else 0
