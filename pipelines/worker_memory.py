"""What a worker needs to score, against the memory that it has: arithmetic, without Beam and without TensorFlow.

The figures were measured with TensorFlow 2.21 on CPUs and are explained in
docs/engines.md. They are low on purpose: what is refused here cannot work.
"""

from dataclasses import dataclass
from typing import Final

from pipelines.exits import UsageError

MIB: Final = 1 << 20
GIB: Final = 1 << 30

PROCESS_BYTES: Final = 850 * MIB  # the interpreter with Beam, TensorFlow and the decoders, before any model
WEIGHTS_FACTOR: Final = 2  # the files are read, and copied into variables
FLOATS_PER_PIXEL: Final = 50  # of a batch, while a network works on it: `cnn` 12, ResNet50 57, EfficientNetB0 92
FLOAT_BYTES: Final = 4
OPEN_IMAGES_PER_CORE: Final = 2  # decoded and not yet taken, for each shard that is open (`read_shard`)

DATAFLOW_THREADS: Final = 2  # of the harness: one shard is scored while another is decoded
DATAFLOW_MACHINE: Final = 'n1-standard-1'  # Dataflow's own default for batch jobs

# GiB of memory for each virtual core of Google's predefined families.
_GIB_PER_CORE: Final = {
  'n1-standard': 3.75,
  'n1-highmem': 6.5,
  'n1-highcpu': 0.9,
  'c2-standard': 4,
  **{f'{family}-standard': 4 for family in ('n2', 'n2d', 'e2', 'c3', 'n4', 't2d')},
  **{f'{family}-highmem': 8 for family in ('n2', 'n2d', 'e2', 'c3', 'n4')},
  **{f'{family}-highcpu': 1 for family in ('n2', 'n2d', 'e2')},
}


@dataclass(frozen=True, slots=True)
class Worker:
  """A machine, container or task manager that runs SDK processes.

  Attributes:
    memory_bytes: what all its processes may take together.
    cores: that each of its processes sees.
    processes: SDK processes; each has a model of its own.
    threads: of each process, which share its model; each has one shard open at a time.
  """

  memory_bytes: int
  cores: int = 1
  processes: int = 1
  threads: int = 1


@dataclass(frozen=True, slots=True)
class Model:
  """What is known of a model before it is loaded.

  Attributes:
    files_bytes: of its SavedModel.
    pixels: of one image as it is fed: height × width.
    channels: 1 or 3 bytes a pixel.
    batch_size: images in one call.
  """

  files_bytes: int
  pixels: int
  channels: int
  batch_size: int


def model_bytes(model: Model) -> int:
  """What one copy needs at work: its weights, and one batch on its way through."""
  return WEIGHTS_FACTOR * model.files_bytes + model.batch_size * model.pixels * FLOATS_PER_PIXEL * FLOAT_BYTES


def open_bytes(model: Model, worker: Worker) -> int:
  """What one process holds of decoded images that wait for the model."""
  waiting = worker.threads * (OPEN_IMAGES_PER_CORE * worker.cores + model.batch_size)
  return waiting * model.pixels * model.channels


def needed_bytes(model: Model, worker: Worker) -> int:
  """What a worker needs at least, over all its processes."""
  return worker.processes * (PROCESS_BYTES + model_bytes(model) + open_bytes(model, worker))


def check_model_fits(model: Model, worker: Worker, place: str) -> None:
  """Refuses what cannot work, before anything is sent anywhere.

  Args:
    model: what is to be loaded.
    worker: where.
    place: what the worker is called, such as `a worker of type n1-standard-1`.

  Raises:
    UsageError: with the arithmetic, and what can be done.
  """
  needed = needed_bytes(model, worker)
  if needed <= worker.memory_bytes:
    return
  each = f'{_gib(PROCESS_BYTES)} + model {_gib(model_bytes(model))} + images {_gib(open_bytes(model, worker))}'
  raise UsageError(
    f'the model does not fit: {place} has {_gib(worker.memory_bytes)}, but {worker.processes} process(es) of '
    f'{each} need {_gib(needed)} at least; take larger workers, fewer processes, or a smaller --batch_size'
  )


def _gib(size_bytes: int) -> str:
  return f'{size_bytes / GIB:.1f} GiB'


def machine(machine_type: str) -> tuple[int, int] | None:
  """Cores and bytes of memory of one of Google's predefined machines; None for those that are not known here."""
  family, _, cores = machine_type.rpartition('-')
  if family in _GIB_PER_CORE and cores.isdecimal():
    return int(cores), int(_GIB_PER_CORE[family] * int(cores) * GIB)
  return None
