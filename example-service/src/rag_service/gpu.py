"""Read the GPUs through the driver's library (NVML): what PyTorch does not see, such as how busy they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_READ: dict[str, tuple[str, Callable[[Any, Any], float]]] = {
    "rag_gpu_busy_ratio": (
        "Share of the last moment in which a kernel ran",
        lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    ),
    "rag_gpu_memory_used_bytes": (
        "Memory in use, by whomever",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    ),
    "rag_gpu_memory_total_bytes": (
        "Memory of the GPU",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    ),
    "rag_gpu_temperature_celsius": (
        "Temperature",
        lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    ),
    "rag_gpu_power_watts": ("Power drawn", lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000),
}


class Gpus(Collector):
    """Give a metric for each GPU that the container sees; what cannot be read is absent, never zero.

    The library comes from the host's driver (NVIDIA_DRIVER_CAPABILITIES=utility) and is loaded at the first
    scrape, on the thread of the metrics.
    """

    def collect(self) -> Iterator[Metric]:
        """Read all GPUs once."""
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return
        try:
            gpus = self._found(pynvml)
            for name, (text, read) in _READ.items():
                family = GaugeMetricFamily(name, text, labels=["gpu", "uuid"])
                for number, (uuid, gpu) in gpus.items():
                    try:
                        family.add_metric([str(number), uuid], read(pynvml, gpu))
                    except pynvml.NVMLError:
                        continue  # not supported by this GPU, or the GPU is gone
                if family.samples:
                    yield family
        finally:
            pynvml.nvmlShutdown()

    @staticmethod
    def _found(nvml: Any) -> dict[int, tuple[str, Any]]:
        found: dict[int, tuple[str, Any]] = {}
        try:
            for number in range(nvml.nvmlDeviceGetCount()):
                gpu = nvml.nvmlDeviceGetHandleByIndex(number)
                found[number] = (str(nvml.nvmlDeviceGetUUID(gpu)), gpu)
        except nvml.NVMLError:
            return found
        return found
