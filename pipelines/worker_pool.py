"""Asks an EXTERNAL pool of workers what it has, as an engine would: a worker is started and given one bundle.

The pool's service starts a worker, which then calls back (Beam's Fn API:
provisioning, logging, control, data). Here all four are one server, on the
address by which the pool was reached. The bundle's one element is the text of
`worker_facts`, and the step that takes it is Python's own `exec`: nothing of
ours has to be there, and no byte code has to fit.
"""

import inspect
import json
import socket
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.coders.coders import BytesCoder, GlobalWindowCoder, WindowedValueCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import (
  beam_fn_api_pb2,
  beam_fn_api_pb2_grpc,
  beam_provision_api_pb2,
  beam_provision_api_pb2_grpc,
  beam_runner_api_pb2,
  endpoints_pb2,
)
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.transforms.core import CallableWrapperDoFn
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils import thread_pool_executor

from pipelines import worker_facts

SECONDS_TO_CONNECT: Final = 3
SECONDS_TO_CALL: Final = 4  # Beam's boot entry calls back at once, a bare harness when Beam is loaded
SECONDS_TO_ANSWER: Final = 30  # idle: 5 s
SECONDS_TO_LEAVE: Final = 2  # a worker that is cut off counts as failed, and is started again by the boot entry
_NAMESPACE: Final = 'radbeam'
_INSTRUCTION: Final = 'ask'
_BUNDLE: Final = 'question'
_SOURCE: Final = 'Source'
_CODER: Final = 'windowed-bytes'


class PoolError(Exception):
  """No worker was started: the text says why."""


class NoCall(Exception):  # noqa: N818 - nothing is known to be wrong where another machine may not reach this one
  """The pool says that it has started a worker, but that has not called back."""


class NoAnswer(Exception):  # noqa: N818 - nothing is known to be wrong
  """The worker has called back, but is slow to start."""


def address_of(pool: str) -> tuple[str, int]:
  """Host and port.

  Raises:
    ValueError: if it has not this form.
  """
  host, _, port = pool.rpartition(':')
  if not host or not port.isdecimal():
    raise ValueError(f'{pool!r} is not HOST:PORT')
  return host.strip('[]'), int(port)


def way_to(address: str) -> str:
  """This machine's own address on the way to another, which is thereby known to be reached.

  Raises:
    OSError: if nothing listens there.
    ValueError: as `address_of`.
  """
  with socket.create_connection(address_of(address), timeout=SECONDS_TO_CONNECT) as connection:
    return str(connection.getsockname()[0])


def ask_pool(pool: str) -> dict[str, Any]:
  """Has a worker of the pool run `worker_facts`.

  Args:
    pool: host and port of its service.

  Returns:
    The facts; `problem` alone where the worker could not run them.

  Raises:
    OSError: if nothing listens there.
    PoolError: if it starts no worker.
    NoCall, NoAnswer: if the worker is not heard of in time.
  """
  here = way_to(pool)
  call = _Call()
  server = grpc.server(thread_pool_executor.shared_unbounded_instance())
  port = server.add_insecure_port(f'[{here}]:0' if ':' in here else f'{here}:0')
  call.serve(server, endpoints_pb2.ApiServiceDescriptor(url=f'[{here}]:{port}' if ':' in here else f'{here}:{port}'))
  server.start()
  try:
    _start_worker(pool, call.endpoint)
    if not call.begun.wait(SECONDS_TO_CALL):
      raise NoCall(f'its worker has not called back within {SECONDS_TO_CALL} s')
    if not call.ended.wait(SECONDS_TO_ANSWER):
      raise NoAnswer(f'its worker has not answered within {SECONDS_TO_ANSWER} s')
    return _facts(call.answer)
  finally:
    call.ended.set()
    server.stop(SECONDS_TO_LEAVE).wait()


def _start_worker(pool: str, endpoint: endpoints_pb2.ApiServiceDescriptor) -> None:
  request = beam_fn_api_pb2.StartWorkerRequest(
    worker_id=f'radbeam-{uuid.uuid4().hex[:12]}',
    control_endpoint=endpoint,
    logging_endpoint=endpoint,
    artifact_endpoint=endpoint,
    provision_endpoint=endpoint,
  )
  with grpc.insecure_channel(pool) as channel:
    stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
    try:
      response = stub.StartWorker(request, timeout=SECONDS_TO_CONNECT)
    except grpc.RpcError as error:
      raise PoolError(f'{error.code().name}, so it is no pool of Beam workers') from error
  if response.error:
    raise PoolError(response.error.strip().splitlines()[-1])


