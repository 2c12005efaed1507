"""Our sdist, built of what git would commit: what is installed elsewhere is never the clone."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def run(*command: str | pathlib.Path, cwd: pathlib.Path) -> str:
  """Runs a command that must succeed, and gives what it prints."""
  return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def build_sdist(scratch: pathlib.Path) -> pathlib.Path:
  """The archive, in a folder that is for this alone."""
  copy = scratch / 'tree'
  tracked = run('git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', cwd=ROOT).split('\0')
  for name in filter(None, tracked):
    if (ROOT / name).is_file():
      (copy / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copyfile(ROOT / name, copy / name)
  run(sys.executable, 'setup.py', '-q', 'sdist', '--dist-dir', str(scratch), cwd=copy)
  (archive,) = scratch.glob('radbeam-*.tar.gz')
  return archive
