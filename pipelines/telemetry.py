"""How long the stages of a run take, and a span of each where OpenTelemetry is wanted.

Only our own spans are sent: the provider is not made the global one, so that
libraries, whose spans hold addresses and names of files, find none.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pipelines.events import Field, Scalar, check_field, emit
from pipelines.exits import UsageError
from pipelines.run_record import code_version

if TYPE_CHECKING:
  from opentelemetry.sdk.trace import TracerProvider
  from opentelemetry.sdk.trace.export import SpanExporter
  from opentelemetry.trace import Span, Tracer

_ENDPOINTS: Final = ('OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
_PREFIX: Final = 'radbeam.'
_NO_FAULT: Final = ('NothingToDo',)


class Timings:
  """Seconds of wall time by stage, as the run record has them."""

  def __init__(self, tracer: 'Tracer | None' = None, root: 'Span | None' = None) -> None:
    self._tracer = tracer
    self._root = root
    self._started = time.monotonic()
    self._by_stage: dict[str, float] = {}

  @property
  def seconds(self) -> dict[str, float]:
    """Seconds by stage so far, and `total` since the beginning."""
    total = time.monotonic() - self._started
    return {name: round(value, 3) for name, value in (*self._by_stage.items(), ('total', total))}

  @contextlib.contextmanager
  def stage(self, name: str, **attributes: Field) -> Iterator[None]:
    """Adds the time that the block takes to a stage, with a span of it."""
    started = time.monotonic()
    try:
      with self.span(name, **attributes):
        yield
    finally:
      self._by_stage[name] = self._by_stage.get(name, 0.0) + time.monotonic() - started

  @contextlib.contextmanager
  def span(self, name: str, **attributes: Field) -> Iterator[None]:
    """A span inside the one that is open, for parts that the record does not time."""
    for field, value in attributes.items():
      check_field(field, value)
    if self._tracer is None:
      yield
      return
    with _open_span(self._tracer, name) as span:
      span.set_attributes(_flat(attributes))
      yield

  def describe_run(self, fields: Mapping[str, Field]) -> None:
    """Gives the span of the whole run attributes: ids, codes and figures."""
    for name, value in fields.items():
      check_field(name, value)
    if self._root is not None:
      self._root.set_attributes(_flat(fields))


def _flat(fields: Mapping[str, Field]) -> dict[str, Any]:
  """Fields as attributes: a table becomes one of each of its figures, and nothing is None."""
  flat: dict[str, Any] = {}
  for name, value in fields.items():
    table: Mapping[str, Any] = (
      {f'.{key}': part for key, part in value.items()} if isinstance(value, Mapping) else {'': value}
    )
    flat |= {f'{_PREFIX}{name}{key}': part for key, part in table.items() if part is not None}
  return flat


@contextlib.contextmanager
def timed_run(job: str, wanted: bool | None, **attributes: Scalar) -> Iterator[Timings]:
  """Times a run, and sends its spans to where OpenTelemetry's variables say.

  Args:
    job: the name of the span of the whole run.
    wanted: --otel; None if it is not given: wanted where an endpoint is set.
    attributes: of that span.

  Raises:
    UsageError: if it is wanted and not installed.
  """
  if not _is_wanted(wanted):
    yield Timings()
    return
  provider = _provider(bool(wanted))
  tracer = provider.get_tracer('radbeam', code_version())
  try:
    with _open_span(tracer, job) as root:
      timings = Timings(tracer, root)
      timings.describe_run(attributes)
      yield timings
  finally:
    provider.shutdown()


def _is_wanted(wanted: bool | None) -> bool:
  return any(os.environ.get(name) for name in _ENDPOINTS) if wanted is None else wanted


def _provider(is_flag: bool) -> 'TracerProvider':
  try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
  except ImportError as error:
    found = '--otel is true' if is_flag else 'an endpoint of OpenTelemetry is set in the environment'
    raise UsageError(
      f"{found}, but its exporter is not installed; run `pip install 'radbeam[otel]'`, or give --otel false"
    ) from error
  logging.getLogger('opentelemetry').setLevel(logging.CRITICAL + 1)  # an event says what it would
  name = os.environ.get('OTEL_SERVICE_NAME') or 'radbeam'
  provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}), shutdown_on_exit=False)
  provider.add_span_processor(BatchSpanProcessor(_saying_what_is_lost(OTLPSpanExporter())))
  return provider


def _saying_what_is_lost(exporter: 'SpanExporter') -> 'SpanExporter':
  """A collector that does not answer ends no night, but is told of, once."""
  from opentelemetry.sdk.trace.export import SpanExportResult

  export = exporter.export
  told: list[bool] = []

  def watched(spans: Any) -> Any:
    result = export(spans)
    if result is not SpanExportResult.SUCCESS and not told:
      told.append(True)
      emit('telemetry-lost', "OpenTelemetry's collector did not take the spans of this run", spans=len(spans))
    return result

  exporter.export = watched  # type: ignore[method-assign]
  return exporter


@contextlib.contextmanager
def _open_span(tracer: 'Tracer', name: str) -> 'Iterator[Span]':
  """A span that tells the type of an exception, and never its text."""
  from opentelemetry.trace import Status, StatusCode

  with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
    is_done = False
    try:
      yield span
      is_done = True
    finally:
      kind = '' if is_done else type(sys.exception()).__name__
      if kind:
        span.set_attribute('error.type', kind)
      if kind and kind not in _NO_FAULT:
        span.set_status(Status(StatusCode.ERROR))
