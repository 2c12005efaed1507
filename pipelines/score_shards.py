"""The Beam side of scoring: decode, infer, collect the rows of a shard, write them.

Rows leave the model in the order in which shards were decoded, so a shard is
usually complete while the next one is still being decoded: it is written at
once, and a run that is killed keeps it. Where an engine cuts a shard's rows
into several bundles they are grouped first; the result is the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from model.handler import BundlesModelHandler, HandlerOptions, MakeHandler
from pipelines.crosswalk import staging_folder
from pipelines.keys import read_site_key
from pipelines.score_rows import RowsOf, ShardEnd, ShardRow, decode_shard, with_predictions, write_predictions
from pipelines.staging import ShardResult, find_finished, start_shard
from transforms.decode import DecodeOptions
from transforms.identifiers import Pseudonyms
from transforms.shards import Shard

_REST: Final = 'rest'
_FINISHED: Final = 'finished'
_PARTIAL: Final = 'partial'


@dataclass(frozen=True, slots=True)
class ScoreSpec:
  """How the shards of a run are scored.

  Attributes:
    models: which score, each with rows of its own; they take the same pixels.
    staging: folder of this run's unfinished work; of each model it is that, or below it.
    crosswalk: folder for the crosswalk; '' for none.
    make_handler: of what scores, from the bundles of the models and `handler`.
  """

  decode: DecodeOptions
  handler: HandlerOptions
  models: tuple[RowsOf, ...]
  staging: str
  key_path: str
  crosswalk: str = ''
  make_handler: MakeHandler = BundlesModelHandler.of


@dataclass(eq=False)
class ScoreShards(beam.PTransform):
  """PCollection[Shard] → PCollection[ShardResult], one for each model.

  Reject codes: those of reading and decoding, and `inference-failed`. Pixels
  pass from decoding to the model within a worker, never through a shuffle.
  """

  spec: ScoreSpec

  def expand(self, shards: beam.PCollection[Shard]) -> beam.PCollection[ShardResult]:
    decoded = shards | 'DecodeShards' >> beam.ParDo(_DecodeShard(self.spec)).with_outputs(
      _FINISHED, _REST, main='images'
    )
    bundles = [model.bundle for model in self.spec.models]
    handler = KeyedModelHandler(self.spec.make_handler(bundles, self.spec.handler))
    scored = decoded['images'] | 'ScoreImages' >> RunInference(handler) | 'AddScores' >> beam.MapTuple(with_predictions)
    written, partial = (
      (scored, decoded[_REST])
      | 'JoinRows' >> beam.Flatten()
      | 'WriteWhole' >> beam.ParDo(_WriteWhole(self.spec)).with_outputs(_PARTIAL, main='written')
    )
    grouped = partial | 'GroupPartial' >> beam.GroupByKey()
    regrouped = grouped | 'WritePartial' >> beam.FlatMap(_write_grouped, self.spec)
    return (decoded[_FINISHED], written, regrouped) | 'JoinResults' >> beam.Flatten()


class _DecodeShard(beam.DoFn):
  def __init__(self, spec: ScoreSpec) -> None:
    self._spec = spec

  def setup(self) -> None:
    """Reads the key here, so that it is no part of the pipeline."""
    self._pseudonyms = Pseudonyms(read_site_key(self._spec.key_path))

  def process(self, shard: Shard) -> Iterator[Any]:
    spec = self._spec
    finished = [result for model in spec.models if (result := _find_finished(model, shard))]
    if len(finished) == len(spec.models):
      yield from (beam.pvalue.TaggedOutput(_FINISHED, result) for result in finished)
      return
    is_first = start_shard(spec.staging, spec.models[0].fingerprint(shard.fingerprint))
    crosswalk = staging_folder(spec.crosswalk, spec.staging) if spec.crosswalk else ''
    for item in decode_shard(shard, spec.decode, self._pseudonyms, crosswalk, careful=not is_first):
      if isinstance(item, ShardEnd):
        yield beam.pvalue.TaggedOutput(_REST, item)
      elif item[1] is None:
        yield beam.pvalue.TaggedOutput(_REST, item[0])
      else:
        yield item


def _find_finished(model: RowsOf, shard: Shard) -> ShardResult | None:
  return find_finished(model.staging, shard.number, model.fingerprint(shard.fingerprint))


@dataclass(slots=True)
class _Collected:
  """What has come of a shard in this bundle."""

  rows: list[ShardRow] = field(default_factory=list)
  end: ShardEnd | None = None

  @property
  def is_whole(self) -> bool:
    return self.end is not None and len(self.rows) == self.end.rows


class _WriteWhole(beam.DoFn):
  """Writes each shard whose rows are all in this bundle, and passes on the pieces of the others."""

  def __init__(self, spec: ScoreSpec) -> None:
    self._spec = spec

  def start_bundle(self) -> None:
    self._shards: defaultdict[int, _Collected] = defaultdict(_Collected)

  def process(self, item: ShardRow | ShardEnd) -> Iterator[ShardResult]:
    collected = self._shards[item.shard]
    if isinstance(item, ShardEnd):
      collected.end = item
    else:
      collected.rows.append(item)
    if collected.is_whole:
      yield from _write(self._shards.pop(item.shard), self._spec)

  def finish_bundle(self) -> Iterator[Any]:
    for number, collected in self._shards.items():
      value = beam.utils.windowed_value.WindowedValue(
        (number, collected), beam.window.GlobalWindow().max_timestamp(), [beam.window.GlobalWindow()]
      )
      yield beam.pvalue.TaggedOutput(_PARTIAL, value)


def _write_grouped(pieces_of_shard: tuple[int, Iterable[_Collected]], spec: ScoreSpec) -> list[ShardResult]:
  whole = _Collected()
  for piece in pieces_of_shard[1]:
    whole.rows.extend(piece.rows)
    whole.end = whole.end or piece.end
  return _write(whole, spec)


def _write(collected: _Collected, spec: ScoreSpec) -> list[ShardResult]:
  end = collected.end
  if end is None:
    raise ValueError('the end of a shard got lost between decoding and writing')
  return [write_predictions(end, collected.rows, model) for model in spec.models]
