"""From a batch of references to decoded frames: open, read, look inside archives, decode.

Pure apart from the files that it is handed; `read_beam` supplies the files and the threads.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from transforms.archives.allowance import member_allowance, stream_allowance
from transforms.archives.inflaters import PIECE_BYTES
from transforms.archives.members import printable
from transforms.archives.opening import Content, Opened, Walk
from transforms.archives.readers import Reader, file_pieces
from transforms.archives.reading import member_pieces
from transforms.byte_budget import bytes_in_flight
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame, HeaderFacts, Limits, Source
from transforms.errors import InputError
from transforms.file_names import kind_of
from transforms.shards import Batch, version_number
from transforms.sniff import HEAD_BYTES

Opener = Callable[[str, int, int], AbstractContextManager[BinaryIO]]  # path, size and version as listed


class Decode(Protocol):
  """`transforms.decode.decode_source`, or what does the same elsewhere."""

  def __call__(self, data: bytes, options: DecodeOptions, *, keep_original: bool = False) -> Iterable[Frame]:
    """The frames of a source."""
    ...


Task = Callable[[], 'ReadBatch']

_STREAM_BATCH_BYTES: Final = 32 << 20
_STREAM_BATCH_MEMBERS: Final = 32
_PART_SOURCES: Final = 128  # more than a batch has, unless there are archives in it
_PART_BYTES: Final = 16 << 20


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
    rest: what is left to be read of the batch: archives inside it may hold
      far more than can be in memory at a time.
  """

  sources: tuple[ReadSource, ...]
  listed: int
  rest: Task | None = None


@dataclass(frozen=True, slots=True)
class _Work:
  """What is to be read, and how."""

  batch: Batch
  opener: Opener
  options: DecodeOptions
  decode: Decode

  @property
  def limits(self) -> Limits:
    return self.options.limits

  def walk(self) -> Walk:
    """A pass through the sources."""
    return Walk(self.limits, bytes_in_flight(), stream_allowance(self.limits))


def read_tasks(
  batch: Batch, opener: Opener, options: DecodeOptions, originals: int = 0, decode: Decode = decode_source
) -> Iterator[Task]:
  """Cuts the work on a batch into tasks for a pool of threads, in order.

  A range is one task that reads and decodes, and leaves a rest where there is
  more than expected. A stream is read here, by the
  caller's thread, and only decoded in the tasks; its content in memory is
  bounded by the tasks that the caller keeps, and for large members by the
  budget of the process: each task must be on its way before the next is asked for.

  Args:
    batch: what to read.
    opener: opens a file that was listed for ranged reading; it, reading and seeking raise `InputError` only.
    options: how to decode.
    originals: keep the picture before preprocessing of so many of the first sources.
    decode: how a source becomes frames.
  """
  work = _Work(batch, opener, options, decode)
  if batch.archive.kind == 'stream':
    yield from _stream_tasks(work, originals)
  else:
    yield lambda: _Range(work, originals).read()


def read_contents(batch: Batch, opener: Opener, limits: Limits) -> Iterator[Content]:
  """The sources of a batch with their bytes, archives inside it opened, none decoded; drop each before the next."""
  work = _Work(batch, opener, DecodeOptions(limits=limits), decode_source)
  is_stream = batch.archive.kind == 'stream'
  contents = _read_stream(work, work.walk()) if is_stream else _contents(work, work.walk())
  return (content for content in contents if content)


def run(task: Task) -> Iterator[ReadBatch]:
  """Runs a task and what it leaves, in this thread."""
  rest: Task | None = task
  while rest:
    result = rest()
    rest = result.rest
    yield result


class _Range:
  """A batch of references, read part by part."""

  def __init__(self, work: _Work, originals: int) -> None:
    self._walk = work.walk()
    self._walk.listed = len(work.batch.members) or 1  # a broken archive has no members, and one row
    self._contents = (content for content in _contents(work, self._walk) if content)
    self._work = work
    self._originals = originals

  def read(self) -> ReadBatch:
    """The next part, as much as may be held at a time."""
    sources: list[ReadSource] = []
    held = 0
    for content in self._contents:
      source = _decode(content, self._work, keep_original=self._originals > 0)
      self._originals -= 1
      sources.append(source)
      held += sum(frame.pixels.nbytes for frame in source.frames if frame.pixels is not None)
      if len(sources) >= _PART_SOURCES or held >= _PART_BYTES:
        return self._part(sources, self.read)
    return self._part(sources, None)

  def _part(self, sources: list[ReadSource], rest: Task | None) -> ReadBatch:
    listed, self._walk.listed = self._walk.listed, 0
    return ReadBatch(tuple(sources), listed, rest)


