"""What Flink and other portable engines would find out late, or never, of their workers: one line each, before.

An engine whose pool of workers is not there waits for it without a word, and
one whose workers lack radbeam fails at the first element. So the pool is asked,
wherever it is this machine's to ask: docs/engines.md says when it is not.
"""

import functools
import ipaddress
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from apache_beam.options.pipeline_options import (
  DebugOptions,
  FlinkRunnerOptions,
  PipelineOptions,
  PortableOptions,
  PrismRunnerOptions,
  SetupOptions,
)
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES
from apache_beam.version import __version__ as beam_version

from pipelines.beam_options import pipeline_options, runner_name
from pipelines.exits import UsageError
from pipelines.preflight_dataflow import model_of
from pipelines.preflight_flink import Cluster, check_flink
from pipelines.run_record import code_version
from pipelines.worker_facts import worker_facts
from pipelines.worker_memory import Worker, check_model_fits
from pipelines.worker_pool import SECONDS_TO_CONNECT, NoAnswer, NoCall, PoolError, address_of, ask_pool

if TYPE_CHECKING:
  from model.bundle import Bundle

UNCHECKED: Final = 'unchecked_worker_pool'
_LOG: Final = logging.getLogger('radbeam.beam')
_RUNNERS: Final = frozenset({'flinkrunner', 'portablerunner', 'prismrunner'})
_HINT: Final = f'if only the engine reaches it, give --experiments={UNCHECKED}'


@dataclass(frozen=True, slots=True)
class Pool:
  """A pool of workers that has answered.

  Attributes:
    address: host and port.
    memory_bytes: of its machine or container.
    cores: that a worker may use.
    processes: workers that the engine will start there.
    threads: bundles that each of them works on at a time, at least.
  """

  address: str
  memory_bytes: int
  cores: int
  processes: int
  threads: int


def check_portable(beam_args: Sequence[str]) -> None:
  """Refuses what a portable engine cannot run; says nothing of other engines.

  Raises:
    UsageError: naming what is missing, out of reach, or of another version.
  """
  checked_pool.cache_clear()  # what was there a while ago need not be there now
  checked_pool(tuple(beam_args))


def check_models(bundles: Sequence['Bundle'], batch_size: int, beam_args: Sequence[str]) -> None:
  """Refuses models that the pool has no memory for, if the pool could be asked.

  Raises:
    UsageError: with the arithmetic.
  """
  pool = checked_pool(tuple(beam_args))
  if pool:
    worker = Worker(pool.memory_bytes, pool.cores, pool.processes, pool.threads)
    check_model_fits(model_of(bundles, batch_size), worker, f'the worker pool {pool.address}')


@functools.lru_cache(maxsize=1)
def checked_pool(beam_args: tuple[str, ...]) -> Pool | None:
  """Engine and workers, looked at in this order; None where there is no pool, or none to ask from here.

  Raises:
    UsageError: as `check_portable`.
  """
  name = runner_name(beam_args)
  if name not in _RUNNERS:
    return None
  given = pipeline_options(beam_args)
  portable = given.view_as(PortableOptions)
  cluster = None
  if portable.job_endpoint:
    _check_endpoint(portable.job_endpoint)
  elif name == 'flinkrunner':
    cluster = check_flink(given)
  elif name == 'prismrunner':
    _check_prism(given.view_as(PrismRunnerOptions).prism_location)
  else:
    raise UsageError('--job_endpoint is missing: the HOST:PORT of a job service; PortableRunner needs it')
  address = pool_address(name, given)
  if not address or given.view_as(DebugOptions).lookup_experiment(UNCHECKED):
    return None
  if is_loopback(address_of(address)[0]) and not _works_here(portable.job_endpoint, given, cluster):
    return None  # a side-car of each task manager: there are as many as these, and none is here
  return _asked(address, portable, cluster)


def _check_endpoint(endpoint: str) -> None:
  if endpoint == 'embed':
    return
  with grpc.insecure_channel(endpoint) as channel:
    try:
      grpc.channel_ready_future(channel).result(timeout=SECONDS_TO_CONNECT)
      beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions(
        beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=SECONDS_TO_CONNECT
      )
    except grpc.FutureTimeoutError as error:
      raise UsageError(
        f'no job service answers at --job_endpoint {endpoint}; start it, or correct the address, HOST:PORT'
      ) from error
    except grpc.RpcError as error:
      raise UsageError(
        f'--job_endpoint {endpoint} is no job service of Beam ({error.code().name}); correct the address, HOST:PORT'
      ) from error


def _check_prism(location: str | None) -> None:
  if not location or not os.path.isfile(location):
    raise UsageError(
      f'--prism_location is {location}, no file of this machine, and nothing is downloaded at run time; '
      f'go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam_version}, and give its path'
    )


