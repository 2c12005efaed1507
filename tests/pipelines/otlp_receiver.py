"""A collector of OpenTelemetry on this machine: takes spans by OTLP over HTTP, as protocol buffers."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
  ExportTraceServiceRequest,
  ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver(ThreadingHTTPServer):
  """Keeps what it is sent."""

  def __init__(self) -> None:
    super().__init__(('127.0.0.1', 0), _Handler)
    self.requests: list[tuple[str, ExportTraceServiceRequest]] = []

  @property
  def endpoint(self) -> str:
    """What OTEL_EXPORTER_OTLP_ENDPOINT names."""
    return f'http://127.0.0.1:{self.server_address[1]}'

  @property
  def spans(self) -> dict[str, list[Span]]:
    """All spans by name, in the order in which they ended."""
    found: dict[str, list[Span]] = {}
    for _, request in self.requests:
      for resource in request.resource_spans:
        for scope in resource.scope_spans:
          for span in scope.spans:
            found.setdefault(span.name, []).append(span)
    return found


class _Handler(BaseHTTPRequestHandler):
  server: Receiver

  def do_POST(self) -> None:
    data = self.rfile.read(int(self.headers['Content-Length']))
    if self.headers.get('Content-Encoding') == 'gzip':
      data = gzip.decompress(data)
    self.server.requests.append((self.path, ExportTraceServiceRequest.FromString(data)))
    answer = ExportTraceServiceResponse().SerializeToString()
    self.send_response(200)
    self.send_header('Content-Type', 'application/x-protobuf')
    self.send_header('Content-Length', str(len(answer)))
    self.end_headers()
    self.wfile.write(answer)

  def log_message(self, format: str, *args: object) -> None:
    """Says nothing."""


@contextmanager
def receiver() -> Iterator[Receiver]:
  """Serves while the block runs."""
  server = Receiver()
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


def attributes_of(span: Span) -> dict[str, object]:
  """The attributes of a span."""
  found: dict[str, object] = {}
  for one in span.attributes:
    kind = one.value.WhichOneof('value')
    if kind == 'array_value':
      found[one.key] = [part.string_value for part in one.value.array_value.values]
    elif kind:
      found[one.key] = getattr(one.value, kind)
  return found
