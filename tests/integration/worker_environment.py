"""What the image of workers holds, without the image: `.venv-worker`, made from the lock, with our sdist installed.

A worker pool of it is started as in the image: by Beam's boot entry, with no module of the clone to be found.
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from tests.distribution import ROOT, build_sdist, run

WORKER = ROOT / '.venv-worker'
PYTHON = WORKER / 'bin/python'
BOOT = pathlib.Path(sys.executable).parent / 'beam-boot'

# As `boot --worker_pool` starts it, but on this machine alone: Beam's own listens on all interfaces.
_POOL = """
import sys, grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils import thread_pool_executor
server = grpc.server(thread_pool_executor.shared_unbounded_instance())
pool = BeamFnExternalWorkerPoolServicer(use_process=True, container_executable=sys.argv[2])
beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
assert server.add_insecure_port('127.0.0.1:' + sys.argv[1])
server.start()
print('ready', flush=True)
sys.stdin.read()
for worker in pool._worker_processes.values():
  worker.terminate()
"""


def install_sdist() -> None:
  """Puts our package, as it is now, beside the locked dependencies."""
  with tempfile.TemporaryDirectory() as scratch:
    archive = build_sdist(pathlib.Path(scratch))
    uv = (pathlib.Path(sys.executable).parent / 'uv', 'pip', 'install', '--quiet', '--offline', '--no-deps')
    run(*uv, '--no-build-isolation', '--reinstall', '--python', PYTHON, archive, cwd=pathlib.Path(scratch))


def environment(home: pathlib.Path) -> dict[str, str]:
  """The variables of the image, and no others of ours that lead to modules."""
  kept = {name: value for name, value in os.environ.items() if not name.startswith(('PYTHON', 'RADBEAM', 'VIRTUAL'))}
  folders = {'HOME': str(home), 'TMPDIR': str(home)}
  path = f'{WORKER / "bin"}{os.pathsep}{os.environ["PATH"]}'
  return kept | folders | {'PATH': path, 'RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT': '1', 'PIP_NO_INDEX': '1'}


@contextlib.contextmanager
def worker_pool(
  home: pathlib.Path, entry: pathlib.Path = BOOT, variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
  """A pool of workers that engines reach by the address given; it ends with the block.

  Args:
    home: where the workers are started, and write; not in the clone.
    entry: what the pool starts for each worker.
    variables: beyond those of the image.
  """
  with socket.create_server(('127.0.0.1', 0)) as found:
    port = found.getsockname()[1]
  boot = home / 'boot'
  boot.write_text(f'#!/bin/sh\nexec {entry} --semi_persist_dir={home} "$@"\n')  # else it stages to /tmp
  boot.chmod(0o755)
  with (home / 'pool.log').open('w') as log:
    process = subprocess.Popen(
      [PYTHON, '-c', _POOL, str(port), boot],
      env=environment(home) | dict(variables),
      cwd=home,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=log,
      text=True,
    )
  assert process.stdin
  assert process.stdout
  assert process.stdout.readline() == 'ready\n', (home / 'pool.log').read_text()
  try:
    yield f'localhost:{port}'
  finally:
    process.stdin.close()
    process.wait()


def environment_with(folder: pathlib.Path, radbeam: str | None) -> dict[str, str]:
  """Variables that lead to another environment: the same packages, but radbeam is missing, or says it is of a version.

  Args:
    folder: where the environment is made.
    radbeam: the version; None for an environment that it was never installed in.
  """
  run(PYTHON, '-m', 'venv', '--without-pip', folder, cwd=folder.parent)
  (there,), (here,) = (list((place / 'lib').glob('python*/site-packages')) for place in (folder, WORKER))
  for package in here.iterdir():
    if package.name not in ('pipelines', 'transforms', 'model') and not package.name.startswith('radbeam'):
      (there / package.name).symlink_to(package)
  if radbeam:
    for name in ('pipelines', 'transforms', 'model'):
      (there / name).symlink_to(here / name)
    (there / f'radbeam-{radbeam}.dist-info').mkdir()
    (there / f'radbeam-{radbeam}.dist-info/METADATA').write_text(
      f'Metadata-Version: 2.1\nName: radbeam\nVersion: {radbeam}\n'
    )
  return {'PATH': f'{folder / "bin"}{os.pathsep}{os.environ["PATH"]}'}
