"""Pseudonyms: domain-separated HMAC-SHA256 (RFC 2104) under the site's key.

The key is a file: it is never an argument, and never part of a pipeline.
"""

import hashlib
import hmac
import os
import pathlib
import secrets
import stat
from dataclasses import dataclass
from typing import Literal

from transforms.elements import HeaderFacts, Source

KEY_BYTES = 32
_ID_HEX_DIGITS = 32  # 128 bits: no collision to be expected below 10^18 images
_SEPARATOR = '\x1f'

Domain = Literal['image', 'study', 'series', 'patient', 'source', 'archive', 'scanner', 'key']


class KeyFileError(ValueError):
  """The pseudonym key cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True, repr=False)
class Pseudonyms:
  """Makes the ids that may leave the process."""

  key: bytes

  @property
  def fingerprint(self) -> str:
    """Tells keys apart without giving anything away about them."""
    return self._digest('key', 'fingerprint')[:16]

  def source(self, source: Source) -> str:
    """The `source_id`: from archive, member and occurrence."""
    return self._digest('source', source.archive, source.member, str(source.occurrence))

  def archive(self, name: str) -> str:
    """The id under which an input appears in run records."""
    return self._digest('archive', name)

  def image(self, facts: HeaderFacts, frame: int | None, content_sha256: str | None) -> str | None:
    """The `image_id`: from SOP Instance UID and frame, for other images from the content; None without either.

    Where other images of a run have the same, `transforms.uid_clashes` makes another of it.
    """
    identity = facts.sop_instance_uid or content_sha256
    return self._digest('image', identity, str(frame)) if identity and frame is not None else None

  def optional(self, domain: Literal['study', 'series', 'patient'], value: str | None) -> str | None:
    """The id of a study, series or patient; None where it is unknown."""
    return self._digest(domain, value) if value else None

  def scanner(self, facts: HeaderFacts) -> str | None:
    """The `scanner_id`: from what tells the scanner from others; None where the header does not say."""
    return self._digest('scanner', *facts.scanner) if facts.scanner else None

  def _digest(self, domain: Domain, *parts: str) -> str:
    message = _SEPARATOR.join((domain, *(f'{len(part)}:{part}' for part in parts)))
    return hmac.new(self.key, message.encode('utf-8', 'backslashreplace'), hashlib.sha256).hexdigest()[:_ID_HEX_DIGITS]


def read_key(path: str) -> bytes:
  """Reads the site key.

  Raises:
    KeyFileError: if it is missing, too short, plainly not random, or readable by others.
  """
  file = pathlib.Path(path)
  try:
    mode = file.stat().st_mode
    key = file.read_bytes()
  except OSError as error:
    raise KeyFileError(f'the pseudonym key file cannot be read ({error.strerror}): {path}') from error
  if mode & (stat.S_IRWXG | stat.S_IRWXO):
    raise KeyFileError(f'others may read the pseudonym key file {path}; run: chmod 600 {path}')
  return checked_key(key, path)


def checked_key(key: bytes, path: str) -> bytes:
  """The content of a key file, if it can be a key.

  Raises:
    KeyFileError: if it is too short, or plainly not random.
  """
  if len(key) < KEY_BYTES or len(set(key)) < KEY_BYTES // 3:
    raise KeyFileError(
      f'the pseudonym key file {path} holds {len(key)} bytes, {len(set(key))} of them distinct; '
      f'at least {KEY_BYTES} random bytes are needed, such as: head -c {KEY_BYTES} /dev/urandom'
    )
  return key


def create_key(path: str) -> None:
  """Writes a new random key that only its owner can read; an existing file is left alone."""
  file = pathlib.Path(path)
  file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
  try:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
  except FileExistsError:
    return
  with os.fdopen(descriptor, 'wb') as target:
    target.write(secrets.token_bytes(KEY_BYTES))
