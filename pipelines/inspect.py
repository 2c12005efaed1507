"""`radbeam inspect`: one file as the pipeline sees it, for a person: facts, steps of the pixel chain, picture.

It runs the functions that the jobs run, and loads neither Beam nor
TensorFlow for a local file. What it prints identifies nobody unless --names
is given; the picture shows what is in the pixels.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.exits import Exit, UsageError
from pipelines.inspect_report import (
  Inspected,
  Sighting,
  side_by_side,
  source_lines,
  table_footer,
  table_header,
  table_line,
)
from pipelines.keys import key_path_if_any
from pipelines.launch import decode_options, found_inputs
from pipelines.options import InspectOptions
from transforms import storage
from transforms.archives.members import is_archive
from transforms.archives.opening import Content
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame, HeaderFacts
from transforms.errors import InputError
from transforms.file_names import kind_of
from transforms.identifiers import Pseudonyms, read_key
from transforms.inputs import Input, list_input
from transforms.listed_files import open_listed
from transforms.preprocess import PreprocessSpec
from transforms.raster import encode_png
from transforms.read import read_contents
from transforms.rows import columns_of, image_row
from transforms.sniff import HEAD_BYTES
from transforms.trace import recorded_steps

_IDS: Final = ('image_id', 'source_id', 'study_id', 'series_id', 'patient_id', 'scanner_id')
_NO_KEY: Final = bytes(32)  # only for ids that are not shown


@dataclass(frozen=True, slots=True)
class _Inspector:
  """How sources are looked at."""

  options: InspectOptions
  decode: DecodeOptions
  pseudonyms: Pseudonyms | None

  def inspect(self, number: int, content: Content, *, keep_original: bool = False) -> Inspected:
    """Decodes a source as the jobs do, and remembers the steps of each frame."""
    data = content.data if isinstance(content.data, bytes) else None
    return Inspected(
      number=number,
      name=content.source.member or content.source.archive,
      kind=None if data is None else kind_of(data[:HEAD_BYTES], content.source.member),
      size_bytes=None if data is None else len(data),
      sightings=tuple(self._sightings(content, keep_original)),
    )

  def _sightings(self, content: Content, keep_original: bool) -> Iterator[Sighting]:
    if isinstance(content.data, InputError):
      yield self._sighting(content, None, Frame(None, HeaderFacts(), error=content.data), ())
      return
    digest = hashlib.sha256(content.data).hexdigest()
    frames = decode_source(content.data, self.decode, keep_original=keep_original)
    while True:
      with recorded_steps() as steps:
        frame = next(frames, None)
      if frame is None:
        return
      yield self._sighting(content, digest, frame, tuple(steps))

  def _sighting(self, content: Content, digest: str | None, frame: Frame, steps: tuple[str, ...]) -> Sighting:
    row = columns_of(image_row(content.source, digest, frame, self.pseudonyms or Pseudonyms(_NO_KEY)))
    shown = {name: value for name, value in row.items() if self.pseudonyms or name not in _IDS}
    return Sighting(frame, shown, steps)

  def is_wanted(self, number: int, content: Content) -> bool:
    """Whether --member speaks of a source."""
    wanted = self.options.member
    if wanted is None or wanted == str(number):
      return wanted is not None
    names = {content.source.member, f'{content.source.archive}/{content.source.member}'}
    return wanted in names or (self.pseudonyms is not None and wanted == self.pseudonyms.source(content.source))


def run(options: InspectOptions, beam_args: Sequence[str]) -> Exit:
  """Runs the job.

  Raises:
    UsageError: if there is no such path, member or frame, or the picture is there already.
  """
  if options.output and storage.exists(options.output) and not options.overwrite:
    raise UsageError(f'{options.output} exists already; give another --output, or --overwrite to replace it')
  inputs = found_inputs([options.path], 'PATH')
  key = key_path_if_any(options.pseudonym_key_file)
  spec = PreprocessSpec(options.image_size, options.resize, options.channels)
  inspector = _Inspector(options, decode_options(options, spec), Pseudonyms(read_key(key)) if key else None)
  if options.member is not None or _is_one_file(inputs[0]):
    _show_one(inspector, inputs[0])
  elif options.output or options.frame:
    raise UsageError('--output and --frame are of one image; name it with --member, by its number in the list')
  else:
    _show_all(inspector, inputs[0])
  return Exit.DONE


def _is_one_file(given: Input) -> bool:
  """Whether there is nothing to choose from."""
  files = list(storage.list_files(given.path))
  if len(files) != 1 or files[0].path != given.path or not files[0].regular:
    return False
  with storage.open_read(given.path) as file:
    return not is_archive(kind_of(file.read(HEAD_BYTES), given.path))


def _contents(inspector: _Inspector, given: Input) -> Iterator[tuple[int, Content]]:
  """All sources, numbered from 1 in the order of the listing."""
  limits = inspector.decode.limits
  batches = list_input(given, limits)
  contents = (content for batch in batches for content in read_contents(batch, open_listed, limits))
  for number, content in enumerate(contents, 1):
    yield number, content
    content.drop()


def _show_all(inspector: _Inspector, given: Input) -> None:
  options = inspector.options
  found = (inspector.inspect(number, content) for number, content in _contents(inspector, given))
  if options.json:
    print(json.dumps([source.to_dict(options.names) for source in found], indent=2))
    return
  print(table_header(options.names))
  statuses: list[str] = []
  for source in found:
    statuses += [sighting.row['status'] for sighting in source.sightings]
    print(table_line(source, options.names), flush=True)
  print(table_footer(statuses))


def _show_one(inspector: _Inspector, given: Input) -> None:
  options = inspector.options
  for number, content in _contents(inspector, given):
    if options.member is None or inspector.is_wanted(number, content):
      source = inspector.inspect(number, content, keep_original=options.output is not None)
      _show(source, options)
      return
  hint = 'a source_id needs the key, and the --input that the job was given' if len(options.member or '') == 32 else ''
  raise UsageError(f'--member is none of the sources; run without it for the list{hint and f" ({hint})"}')


def _show(source: Inspected, options: InspectOptions) -> None:
  sighting = _choose(source.sightings, options.frame)
  picture = side_by_side(sighting.frame) if options.output else None
  if options.output and picture is not None and not options.dry_run:
    with storage.open_write(options.output) as file:
      file.write(encode_png(picture))
  if options.json:
    print(json.dumps(source.to_dict(options.names, sighting), indent=2))
    return
  print('\n'.join(source_lines(source, sighting, options.names)))
  if options.output:
    print('picture: none, since there are no pixels' if picture is None else f'picture: {options.output}')


def _choose(sightings: Sequence[Sighting], number: int | None) -> Sighting:
  if number is None:
    return sightings[0]
  found = next((sighting for sighting in sightings if sighting.frame.number == number), None)
  if found is None:
    last = sightings[-1].frame.number
    rows = f'frames {sightings[0].frame.number} to {last}' if last else 'a row for the whole of it'
    raise UsageError(f'--frame is {number}, but the image has {rows}')
  return found
