"""From a batch of references to decoded frames: open, read, look inside archives, decode.

Pure apart from the file that it is handed; `read_beam` supplies the file and the threads.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Final

from transforms import archives
from transforms.archives import Member
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame, HeaderFacts, Source
from transforms.errors import InputError
from transforms.shards import Archive, Batch
from transforms.sniff import HEAD_BYTES, Kind, sniff

Opener = Callable[[str], AbstractContextManager[BinaryIO]]
Task = Callable[[], 'ReadBatch']

_STREAM_BATCH_BYTES: Final = 32 << 20
_STREAM_BATCH_MEMBERS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class ReadSource:
  """A source and all that came of it: one frame at least."""

  source: Source
  content_sha256: str | None
  frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ReadBatch:
  """What was read of a batch.

  Attributes:
    listed: sources according to the listings: of the batch, and of archives
      inside it that were opened; counted apart from `sources`.
  """

  sources: tuple[ReadSource, ...]
  listed: int


@dataclass(frozen=True, slots=True)
class _Content:
  """The bytes of a source, or why there are none."""

  source: Source
  data: bytes | InputError


@dataclass(slots=True)
class _Walk:
  """One pass through a batch: how to read, and how many sources the listings promise."""

  opener: Opener
  options: DecodeOptions
  listed: int = 0


def read_tasks(batch: Batch, opener: Opener, options: DecodeOptions, originals: int = 0) -> Iterator[Task]:
  """Cuts the work on a batch into tasks for a pool of threads, in order.

  A range is one task that reads and decodes. A stream is read here, by the
  caller's thread, and only decoded in the tasks; its content in memory is
  bounded by the tasks that the caller keeps.

  Args:
    batch: what to read.
    opener: opens an archive's path for ranged reading.
    options: how to decode.
    originals: keep the picture before preprocessing of so many of the first sources.
  """
  archive = batch.archive
  walk = _Walk(opener, options)
  if archive.kind == 'stream':
    yield from _stream_tasks(archive, walk, originals)
  else:
    yield lambda: _decode_all(_read_range(batch, walk), walk, originals)


def _read_range(batch: Batch, walk: _Walk) -> Iterator[_Content]:
  archive = batch.archive
  walk.listed += len(batch.members) or 1  # a broken archive has no members, and one row
  if archive.kind == 'broken':
    yield _Content(Source(archive.name, ''), InputError(*archive.problem))
  elif archive.kind == 'folder':
    for member in batch.members:
      source = Source(archive.name, archives.printable(member.name))
      yield from _open_nested(source, _read_file(archive, member, walk), walk)
  else:
    for member, data in _read_archive(batch, walk):
      yield from _open_nested(Source(archive.name, member.name, member.occurrence), data, walk)


def _read_archive(batch: Batch, walk: _Walk) -> Iterator[tuple[Member, bytes | InputError]]:
  try:
    opened = walk.opener(batch.archive.path)
  except (FileNotFoundError, PermissionError) as error:
    yield from ((member, _not_opened(error)) for member in batch.members)
    return
  with opened as file:
    yield from _read_members(file, batch.members, walk.options)


def _not_opened(error: OSError) -> InputError:
  is_gone = isinstance(error, FileNotFoundError)
  return InputError('read-failed', 'the file was there when it was listed' if is_gone else 'not allowed to read it')


def _read_file(archive: Archive, member: Member, walk: _Walk) -> bytes | InputError:
  limit = walk.options.limits.max_member_bytes
  if member.problem:
    return InputError(member.problem)
  if member.size_bytes > limit:
    return InputError('too-large', f'{member.size_bytes} bytes, at most {limit} are read')
  try:
    with walk.opener(f'{archive.path}/{member.name}' if member.name else archive.path) as file:
      return file.read()
  except (FileNotFoundError, PermissionError) as error:
    return _not_opened(error)


def _read_members(
  file: BinaryIO, members: Iterable[Member], options: DecodeOptions
) -> Iterator[tuple[Member, bytes | InputError]]:
  for member in members:
    try:
      yield member, archives.read_member(file, member, options.limits)
    except InputError as error:
      yield member, error


def _open_nested(source: Source, data: bytes | InputError, walk: _Walk, depth: int = 1) -> Iterator[_Content]:
  """A source itself or, where it is an archive, its members instead."""
  kind = Kind.UNKNOWN if isinstance(data, InputError) else sniff(data[:HEAD_BYTES])
  if isinstance(data, InputError) or not archives.is_archive(kind):
    yield _Content(source, data)
  elif depth > walk.options.limits.max_nesting:
    yield _Content(source, InputError('archive-nesting', f'deeper than {walk.options.limits.max_nesting}'))
  else:
    walk.listed -= 1
    yield from _replace(source, _list_nested(io.BytesIO(data), kind, walk), walk, depth)


def _replace(
  outer: Source, members: Iterator[tuple[Member, bytes | InputError]], walk: _Walk, depth: int
) -> Iterator[_Content]:
  """The members of an archive in its place; it keeps a row of its own where it breaks off or is empty."""
  problem: InputError | None = InputError('archive-empty')
  try:
    for member, data in members:
      problem = None
      yield from _open_nested(_inner(outer, member), data, walk, depth + 1)
  except InputError as error:
    problem = error
  if problem:
    walk.listed += 1
    yield _Content(outer, problem)


def _inner(outer: Source, member: Member) -> Source:
  name = archives.NESTED.join(part for part in (outer.member, member.name) if part)
  return Source(outer.archive, name, (outer.occurrence << 32) + member.occurrence)


def _list_nested(file: BinaryIO, kind: Kind, walk: _Walk) -> Iterator[tuple[Member, bytes | InputError]]:
  if kind in archives.STREAMED:
    yield from _count(archives.stream_members(file, kind, walk.options.limits), walk)
    return
  members = archives.list_members(file, kind, walk.options.limits)
  walk.listed += len(members)
  yield from _read_members(file, members, walk.options)


def _count(
  stream: Iterator[tuple[Member, bytes | InputError]], walk: _Walk
) -> Iterator[tuple[Member, bytes | InputError]]:
  for member, data in stream:
    walk.listed += 1
    yield member, data


def _read_stream(archive: Archive, walk: _Walk) -> Iterator[_Content]:
  outer = Source(archive.name, '')
  try:
    opened = walk.opener(archive.path)
  except (FileNotFoundError, PermissionError) as error:
    walk.listed += 1
    yield _Content(outer, _not_opened(error))
    return
  with opened as file:
    kind = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    yield from _replace(outer, _list_nested(file, kind, walk), walk, 1)


def _stream_tasks(archive: Archive, walk: _Walk, originals: int) -> Iterator[Task]:
  pending: list[_Content] = []
  held = 0
  for content in _read_stream(archive, walk):
    pending.append(content)
    held += len(content.data) if isinstance(content.data, bytes) else 0
    if held >= _STREAM_BATCH_BYTES or len(pending) >= _STREAM_BATCH_MEMBERS:
      yield _decode_later(pending, walk, originals)
      pending, held, originals = [], 0, 0
  yield _decode_later(pending, walk, originals)


def _decode_later(contents: list[_Content], walk: _Walk, originals: int) -> Task:
  """A task over what was read so far; the sources listed since the last task are its own."""
  listed = _Walk(walk.opener, walk.options, walk.listed)
  walk.listed = 0
  return lambda: _decode_all(iter(contents), listed, originals)


def _decode_all(contents: Iterator[_Content], walk: _Walk, originals: int) -> ReadBatch:
  sources = tuple(
    _decode(content, walk.options, keep_original=position < originals) for position, content in enumerate(contents)
  )
  return ReadBatch(sources, walk.listed)


def _decode(content: _Content, options: DecodeOptions, keep_original: bool) -> ReadSource:
  if isinstance(content.data, InputError):
    return ReadSource(content.source, None, (Frame(None, HeaderFacts(), error=content.data),))
  digest = hashlib.sha256(content.data).hexdigest()
  return ReadSource(content.source, digest, tuple(decode_source(content.data, options, keep_original=keep_original)))
