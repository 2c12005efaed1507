"""Whole commands measured from outside: wall time, and peak memory of the process tree."""

import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
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
  try:
    own = int(pathlib.Path(f'/proc/{pid}/statm').read_text().split()[1]) * _PAGE_BYTES
    children = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
  except (FileNotFoundError, ProcessLookupError):
    return 0
  return own + sum(tree_bytes(int(child)) for child in children)
