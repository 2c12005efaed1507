"""The Beam side of reading: list, pack, spread, and the threads that decode a shard."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam

from transforms import storage
from transforms.concurrency import decode_threads, run_in_order, usable_cores
from transforms.decode import DecodeOptions
from transforms.elements import Limits
from transforms.inputs import Input, list_input
from transforms.read import ReadBatch, read_tasks
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
      | 'ListInput' >> beam.FlatMap(list_input, self.limits)
      | 'OnOneWorker' >> beam.combiners.ToList()
      | 'PackShards' >> beam.FlatMap(_pack, self.cores)
      | 'SpreadShards' >> beam.Reshuffle()
    )


def _pack(batches: Iterable[Batch], cores: int) -> list[Shard]:
  return pack_shards(batches, cores)


def read_shard(shard: Shard, options: DecodeOptions, originals: int = 0) -> Iterator[ReadBatch]:
  """Reads and decodes a shard on all cores, in the order of its references.

  Args:
    shard: what to read.
    options: how to decode.
    originals: keep the picture before preprocessing of so many first sources of the shard.
  """
  tasks = itertools.chain.from_iterable(
    read_tasks(batch, storage.open_read, options, originals if position == 0 else 0)
    for position, batch in enumerate(shard.batches)
  )
  return run_in_order(tasks, decode_threads(), ahead=2 * usable_cores())
