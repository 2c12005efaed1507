"""Prism, Beam's portable runner, as a server on this machine: jobs leave the process that makes them."""

import contextlib
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

PRISM = pathlib.Path(sys.executable).parent / 'prism'
_SECONDS_TO_START = 60


@contextlib.contextmanager
def prism(home: pathlib.Path) -> Iterator[str]:
  """A job service at the address given; it ends with the block.

  Args:
    home: where it stages what jobs bring, and logs.
  """
  with socket.create_server(('127.0.0.1', 0)) as found:
    port = found.getsockname()[1]
  with (home / 'prism.log').open('w') as log:
    process = subprocess.Popen(
      [PRISM, f'-job_port={port}', '-serve_http=false'],
      cwd=home,
      env={'HOME': str(home), 'TMPDIR': str(home), 'PATH': '/usr/bin:/bin'},
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=log,
    )
  try:
    _wait_for(port, process, home)
    yield f'localhost:{port}'
  finally:
    process.terminate()
    process.wait()


def _wait_for(port: int, process: 'subprocess.Popen[bytes]', home: pathlib.Path) -> None:
  end = time.monotonic() + _SECONDS_TO_START
  while time.monotonic() < end and process.poll() is None:
    with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), timeout=1):
      return
    time.sleep(0.1)
  raise AssertionError(f'Prism takes no jobs after {_SECONDS_TO_START} s: {(home / "prism.log").read_text()}')
