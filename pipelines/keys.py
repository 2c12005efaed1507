"""Where the site's pseudonym key is: given, or made on first use on a laptop.

Where workers have no disk of yours the key is an object of a bucket that only
their service account can read. Its path is part of a pipeline, never its bytes.
"""

import logging
import os
import pathlib

from transforms import storage
from transforms.identifiers import KeyFileError, checked_key, create_key, read_key

_LOG = logging.getLogger('radbeam.keys')


def key_path(given: str | None) -> str:
  """The key file to use; without `--pseudonym_key_file`, one under the user's configuration folder.

  Only the path is passed on: workers read the key themselves.
  """
  if given:
    return str(pathlib.Path(given).absolute()) if storage.is_local(given) else given
  path = _default_path()
  if not path.exists():
    create_key(str(path))
    _LOG.warning('made a new pseudonym key: %s; keep it, or all ids change (a site names its own key file)', path)
  return str(path)


def read_site_key(path: str) -> bytes:
  """Reads the key from a file of this machine, or from an object store.

  Raises:
    KeyFileError: if there is none, it is no key, or it is a file that others can read. Who can read an object is
      decided by its bucket, and cannot be seen from here.
  """
  if storage.is_local(path):
    return read_key(path)
  try:
    return checked_key(storage.read_bytes(path), path)
  except OSError as error:
    raise KeyFileError(
      f'the pseudonym key cannot be read ({error.strerror or type(error).__name__}): {path}'
    ) from error


def key_path_if_any(given: str | None) -> str | None:
  """As `key_path`, but none is made: what only looks leaves nothing behind."""
  path = _default_path()
  return key_path(given) if given or path.exists() else None


def _default_path() -> pathlib.Path:
  base = os.environ.get('XDG_CONFIG_HOME') or pathlib.Path.home() / '.config'
  return pathlib.Path(base, 'radbeam', 'pseudonym.key')