def _contents(work: _Work, walk: Walk) -> Iterator[Content | None]:
  archive = work.batch.archive
  if archive.kind == 'broken':
    return iter([Content(Source(archive.name, ''), InputError(*archive.problem))])
  return _read_files(work, walk) if archive.kind == 'folder' else _read_members(work, walk)


def _read_files(work: _Work, walk: Walk) -> Iterator[Content | None]:
  archive = work.batch.archive
  for member in work.batch.members:
    source = Source(archive.name, printable(member.name) if member.name else '')
    path = f'{archive.path}/{member.name}' if member.name else archive.path
    try:
      if member.problem:
        raise InputError(member.problem)
      opened = work.opener(path, member.size_bytes, member.packed_bytes)  # as `inputs` lists loose files
    except InputError as error:
      yield Content(source, error)
      continue
    with opened as file:
      walk.allowance = member_allowance(member.size_bytes, member.size_bytes, work.limits)
      pieces = file_pieces(file, sys.maxsize, min(PIECE_BYTES, member.size_bytes + 1))
      yield from walk.open(Opened(source, Reader(pieces), member.name or archive.name, member.size_bytes, 1))


def _read_members(work: _Work, walk: Walk) -> Iterator[Content | None]:
  archive = work.batch.archive
  sources = [Source(archive.name, member.name, member.occurrence) for member in work.batch.members]
  try:
    opened = _open_archive(work)
  except InputError as error:
    yield from (Content(source, error) for source in sources)
    return
  with opened as file:
    for source, member in zip(sources, work.batch.members, strict=True):
      walk.allowance = member_allowance(member.packed_bytes, archive.size_bytes, work.limits)
      reader = Reader(member_pieces(file, member, work.limits))
      yield from walk.open(Opened(source, reader, member.name, member.size_bytes, 1))


def _open_archive(work: _Work) -> AbstractContextManager[BinaryIO]:
  archive = work.batch.archive
  return work.opener(archive.path, archive.size_bytes, version_number(archive.fingerprint))


def _read_stream(work: _Work, walk: Walk) -> Iterator[Content | None]:
  archive = work.batch.archive
  source = Source(archive.name, '')
  walk.listed += 1
  try:
    opened = _open_archive(work)
  except InputError as error:
    yield Content(source, error)
    return
  with opened as file:
    reader = Reader(file_pieces(file, sys.maxsize))
    kind = kind_of(reader.peek(HEAD_BYTES), archive.name)
    yield from walk.stream(Opened(source, reader, archive.name, archive.size_bytes, 0), kind)


def _stream_tasks(work: _Work, originals: int) -> Iterator[Task]:
  walk = work.walk()
  pending: list[Content] = []
  held = 0
  for content in _read_stream(work, walk):
    if content:
      pending.append(content)
      held += content.held_bytes
    is_full = held >= _STREAM_BATCH_BYTES or len(pending) >= _STREAM_BATCH_MEMBERS
    if is_full or (pending and content is None):
      yield _decode_later(pending, walk, work, originals)
      pending, held, originals = [], 0, 0
  yield _decode_later(pending, walk, work, originals)


def _decode_later(contents: list[Content], walk: Walk, work: _Work, originals: int) -> Task:
  """A task over what was read so far; the sources listed since the last task are its own."""
  listed, walk.listed = walk.listed, 0
  return lambda: ReadBatch(_decode_all(contents, work, originals), listed)


def _decode_all(contents: Iterable[Content], work: _Work, originals: int) -> tuple[ReadSource, ...]:
  return tuple(_decode(content, work, keep_original=position < originals) for position, content in enumerate(contents))


def _decode(content: Content, work: _Work, keep_original: bool) -> ReadSource:
  try:
    if isinstance(content.data, InputError):
      return ReadSource(content.source, None, (Frame(None, HeaderFacts(), error=content.data),))
    digest = hashlib.sha256(content.data).hexdigest()
    frames = tuple(work.decode(content.data, work.options, keep_original=keep_original))
    return ReadSource(content.source, digest, frames)
  finally:
    content.drop()
