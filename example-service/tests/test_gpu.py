"""What only a real GPU can show; conftest.py leaves this file out where there is none."""

from __future__ import annotations

import httpx
import pytest
import torch

from conftest import tiny_settings
from running import ServiceProcess, running


def test_on_a_gpu_every_check_passes_without_a_waiver(index_uri: str) -> None:
    with running(tiny_settings(index_uri, allow_cpu=False)) as service:
        health = service.client.get("/health").json()
        metrics = service.metrics()
    assert health["waived"] == ["index_available"] or health["waived"] == []
    assert all(health["checks"].values())
    assert 'rag_gpu_memory_bytes{kind="allocated"}' in metrics


def test_half_precision_finds_what_single_precision_finds() -> None:
    from rag_service.models import load_embedder

    texts = ["the circuit breaker rolls back", "health checks", "grace period of a service"]
    half, single = (load_embedder("minilm", device).encode(texts) for device in ("cuda", "cpu"))
    assert (half * single).sum(axis=1) == pytest.approx([1, 1, 1], abs=2e-3)


def test_a_batch_over_the_gpus_memory_is_halved_until_it_fits() -> None:
    import asyncio

    from rag_service.batching import Batcher
    from rag_service.device import DeviceThread
    from rag_service.metrics import Metrics

    total = torch.cuda.get_device_properties(0).total_memory

    def takes_a_third_each(items: list[int]) -> list[int]:
        held = torch.empty(len(items) * total // 3, dtype=torch.uint8, device="cuda")
        return [int(held.numel() > 0)] * len(items)

    async def scenario() -> list[int]:
        batcher = Batcher(
            "gpu",
            takes_a_third_each,
            device=DeviceThread(),
            observer=Metrics(),
            max_batch=8,
            max_wait=0.01,
            max_queue=8,
        )
        batcher.start()
        try:
            return await batcher.submit(list(range(8)))
        finally:
            await batcher.close()

    assert asyncio.run(scenario()) == [1] * 8


def test_the_process_is_ready_on_the_gpu(index_uri: str) -> None:
    task = ServiceProcess.start(INDEX_URI=index_uri, EMBEDDING_MODEL="minilm", ALLOW_CPU="0")
    try:
        url = task.wait_ready()
        assert httpx.get(f"{url}/health").json()["checks"]["gpu_memory_allocated"] is True
    finally:
        task.terminate()
        assert task.end() == 0
