"""Rows of the predictions table: from decoded frames and scores to one Parquet file a shard."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from model.bundle import Bundle
from model.handler import InferenceFailure, Prediction
from pipelines.crosswalk import stage_crosswalk
from pipelines.schemas import PREDICTIONS, SCHEMA_VERSION, write_table
from pipelines.staging import RowCounts, ShardResult, StagedFile, StagedWriter, counted, write_marker
from transforms import storage
from transforms.boundary import INTERNAL
from transforms.decode import DecodeOptions
from transforms.elements import Frame, Pixels, Source
from transforms.errors import UNREAD, InputError
from transforms.identifiers import Pseudonyms
from transforms.inputs import file_name
from transforms.read_beam import read_shard
from transforms.rows import CrosswalkRow, ImageRow, columns_of, crosswalk_row, image_row
from transforms.shards import Shard
from transforms.statistics import Sketch, grey_counts, input_bins, score_bin

PREDICTIONS_ROLE = 'predictions'

Outcome = tuple[float, ...] | InferenceFailure  # scores in the order of the labels, or why there are none


@dataclass(frozen=True, slots=True)
class ShardRow:
  """A row at its place in its shard.

  Attributes:
    file_id: of the file below the inputs that the row comes from.
    outcomes: of each model, in the order of the models; None for what has no pixels.
    grey: its pixels by intensity, as of `transforms.statistics.grey_counts`.
  """

  shard: int
  position: int
  file_id: str
  row: ImageRow
  outcomes: tuple[Outcome, ...] | None = None
  grey: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class ShardEnd:
  """What is known once a shard has been read to its end."""

  shard: int
  fingerprint: str
  rows: int
  listed: int
  crosswalk: tuple[StagedFile, ...]


@dataclass(frozen=True, slots=True)
class RunColumns:
  """The columns that are the same in all rows of a run."""

  run_id: str
  scored_at: datetime
  model_name: str
  model_version: str
  model_digest: str
  preprocess_digest: str
  config_digest: str
  code_version: str
  supersedes_run_id: str | None


@dataclass(frozen=True, slots=True)
class RowsOf:
  """One of the models of a run, which writes rows of its own.

  Attributes:
    bundle: of the model.
    columns: of its rows.
    staging: folder of its unfinished work.
    number: its place among the models of the run.
  """

  bundle: Bundle
  columns: RunColumns
  staging: str
  number: int = 0

  def fingerprint(self, shard: str) -> str:
    """Of this model's rows of a shard of that fingerprint."""
    return hashlib.sha256(f'{shard}{self.columns.config_digest}'.encode()).hexdigest()

  def of(self, row: 'ShardRow') -> tuple[ImageRow, tuple[float, ...] | None]:
    """A row as this model has it: with its scores, or with the reason why it gave none."""
    outcome = None if row.outcomes is None else row.outcomes[self.number]
    if not isinstance(outcome, InferenceFailure):
      return row.row, outcome
    error = InputError('inference-failed', outcome.detail)
    return replace(row.row, status=error.status, reason=error.code, detail=error.detail), None


def decode_shard(
  shard: Shard, options: DecodeOptions, pseudonyms: Pseudonyms, crosswalk: str, *, careful: bool = False
) -> Iterator[tuple[ShardRow, Pixels | None] | ShardEnd]:
  """Reads and decodes a shard: its rows, with pixels for those to be scored, then its end.

  Args:
    shard: what to read.
    options: how to decode.
    pseudonyms: for ids.
    crosswalk: folder for unfinished lines of the crosswalk; '' for none.
    careful: decode each source in another process, since an earlier attempt was killed.
  """
  folders = {batch.archive.name for batch in shard.batches if batch.archive.kind == 'folder'}
  lines: list[CrosswalkRow] = []
  position = listed = 0
  for batch in read_shard(shard, options, careful=careful):
    listed += batch.listed
    for source, content_sha256, frame in _frames(batch.sources):
      row = image_row(source, content_sha256, frame, pseudonyms)
      if crosswalk:
        lines.append(crosswalk_row(source, frame, row))
      file = file_name(source.archive, source.member if source.archive in folders else '')
      grey = None if frame.histogram is None else grey_counts(frame.histogram)
      yield ShardRow(shard.number, position, pseudonyms.archive(file), row, grey=grey), frame.pixels
      position += 1
  staged = (stage_crosswalk(crosswalk, shard.number, lines),) if crosswalk else ()
  yield ShardEnd(shard.number, shard.fingerprint, position, listed, staged)


