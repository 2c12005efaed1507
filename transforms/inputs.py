"""What `--input` names: files found, told apart by content, and named below the inputs.

Names below the inputs go into ids, so they must not depend on where the inputs
are mounted: an input is called by its last path component, and by more of its
path only where two inputs would be called the same.
"""

import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transforms import archives, storage
from transforms.archives import Member
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.shards import Archive, ArchiveKind, Batch, cut_batches
from transforms.sniff import HEAD_BYTES, Kind, sniff
from transforms.storage import StoredFile


@dataclass(frozen=True, slots=True)
class Input:
  """One `--input`: where it is, as an absolute path or a URL, and what it is called in ids."""

  path: str
  name: str


def name_inputs(paths: Sequence[str]) -> list[Input]:
  """Gives each input the shortest trailing part of its path that no other has."""
  paths = [os.path.abspath(path) if storage.is_local(path) else path for path in paths]
  parts = [tuple(part for part in _fixed_part(path).split('/') if part) or ('input',) for path in paths]
  lengths = [1] * len(parts)
  while True:
    names = ['/'.join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
    counts = Counter(names)
    longer = [i for i, name in enumerate(names) if counts[name] > 1 and lengths[i] < len(parts[i])]
    if not longer:
      return [Input(path, name) for path, name in zip(paths, names, strict=True)]
    for i in longer:
      lengths[i] += 1


def _fixed_part(path: str) -> str:
  """A path up to its first wildcard: globs are named by the folder that they start in."""
  if storage.is_local(path) and os.path.exists(path):
    return path
  fixed: list[str] = []
  for part in path.split('/'):
    if any(wildcard in part for wildcard in '*?['):
      break
    fixed.append(part)
  return '/'.join(fixed)


def list_input(given: Input, limits: Limits) -> Iterator[Batch]:
  """Lists one input: stretches of references of each archive, and of the loose files beside them."""
  root = _fixed_part(given.path).rstrip('/')
  loose: list[Member] = []
  for file in storage.list_files(given.path):
    below = file.path.removeprefix(root).lstrip('/')
    kind = _kind(file)
    if archives.is_archive(kind):
      name = archives.printable(f'{given.name}/{below}' if below else given.name)
      yield from _list_archive(name, file, kind, limits)
    else:
      loose.append(_loose(file, below))
  yield from cut_batches(Archive(archives.printable(given.name), root, 'folder'), loose)


def _kind(file: StoredFile) -> Kind:
  if not file.regular:
    return Kind.UNKNOWN
  try:
    with storage.open_read(file.path) as opened:
      return sniff(opened.read(HEAD_BYTES))
  except (FileNotFoundError, PermissionError):  # its row says so once it is to be read
    return Kind.UNKNOWN


def _loose(file: StoredFile, below: str) -> Member:
  version = zlib.crc32(file.fingerprint.encode())  # a changed file makes another shard
  return Member(below, 0, 0, version, file.size_bytes, problem='' if file.regular else 'link')


def _list_archive(name: str, file: StoredFile, kind: Kind, limits: Limits) -> Iterator[Batch]:
  def archive(as_kind: ArchiveKind, problem: tuple[str, str] = ('', '')) -> Archive:
    return Archive(name, file.path, as_kind, file.size_bytes, file.fingerprint, problem)

  if kind in archives.STREAMED:
    yield from cut_batches(archive('stream'), ())
    return
  try:
    with storage.open_read(file.path) as opened:
      members = archives.list_members(opened, kind, limits)
    if not members:
      raise InputError('archive-empty')
  except InputError as error:
    yield from cut_batches(archive('broken', (error.code, error.detail)), ())
    return
  yield from cut_batches(archive('zip' if kind == Kind.ZIP else 'tar'), members)
