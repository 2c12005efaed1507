"""A pool is asked by Beam's own protocol; the pool here is Beam's own too, with workers that are threads."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import (
  beam_fn_api_pb2,
  beam_fn_api_pb2_grpc,
  beam_provision_api_pb2,
  beam_provision_api_pb2_grpc,
)
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils import thread_pool_executor

from pipelines import worker_pool
from pipelines.worker_facts import worker_facts
from pipelines.worker_pool import NoAnswer, NoCall, PoolError, ask_pool


class Silent(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
  """Says that it has started a worker, and has not."""

  def StartWorker(self, request: Any, context: Any) -> beam_fn_api_pb2.StartWorkerResponse:  # noqa: N802
    return beam_fn_api_pb2.StartWorkerResponse()


class Broken(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
  def StartWorker(self, request: Any, context: Any) -> beam_fn_api_pb2.StartWorkerResponse:  # noqa: N802
    return beam_fn_api_pb2.StartWorkerResponse(error="Traceback:\n  x\nFileNotFoundError: 'boot'\n")


class Slow(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
  """Starts what calls back, as the boot entry does, and then nothing more."""

  def StartWorker(self, request: Any, context: Any) -> beam_fn_api_pb2.StartWorkerResponse:  # noqa: N802
    def call() -> None:
      with grpc.insecure_channel(request.provision_endpoint.url) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        stub.GetProvisionInfo(beam_provision_api_pb2.GetProvisionInfoRequest())

    threading.Thread(target=call).start()
    return beam_fn_api_pb2.StartWorkerResponse()


@contextlib.contextmanager
def pool(servicer: beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer | None) -> Iterator[str]:
  server = grpc.server(thread_pool_executor.shared_unbounded_instance())
  if servicer:
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(servicer, server)
  port = server.add_insecure_port('127.0.0.1:0')
  server.start()
  try:
    yield f'localhost:{port}'
  finally:
    server.stop(0).wait()


def test_a_worker_says_what_it_is() -> None:
  with pool(BeamFnExternalWorkerPoolServicer()) as address:
    assert ask_pool(address) == worker_facts()
    assert ask_pool(address) == worker_facts()


def test_a_pool_that_starts_nothing_says_why() -> None:
  with pool(Broken()) as address, pytest.raises(PoolError, match=r"^FileNotFoundError: 'boot'$"):
    ask_pool(address)


def test_what_is_no_pool_is_found() -> None:
  with pool(None) as address, pytest.raises(PoolError, match='UNIMPLEMENTED, so it is no pool'):
    ask_pool(address)


def test_nothing_at_the_address_is_an_error_of_the_system() -> None:
  with pytest.raises(ConnectionRefusedError):
    ask_pool('127.0.0.1:1')


def test_waiting_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(worker_pool, 'SECONDS_TO_CALL', 0.2)
  with pool(Silent()) as address, pytest.raises(NoCall, match='has not called back within'):
    ask_pool(address)
  monkeypatch.setattr(worker_pool, 'SECONDS_TO_CALL', 4)
  monkeypatch.setattr(worker_pool, 'SECONDS_TO_ANSWER', 0.2)
  with pool(Slow()) as address, pytest.raises(NoAnswer, match='has not answered within'):
    ask_pool(address)


def test_a_worker_whose_python_fails_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(worker_pool, '_question', lambda: b'no_such_name')
  with pool(BeamFnExternalWorkerPoolServicer()) as address:
    assert 'NameError' in ask_pool(address)['problem']
