"""Trace requests with OpenTelemetry: off, and not even imported, unless an endpoint is set.

A request is a span with the spans retrieval, rerank and generation below it. What computes on the device
computes for several requests at once: a batch is a span of its own trace, linked to those that it was for.
No question, no passage and no key is in any span.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

T = TypeVar("T", bound="Asked")
R = TypeVar("R")
SHUTDOWN_SECONDS = 3


class Asked(Protocol):
    """Carry the span that an item of a batch is computed for."""

    @property
    def asker(self) -> Any:
        """Give the span, None where nothing is traced."""


class Tracing:
    """Trace nothing."""

    @contextmanager
    def request(self, method: str, headers: Mapping[bytes, bytes]) -> Iterator[Any]:  # noqa: ARG002
        """Follow a request; who sent `traceparent` finds it in its own trace."""
        yield None

    @contextmanager
    def span(self, name: str) -> Iterator[Any]:  # noqa: ARG002 - for those who trace
        """Follow one step of the request at hand."""
        yield None

    def batches(self, name: str, compute: Callable[[Sequence[T]], R]) -> Callable[[Sequence[T]], R]:  # noqa: ARG002
        """Make `compute` follow its batches."""
        return compute

    def trace_id(self, span: Any) -> str | None:  # noqa: ARG002 - for those who trace
        """Name the trace of a span."""
        return None

    def finish(self, span: Any, *, route: str, status: int) -> None:
        """Note how a request was answered."""

    def close(self) -> None:
        """Send what has not been sent."""


class OpenTelemetry(Tracing):
    """Trace through the OpenTelemetry SDK, set up by its own environment variables (OTEL_…)."""

    def __init__(self, service_name: str) -> None:
        from opentelemetry import context, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service_name}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("rag_service")
        self._propagator = TraceContextTextMapPropagator()
        self._trace, self._context = trace, context

    @contextmanager
    def request(self, method: str, headers: Mapping[bytes, bytes]) -> Iterator[Any]:
        """Follow a request as a server's span."""
        sent = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        span = self._tracer.start_span(
            method,
            # Nothing is around it: a request begins a trace, or goes on with its client's.
            context=self._propagator.extract(sent, context=self._context.Context()),
            kind=self._trace.SpanKind.SERVER,
            attributes={"http.request.method": method},
        )
        with self._trace.use_span(span, end_on_exit=True, record_exception=False):
            yield span

    @contextmanager
    def span(self, name: str) -> Iterator[Any]:
        """Follow one step. It is nobody's current span: a stream may end in another task than it began."""
        span = self._tracer.start_span(name)
        try:
            yield span
        except Exception as error:
            span.set_status(self._trace.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.end()

    def batches(self, name: str, compute: Callable[[Sequence[T]], R]) -> Callable[[Sequence[T]], R]:
        """Make each batch a span with links to the steps that it was computed for."""

        def followed(items: Sequence[T]) -> R:
            askers = {id(item.asker): item.asker for item in items if item.asker is not None}
            links = [self._trace.Link(asker.get_span_context()) for asker in askers.values()]
            # Begun on the device's thread, which has no span of its own.
            span = self._tracer.start_span(
                f"batch {name}", links=links, attributes={"rag.batch.size": len(items)}
            )
            with self._trace.use_span(span, end_on_exit=True, record_exception=False):
                return compute(items)

        return followed

    def trace_id(self, span: Any) -> str | None:
        """Give the trace's id in hex."""
        return format(span.get_span_context().trace_id, "032x")

    def finish(self, span: Any, *, route: str, status: int) -> None:
        """Note route and status; 5xx is an error."""
        span.update_name(
            f"{span.attributes['http.request.method']} {route}" if span.is_recording() else route
        )
        span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)

    def close(self) -> None:
        """Send what is left, but end in time even if nobody takes it."""
        self._processor.force_flush(SHUTDOWN_SECONDS * 1000)
        self._provider.shutdown()


def tracing_of(service_name: str) -> Tracing:
    """Trace where an endpoint is set: OTEL_EXPORTER_OTLP_ENDPOINT, or that of traces alone."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not any(os.environ.get(name) for name in names):
        return Tracing()
    return OpenTelemetry(service_name or "rag-service")