class _Call(
  beam_provision_api_pb2_grpc.ProvisionServiceServicer,
  beam_fn_api_pb2_grpc.BeamFnLoggingServicer,
  beam_fn_api_pb2_grpc.BeamFnControlServicer,
  beam_fn_api_pb2_grpc.BeamFnDataServicer,
  beam_fn_api_pb2_grpc.BeamFnStateServicer,
):
  """What the worker calls; names of methods are those of the services."""

  def __init__(self) -> None:
    self.begun = threading.Event()
    self.ended = threading.Event()
    self.answer = beam_fn_api_pb2.InstructionResponse()
    self.endpoint = endpoints_pb2.ApiServiceDescriptor()

  def serve(self, server: grpc.Server, endpoint: endpoints_pb2.ApiServiceDescriptor) -> None:
    """Offers all services at one endpoint."""
    self.endpoint = endpoint
    beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(self, server)
    for add in (
      beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server,
      beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server,
      beam_fn_api_pb2_grpc.add_BeamFnDataServicer_to_server,
      beam_fn_api_pb2_grpc.add_BeamFnStateServicer_to_server,
    ):
      add(self, server)

  def GetProvisionInfo(self, _: Any, context: Any) -> beam_provision_api_pb2.GetProvisionInfoResponse:  # noqa: N802
    self.begun.set()
    info = beam_provision_api_pb2.ProvisionInfo(
      control_endpoint=self.endpoint, logging_endpoint=self.endpoint, artifact_endpoint=self.endpoint
    )
    info.pipeline_options.SetInParent()
    return beam_provision_api_pb2.GetProvisionInfoResponse(info=info)

  def Logging(self, entries: Iterable[Any], context: Any) -> Iterator[beam_fn_api_pb2.LogControl]:  # noqa: N802
    yield beam_fn_api_pb2.LogControl()
    for _ in entries:
      pass  # what a worker logs when it starts is its own affair

  def Control(  # noqa: N802
    self, responses: Iterator[beam_fn_api_pb2.InstructionResponse], context: Any
  ) -> Iterator[beam_fn_api_pb2.InstructionRequest]:
    self.begun.set()
    bundle = beam_fn_api_pb2.ProcessBundleRequest(process_bundle_descriptor_id=_BUNDLE)
    yield beam_fn_api_pb2.InstructionRequest(instruction_id=_INSTRUCTION, process_bundle=bundle)
    self.answer = next(responses)
    self.ended.set()

  def GetProcessBundleDescriptor(self, _: Any, context: Any) -> beam_fn_api_pb2.ProcessBundleDescriptor:  # noqa: N802
    return _descriptor(self.endpoint)

  def Data(self, elements: Iterable[Any], context: Any) -> Iterator[beam_fn_api_pb2.Elements]:  # noqa: N802
    element = _windowed_bytes().encode_nested(GlobalWindows.windowed_value(_question()))
    for part in ({'data': element}, {'is_last': True}):  # data that come with the end are not read
      of = beam_fn_api_pb2.Elements.Data(instruction_id=_INSTRUCTION, transform_id=_SOURCE, **part)
      yield beam_fn_api_pb2.Elements(data=[of])
    self.ended.wait()  # the worker takes an earlier end of the stream for a failure

  def State(self, requests: Iterable[Any], context: Any) -> Iterator[beam_fn_api_pb2.StateResponse]:  # noqa: N802
    self.ended.wait()  # there is no state to ask for
    yield from ()


def _question() -> bytes:
  """Source that runs in a module's scope of its own, and says what it found by the name of a counter."""
  source = (
    f'{inspect.getsource(worker_facts)}\n'
    'import json\n'
    'from apache_beam.metrics import Metrics\n'
    f"Metrics.counter('{_NAMESPACE}', json.dumps(worker_facts())).inc()\n"
  )
  return f"exec({source!r}, {{'__name__': 'worker_facts'}})".encode()


def _descriptor(endpoint: endpoints_pb2.ApiServiceDescriptor) -> beam_fn_api_pb2.ProcessBundleDescriptor:
  """A bundle of two steps: elements as they come by the data service, and `exec` of each."""
  pipeline = beam.Pipeline('DirectRunner', PipelineOptions([]))
  _ = pipeline | 'Question' >> beam.Impulse() | 'Exec' >> beam.ParDo(CallableWrapperDoFn(exec))
  components = pipeline.to_runner_api().components
  (step,) = (one for one in components.transforms.values() if one.spec.urn == common_urns.primitives.PAR_DO.urn)
  (taken,) = step.inputs.values()
  context = PipelineContext()
  components.coders[_CODER].CopyFrom(_windowed_bytes().to_runner_api(context))
  components.MergeFrom(context.to_runner_api())
  port = beam_fn_api_pb2.RemoteGrpcPort(api_service_descriptor=endpoint, coder_id=_CODER)
  source = beam_runner_api_pb2.PTransform(
    unique_name=_SOURCE,
    spec=beam_runner_api_pb2.FunctionSpec(urn='beam:runner:source:v1', payload=port.SerializeToString()),
    outputs={'out': taken},
  )
  return beam_fn_api_pb2.ProcessBundleDescriptor(
    id=_BUNDLE,
    transforms={_SOURCE: source, 'Exec': step},
    state_api_service_descriptor=endpoint,
    pcollections=components.pcollections,
    coders=components.coders,
    windowing_strategies=components.windowing_strategies,
  )


def _windowed_bytes() -> WindowedValueCoder:
  return WindowedValueCoder(BytesCoder(), GlobalWindowCoder())


def _facts(answer: beam_fn_api_pb2.InstructionResponse) -> dict[str, Any]:
  if answer.error:
    return {'problem': answer.error.strip().splitlines()[-1]}
  named = (info.labels.get('NAME', '') for info in answer.process_bundle.monitoring_infos if _is_ours(info.labels))
  return dict(json.loads(next(named)))


def _is_ours(labels: Mapping[str, str]) -> bool:
  return labels.get('NAMESPACE') == _NAMESPACE
