"""Count and time what an operator needs to see, in the Prometheus text format."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rag_service.cloudwatch import METRIC, InFlight
from rag_service.device import gpu_memory
from rag_service.gpu import Gpus

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Own the registry of one process; also the observer of its batchers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "rag_request_seconds",
            "Time from the request's headers to the end of its answer",
            ("route", "status"),
            buckets=_FAST,
            registry=self.registry,
        )
        self.registry.register(Gpus())
        self.in_flight = InFlight(time.monotonic())
        Gauge(METRIC, "Requests being answered, health checks left out", registry=self.registry).set_function(
            lambda: self.in_flight.count
        )
        self._sizes = Histogram(
            "rag_batch_size", "Texts in a batch", ("queue",), buckets=_SIZES, registry=self.registry
        )
        self._waits = Histogram(
            "rag_queue_wait_seconds",
            "Time that the oldest text of a batch waited",
            ("queue",),
            buckets=_FAST,
            registry=self.registry,
        )
        self._computations = Histogram(
            "rag_batch_compute_seconds",
            "Time that a batch took on the device",
            ("queue",),
            buckets=_FAST,
            registry=self.registry,
        )
        self._oom = Counter(
            "rag_out_of_memory",
            "Batches that did not fit the device's memory",
            ("queue",),
            registry=self.registry,
        )
        self.generations = Counter(
            "rag_generations", "Answers by how they came to be", ("outcome",), registry=self.registry
        )
        self.load_seconds = Gauge("rag_load_seconds", "Time from start to ready", registry=self.registry)
        self._device_lost: Callable[[BaseException], None] = lambda _error: None

    def batch(self, name: str, *, size: int, waited: float, computed: float) -> None:
        """Note a batch that was computed."""
        self._sizes.labels(name).observe(size)
        self._waits.labels(name).observe(waited)
        self._computations.labels(name).observe(computed)

    def out_of_memory(self, name: str, *, size: int) -> None:  # noqa: ARG002 - the observer's signature
        """Count a batch that did not fit."""
        self._oom.labels(name).inc()

    def device_lost(self, error: BaseException) -> None:
        """Pass on that the device is lost."""
        self._device_lost(error)

    def on_device_lost(self, listener: Callable[[BaseException], None]) -> None:
        """Name who is told when the device is lost."""
        self._device_lost = listener

    def watch(
        self, gauges: Callable[[], Mapping[str, float]], queues: Callable[[], Mapping[str, int]]
    ) -> None:
        """Read these values at each scrape: gauges by metric name, depths by queue name."""
        self.registry.register(_Scrape(gauges, queues))


class _Scrape(Collector):
    def __init__(
        self, gauges: Callable[[], Mapping[str, float]], queues: Callable[[], Mapping[str, int]]
    ) -> None:
        self._gauges = gauges
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("rag_queue_depth", "Texts that wait or compute", labels=["queue"])
        for name, value in self._queues().items():
            depth.add_metric([name], value)
        yield depth
        memory = GaugeMetricFamily("rag_gpu_memory_bytes", "GPU memory as PyTorch sees it", labels=["kind"])
        for kind, size in gpu_memory().items():
            memory.add_metric([kind], size)
        yield memory
        for name, number in self._gauges().items():
            yield GaugeMetricFamily(name, name.removeprefix("rag_").replace("_", " "), value=number)
