"""The Beam side of reading: list, pack, spread, and the threads that decode a shard."""

import itertools
import pickle
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms.careful import decode_source_apart
from transforms.concurrency import decode_threads, run_in_order, usable_cores
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Limits
from transforms.inputs import Input, list_input
from transforms.listed_files import open_listed
from transforms.read import Decode, ReadBatch, read_tasks
from transforms.shards import Batch, Shard, pack_shards


@dataclass(eq=False)
class ListShards(beam.PTransform):
  """PCollection[Input] → PCollection[Shard], spread over the workers; image bytes are not read yet.

  Files that cannot be listed as the archive that they are become a batch of
  their own, whose one row says why (`archive-corrupt`, `archive-empty`, `bomb`).
  """

  limits: Limits
  cores: int

  def expand(self, inputs: beam.PCollection[Input]) -> beam.PCollection[Shard]:
    return (
      inputs
      | 'ListInput' >> beam.FlatMap(_list_packed, self.limits)
      | 'OnOneWorker' >> beam.combiners.ToList()
      | 'PackShards' >> beam.FlatMap(_pack_packed, self.cores)
      | 'SpreadShards' >> beam.Reshuffle()
      | 'UnpackShard' >> beam.Map(_unpack)
    )


# Engines keep what crosses a shuffle, the in-process one until the end of the run. A reference is some 300 bytes as
# an object, and some 40 deflated.
def _list_packed(given: Input, limits: Limits) -> Iterator[bytes]:
  return (_deflate(batch) for batch in list_input(given, limits))


def _pack_packed(batches: Iterable[bytes], cores: int) -> Iterator[bytes]:
  return (_deflate(shard) for shard in pack_shards(map(_inflate, batches), cores))


def _unpack(shard: bytes) -> Shard:
  return _inflate(shard)


def _deflate(value: Batch | Shard) -> bytes:
  return zlib.compress(pickle.dumps(value), 1)


def _inflate(data: bytes) -> Any:
  return pickle.loads(zlib.decompress(data))


def read_shard(
  shard: Shard, options: DecodeOptions, originals: int = 0, *, careful: bool = False
) -> Iterator[ReadBatch]:
  """Reads and decodes a shard on all cores, in the order of its references.

  Args:
    shard: what to read.
    options: how to decode.
    originals: keep the picture before preprocessing of so many first sources of the shard.
    careful: decode each source in another process, which it may take down.
  """
  decode: Decode = decode_source_apart if careful else decode_source
  tasks = itertools.chain.from_iterable(
    read_tasks(batch, open_listed, options, originals if position == 0 else 0, decode)
    for position, batch in enumerate(shard.batches)
  )
  return run_in_order(tasks, decode_threads(), ahead=2 * usable_cores(), rest_of=lambda part: part.rest)
