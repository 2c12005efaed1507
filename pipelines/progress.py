"""How far a run has come, for a person at a terminal: finished shards, counted by their markers.

It looks at the staging folder alone, so it is the same whichever engine works.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from pipelines.log_output import is_json_on_stderr
from pipelines.staging import marker_folder
from transforms import storage

_INTERVAL_S = 1.0


@contextmanager
def shard_progress(staging: str, quiet: bool, stream: TextIO | None = None) -> Iterator[None]:
  """Shows the number of finished shards while the block runs; silent where nobody watches."""
  stream = stream or sys.stderr
  if quiet or is_json_on_stderr() or not stream.isatty():
    yield
    return
  done = threading.Event()
  watcher = threading.Thread(target=_watch, args=(staging, done, stream), daemon=True)
  watcher.start()
  try:
    yield
  finally:
    done.set()
    watcher.join()


def _watch(staging: str, done: threading.Event, stream: TextIO) -> None:
  shown = ''
  while not done.wait(_INTERVAL_S):
    finished = sum(1 for _ in storage.list_files(marker_folder(staging)))
    shown = f'\rfinished shards: {finished}'
    stream.write(shown)
    stream.flush()
  stream.write('\r' + ' ' * len(shown) + '\r')
  stream.flush()
