"""Where the site's pseudonym key is: given, or made on first use on a laptop."""

import logging
import os
import pathlib

from transforms.identifiers import create_key

_LOG = logging.getLogger('radbeam.keys')


def key_path(given: str | None) -> str:
  """The key file to use; without `--pseudonym_key_file`, one under the user's configuration folder.

  Only the path is passed on: workers read the key themselves.
  """
  if given:
    return str(pathlib.Path(given).absolute())
  path = _default_path()
  if not path.exists():
    create_key(str(path))
    _LOG.warning('made a new pseudonym key: %s; keep it, or all ids change (a site names its own key file)', path)
  return str(path)


def key_path_if_any(given: str | None) -> str | None:
  """As `key_path`, but none is made: what only looks leaves nothing behind."""
  path = _default_path()
  return key_path(given) if given or path.exists() else None


def _default_path() -> pathlib.Path:
  base = os.environ.get('XDG_CONFIG_HOME') or pathlib.Path.home() / '.config'
  return pathlib.Path(base, 'radbeam', 'pseudonym.key')
