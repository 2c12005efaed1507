"""Jobs in processes of their own, killed in the middle of their work."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

MAIN = 'from pipelines.cli import main; raise SystemExit(main())'
_PAUSE_S = 0.005  # the job needs the processor, and is to be seen before its last shard


def start(arguments: Sequence[str]) -> 'subprocess.Popen[bytes]':
  return subprocess.Popen([sys.executable, '-c', MAIN, *arguments], stderr=subprocess.DEVNULL, start_new_session=True)


def kill_once_a_shard_is_finished(process: 'subprocess.Popen[bytes]', staging: pathlib.Path) -> list[pathlib.Path]:
  """Kills a job that was started in a session of its own by SIGKILL as soon as a marker is there."""
  while not (markers := finished_shards(staging)):
    assert process.poll() is None, 'the job ended before a shard was seen'
    time.sleep(_PAUSE_S)
  os.killpg(process.pid, signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL
  return markers


def finished_shards(staging: pathlib.Path) -> list[pathlib.Path]:
  """Their markers, while the job is at work: a folder may go while it is listed, which is no error to `os.walk`."""
  walk = ((pathlib.Path(folder), names) for folder, _, names in os.walk(staging))
  markers = (folder / name for folder, names in walk for name in names if folder.name == 'finished')
  return [marker for marker in markers if marker.suffix == '.json']
