"""What a worker says of itself. The text of this file is sent to it and run there, where radbeam may be missing.

So nothing of ours is imported, and nothing that is not in every Python 3.
"""

import importlib.util
import os
import platform
from importlib import metadata
from typing import Any

_PACKAGES = ('pipelines', 'transforms', 'model')
# What the container may take, of either generation of control groups; a number where there is a limit.
_LIMITS = ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes')


def worker_facts() -> dict[str, Any]:
  """Versions (None: not installed), bytes of memory of its machine or container, and cores that it may use."""
  is_there = all(importlib.util.find_spec(name) for name in _PACKAGES)
  return {
    'python': '.'.join(platform.python_version_tuple()[:2]),
    'beam': _version('apache-beam'),
    'radbeam': (_version('radbeam') or 'not installed') if is_there else None,
    'memory_bytes': min([_machine_bytes(), *map(_limit_bytes, _LIMITS)]),
    'cores': len(os.sched_getaffinity(0)),
  }


def _version(package: str) -> str | None:
  try:
    return metadata.version(package)
  except metadata.PackageNotFoundError:
    return None


def _machine_bytes() -> int:
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def _limit_bytes(path: str) -> int:
  try:
    with open(path, encoding='ascii') as file:
      text = file.read().strip()
  except OSError:
    text = 'max'
  return int(text) if text.isdecimal() else _machine_bytes()