def _frames(sources: Iterable[Any]) -> Iterator[tuple[Source, str | None, Frame]]:
  for read in sources:
    yield from ((read.source, read.content_sha256, frame) for frame in read.frames)


def with_predictions(row: ShardRow, predictions: Sequence[Prediction]) -> ShardRow:
  """A row with what each model says of its image."""
  return replace(row, outcomes=tuple(map(_outcome, predictions)))


def _outcome(prediction: Prediction) -> Outcome:
  if isinstance(prediction, InferenceFailure):
    return prediction
  return tuple(float(score) for score in prediction)


def write_predictions(end: ShardEnd, rows: Sequence[ShardRow], model: RowsOf) -> ShardResult:
  """Writes a model's rows of one shard in their order under a unique name, then says that it is finished.

  The crosswalk, which is the same for all models, goes with the first.

  Raises:
    ValueError: if rows are missing or came twice: a bug.
  """
  ordered = sorted(rows, key=lambda row: row.position)
  if [row.position for row in ordered] != list(range(end.rows)):
    raise ValueError(f'shard {end.shard} has {end.rows} rows, but {len(ordered)} came out of the model')
  run = asdict(model.columns)
  counts: RowCounts = Counter()
  sketch = Sketch()
  flags: Counter[str] = Counter()
  staged = StagedWriter(model.staging, end.shard)
  with storage.open_write(staged.path(PREDICTIONS_ROLE)) as file:
    lines = (prediction_row(row, model, run) for row in ordered)
    write_table(file, counted(_observed(lines, ordered, sketch, flags), counts), PREDICTIONS)
  files = (staged.describe(PREDICTIONS_ROLE), *(end.crosswalk if model.number == 0 else ()))
  written = len({row.row.source_id for row in ordered})
  told = [(row.file_id, model.of(row)[0]) for row in ordered]
  result = ShardResult(
    end.shard,
    model.fingerprint(end.fingerprint),
    files,
    end.listed,
    written,
    tuple(sorted(counts.items())),
    _files(told, lambda row: row.status == 'rejected'),
    sketch.to_json(),
    tuple(sorted(flags.items())),
    model.number,
    _files(told, lambda row: row.reason == INTERNAL),
    _files(told, lambda row: row.reason in UNREAD),
  )
  write_marker(model.staging, result)
  return result


def _files(rows: Iterable[tuple[str, ImageRow]], which: Callable[[ImageRow], bool]) -> tuple[str, ...]:
  """The ids of the files that have such a row."""
  return tuple(sorted({file_id for file_id, row in rows if which(row)}))


def _observed(
  lines: Iterable[Mapping[str, Any]], rows: Iterable[ShardRow], sketch: Sketch, flags: Counter[str]
) -> Iterator[Mapping[str, Any]]:
  """Passes the lines of the table on, and counts what was scored as it goes by."""
  for line, row in zip(lines, rows, strict=True):
    if line['status'] == 'scored':
      sketch.add(line, input_bins(line) | score_bin(line['probability']), row.grey)
      flags.update(line['quality'])
    yield line


def prediction_row(row: ShardRow, model: RowsOf, run: Mapping[str, Any]) -> dict[str, Any]:
  """One line of the table of a model; `run` are its columns that are the same in all lines."""
  image, scores = model.of(row)
  values = {'schema_version': SCHEMA_VERSION, 'file_id': row.file_id, **columns_of(image), **run}
  if scores is None:
    return values
  quality = sorted({*image.quality, *model.bundle.intended_use.flags(values)})
  return values | _decision(scores, model.bundle) | {'quality': quality}


def _decision(scores: tuple[float, ...], bundle: Bundle) -> dict[str, Any]:
  label, probability = bundle.decide(np.asarray(scores, np.float32))
  return {
    'status': 'scored',
    'predicted_label': label,
    'probability': probability,
    'threshold': bundle.threshold,
    'scores': [{'label': name, 'probability': score} for name, score in zip(bundle.labels, scores, strict=True)],
  }