def pool_address(name: str, given: PipelineOptions) -> str | None:
  """Where the pool of workers is, if it is one that workers come from.

  Raises:
    UsageError: if workers would have no radbeam, or come from nowhere.
  """
  portable = given.view_as(PortableOptions)
  kind = portable.environment_type
  if kind == 'EXTERNAL':
    return _external(portable)
  if not kind and not _is_loopback_by_default(name, given):
    kind = 'DOCKER'
  image = portable.environment_config or portable.lookup_environment_option('docker_container_image')
  setup = given.view_as(SetupOptions)
  if kind == 'DOCKER' and not (image or setup.setup_file or setup.extra_packages):
    raise UsageError(
      "workers would start from Beam's own image, which has no radbeam; give --environment_type=EXTERNAL "
      '--environment_config=HOST:PORT of a worker pool, or an image made by deploy/worker/Dockerfile'
    )
  return None


def _external(portable: PortableOptions) -> str:
  config = portable.environment_config or portable.lookup_environment_option('external_service_address') or ''
  try:
    address = str(json.loads(config).get('url')) if config.startswith('{') else config
    address_of(address)
  except ValueError as error:
    raise UsageError(
      f'--environment_config is {config!r}; expected HOST:PORT of a worker pool, as --environment_type is EXTERNAL'
    ) from error
  return address


def _is_loopback_by_default(name: str, given: PipelineOptions) -> bool:
  """Whether Beam has the launcher's own process do the work unless told otherwise."""
  return name == 'prismrunner' or (
    name == 'flinkrunner' and given.view_as(FlinkRunnerOptions).flink_master in MAGIC_HOST_NAMES
  )


def _works_here(endpoint: str | None, given: PipelineOptions, cluster: Cluster | None) -> bool:
  """Whether the engine's loopback is this machine's."""
  if endpoint:
    return endpoint == 'embed' or is_loopback(endpoint.rpartition(':')[0].strip('[]'))
  return cluster is None or (bool(cluster.hosts) and all(map(is_loopback, cluster.hosts)))


def is_loopback(host: str) -> bool:
  """Whether a host means the machine that says it."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == 'localhost' or host.endswith('.localhost')


def _asked(address: str, portable: PortableOptions, cluster: Cluster | None) -> Pool | None:
  try:
    facts = ask_pool(address)
  except OSError as error:
    raise UsageError(
      f'no worker pool answers at {address} ({error.strerror or error}), which --environment_config names; '
      f'start it there by boot --worker_pool, or correct the address; {_HINT}'
    ) from error
  except PoolError as error:
    raise UsageError(
      f'{address}, which --environment_config names, starts no worker ({error}); expected a pool started by '
      'boot --worker_pool'
    ) from error
  except (NoCall, NoAnswer) as error:
    _tell_unheard(address, error)
    return None
  for problem in problems(facts, address):
    raise UsageError(problem)
  at_once = max(1, int(portable.sdk_worker_parallelism or 1)) * max(1, len(cluster.hosts) if cluster else 1)
  return Pool(address, facts['memory_bytes'], facts['cores'], at_once, cluster.slots if cluster else 1)


def _tell_unheard(address: str, error: NoCall | NoAnswer) -> None:
  """Of another machine's pool nothing is known to be wrong: its workers may reach the engine and not the launcher."""
  if isinstance(error, NoCall) and is_loopback(address_of(address)[0]):
    raise UsageError(
      f'the worker pool {address} started a worker that never came up ({error}); read the log of the pool; {_HINT}'
    ) from error
  _LOG.warning('the worker pool %s was not checked: %s', address, error)


def problems(facts: Mapping[str, Any], address: str) -> list[str]:
  """What of a worker's answer keeps it from working for us, the most telling first."""
  if 'problem' in facts:
    return [
      f'a worker of the pool {address} cannot run what Beam {beam_version} sends ({facts["problem"]}); '
      'make its image again by deploy/worker/Dockerfile'
    ]
  ours = worker_facts()
  again = 'make its image, or environment, again from the same release'
  found = []
  for key, name, expected in (('beam', 'Beam', beam_version), ('python', 'Python', ours['python'])):
    if facts[key] != expected:
      found.append(f'the worker pool {address} has {name} {facts[key]}, but {expected} is here; {again}')
  if facts['radbeam'] is None:
    found.append(
      f'the worker pool {address} has no radbeam; install radbeam {code_version()} in its environment: '
      '--setup_file does nothing for a pool'
    )
  elif facts['radbeam'] != code_version():
    found.append(f'the worker pool {address} has radbeam {facts["radbeam"]}, but {code_version()} is here; {again}')
  return found
