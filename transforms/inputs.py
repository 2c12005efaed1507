"""What `--input` names: files found, told apart by content, and named below the inputs.

Names below the inputs go into ids, so they must not depend on where the inputs
are mounted: an input is called by its last path component, and by more of its
path only where two inputs would be called the same.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from transforms import storage
from transforms.archives.members import STREAMED, Listing, Member, is_archive, printable
from transforms.archives.reading import list_members
from transforms.archives.zip_listing import carried_zip
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.file_names import kind_of
from transforms.listed_files import open_listed
from transforms.shards import Archive, ArchiveKind, Batch, cut_batches, version_number
from transforms.sniff import HEAD_BYTES, Kind, may_carry_zip
from transforms.storage import StoredFile


@dataclass(frozen=True, slots=True)
class Input:
  """One `--input`: where it is, as an absolute path or a URL, and what it is called in ids.

  Attributes:
    files: what was found there; None if that is still to be listed.
  """

  path: str
  name: str
  files: tuple[StoredFile, ...] | None = None


def name_inputs(paths: Sequence[str]) -> list[Input]:
  """Gives each input the shortest trailing part of its path that neither is nor begins the name of another."""
  paths = [os.path.abspath(path) if storage.is_local(path) else path for path in paths]
  parts = [tuple(part for part in _fixed_part(path).split('/') if part) or ('input',) for path in paths]
  lengths = [1] * len(parts)
  while True:
    names = ['/'.join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
    taken = Counter(beginning for name in names for beginning in _beginnings(name))
    # A file below one input must not be called like another input.
    clashes = [taken[name] > 1 or any(other in names for other in _beginnings(name)[:-1]) for name in names]
    longer = [i for i, clash in enumerate(clashes) if clash and lengths[i] < len(parts[i])]
    if not longer:
      return [Input(path, name) for path, name in zip(paths, names, strict=True)]
    for i in longer:
      lengths[i] += 1


def _beginnings(name: str) -> list[str]:
  parts = name.split('/')
  return ['/'.join(parts[:count]) for count in range(1, len(parts) + 1)]


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
  root = _root(given)
  loose: list[Member] = []
  for file in storage.list_files(given.path) if given.files is None else given.files:
    below = file.path.removeprefix(root).lstrip('/')
    kind = _kind(file, below or given.name, limits)
    if isinstance(kind, InputError):
      loose.append(replace(_loose(file, below), problem=kind.code))
    elif is_archive(kind):
      name = file_name(printable(given.name), printable(below) if below else '')
      yield from _list_archive(Archive(name, file.path, 'stream', file.size_bytes, file.fingerprint), kind, limits)
    else:
      loose.append(_loose(file, below))
  yield from cut_batches(Archive(printable(given.name), root, 'folder'), loose)


def _root(given: Input) -> str:
  return _fixed_part(given.path).rstrip('/')


def names_of(given: Input, files: Iterable[StoredFile]) -> Iterator[str]:
  """What each file of an input is called in ids; the same as `file_name` of the archive and member of its sources."""
  root = _root(given)
  for file in files:
    below = file.path.removeprefix(root).lstrip('/')
    yield file_name(printable(given.name), printable(below) if below else '')


def file_name(folder: str, member: str) -> str:
  """A file below an input by the input's name, and its own below that; '' where the input is that file."""
  return f'{folder}/{member}' if member else folder


def _kind(file: StoredFile, name: str, limits: Limits) -> Kind | InputError:
  """What a file is, or why that cannot be told: read later, as what it is by then, it would have other ids."""
  if not file.regular:
    return Kind.UNKNOWN
  try:
    with open_listed(file.path, file.size_bytes, version_number(file.fingerprint)) as opened:
      head = opened.read(HEAD_BYTES)
      kind = kind_of(head, name)
      return Kind.ZIP if may_carry_zip(kind, head) and carried_zip(opened, limits) else kind
  except InputError as error:
    return error


def _loose(file: StoredFile, below: str) -> Member:
  version = version_number(file.fingerprint)  # a changed file makes another shard
  problem = '' if file.regular else file.problem or 'link'
  return Member(below, 0, 0, version, file.size_bytes, problem=problem)


def _list_archive(archive: Archive, kind: Kind, limits: Limits) -> Iterator[Batch]:
  if kind in STREAMED:
    yield Batch(archive)
    return
  listing = _list_file(archive, kind, limits)
  as_kind: ArchiveKind = 'zip' if kind == Kind.ZIP else 'tar'
  yield from cut_batches(replace(archive, kind=as_kind), listing.members)
  if listing.problem:
    yield Batch(replace(archive, kind='broken', problem=(listing.problem.code, listing.problem.detail)))


def _list_file(archive: Archive, kind: Kind, limits: Limits) -> Listing:
  try:
    with open_listed(archive.path, archive.size_bytes, version_number(archive.fingerprint)) as file:
      return list_members(file, kind, limits)
  except InputError as error:  # of the file, and not of what is in it: that stands in the listing
    return Listing([], error)
