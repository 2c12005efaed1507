"""What Dataflow would find out after minutes, found out before anything is sent: one line each."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, WorkerOptions

from pipelines.beam_options import pipeline_options, runs_on_dataflow, waits
from pipelines.exits import UsageError
from pipelines.options import ArchiveJobOptions
from pipelines.worker_memory import DATAFLOW_MACHINE, DATAFLOW_THREADS, Model, Worker, check_model_fits, machine
from transforms import storage

if TYPE_CHECKING:
  from model.bundle import Bundle

_REQUIRED: Final = {
  'project': 'the project that runs and pays for the job',
  'region': 'such as europe-west3',
  'temp_location': 'a folder gs://… for what is staged',
}
# What workers open themselves; the launcher reads the files of rules.
_OPENED_BY_WORKERS: Final = ('input', 'inbox', 'output', 'bundle')


def check_dataflow(job: str, options: Any, beam_args: Sequence[str]) -> None:
  """Refuses what Dataflow cannot run; says nothing of other engines.

  Raises:
    UsageError: naming the flag.
  """
  if not runs_on_dataflow(beam_args):
    return
  if not isinstance(options, ArchiveJobOptions) and not waits(beam_args):
    raise UsageError(f'{job} has work to do after its last pipeline: it cannot be started without waiting')
  for problem in _problems(options, beam_args):
    raise UsageError(problem)


def _problems(options: Any, beam_args: Sequence[str]) -> Iterator[str]:
  given = pipeline_options(beam_args)
  cloud = given.view_as(GoogleCloudOptions)
  for name, meaning in _REQUIRED.items():
    if not getattr(cloud, name):
      yield f'--{name} is missing: {meaning}; Dataflow needs it'
  for name in ('temp_location', 'staging_location'):
    if getattr(cloud, name) and not storage.is_object(getattr(cloud, name)):
      yield f'--{name} is {getattr(cloud, name)}; Dataflow stages to gs://… only'
  if not given.view_as(WorkerOptions).sdk_container_image:
    yield '--sdk_container_image is missing: workers have no radbeam without it; build deploy/dataflow/Dockerfile'
  yield from _out_of_reach(options)


def _out_of_reach(options: Any) -> Iterator[str]:
  for name in _OPENED_BY_WORKERS:
    value = getattr(options, name, ())
    for path in (value,) if isinstance(value, str) else value:
      if storage.is_local(path):
        yield f'--{name} is {path}, a path of this machine, which workers of Dataflow cannot reach; give gs://…'
  key = getattr(options, 'pseudonym_key_file', None)
  if not key or storage.is_local(key):
    yield (
      '--pseudonym_key_file must be an object gs://… that only the account of the workers can read: '
      'files of this machine are out of their reach'
    )
  labels = getattr(options, 'labels', 'none')
  if labels not in ('folder', 'none') and storage.is_local(labels):
    yield '--labels is a file of this machine, which workers of Dataflow cannot reach; give gs://…'
  if getattr(options, 'crosswalk', None):
    yield '--crosswalk is a folder of one machine, which workers of Dataflow do not share; leave it out'


def check_models(bundles: Sequence['Bundle'], batch_size: int, beam_args: Sequence[str]) -> None:
  """Refuses models that no worker of the type asked for can hold.

  Raises:
    UsageError: with the arithmetic.
  """
  if not runs_on_dataflow(beam_args):
    return
  given = pipeline_options(beam_args)
  name = given.view_as(WorkerOptions).machine_type or DATAFLOW_MACHINE
  known = machine(name)
  if known is None:
    return
  cores, memory_bytes = known
  debug = given.view_as(DebugOptions)
  processes = 1 if debug.lookup_experiment('no_use_multiple_sdk_containers') else cores
  threads = debug.number_of_worker_harness_threads or DATAFLOW_THREADS
  worker = Worker(memory_bytes, cores, processes, threads)
  check_model_fits(model_of(bundles, batch_size), worker, f'a worker of type {name}')


def model_of(bundles: Sequence['Bundle'], batch_size: int) -> Model:
  """What is known of the models of a run without loading them: they take turns with a batch, so their files add up."""
  folders = [storage.join(bundle.origin or str(bundle.path), 'saved_model') for bundle in bundles]
  size_bytes = sum(file.size_bytes for folder in folders for file in storage.list_files(folder))
  height, width, channels = bundles[0].spec.shape
  return Model(size_bytes, height * width, channels, batch_size)
