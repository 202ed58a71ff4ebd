"""The queue before the device: batches, limits, cancellation, and what it does with errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import torch

from rag_service.batching import Batcher, chosen
from rag_service.device import DeviceThread, Fault, fault_of
from rag_service.problems import ComputeFailed, NotReady, OutOfMemory, QueueFull


class Watch:
    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.oom: list[int] = []
        self.lost: list[BaseException] = []

    def batch(self, name: str, *, size: int, waited: float, computed: float) -> None:
        assert waited >= 0
        assert computed >= 0
        self.sizes.append(size)

    def out_of_memory(self, name: str, *, size: int) -> None:
        self.oom.append(size)

    def device_lost(self, error: BaseException) -> None:
        self.lost.append(error)


@asynccontextmanager
async def batcher(
    compute: Callable[[Sequence[Any]], Sequence[Any]], watch: Watch | None = None, **limits: Any
) -> AsyncIterator[Batcher[Any, Any]]:
    device = DeviceThread()
    made = Batcher(
        "test",
        compute,
        device=device,
        observer=watch or Watch(),
        **{"max_batch": 8, "max_wait": 0.01, "max_queue": 100, **limits},
    )
    made.start()
    try:
        yield made
    finally:
        await made.close()
        assert device.close(timeout=5)


def doubled(items: Sequence[int]) -> list[int]:
    return [item * 2 for item in items]


def test_concurrent_requests_share_batches_and_get_their_own_results() -> None:
    async def scenario() -> None:
        watch = Watch()
        async with batcher(doubled, watch) as queue:
            results = await asyncio.gather(*(queue.submit([n, n + 100]) for n in range(20)))
        assert results == [[n * 2, n * 2 + 200] for n in range(20)]
        assert max(watch.sizes) == 8
        assert len(watch.sizes) == 5

    asyncio.run(scenario())


CHOICES = {
    "all of like length, up to the number": ([5] * 6, 4, 1000, [0, 1, 2, 3]),
    "padded to the longest it would be over the budget": ([10, 11, 12, 10], 8, 33, [0, 1, 3]),
    "what is longer than the budget computes alone": ([900, 10, 10], 8, 512, [0]),
    "the oldest and those nearest to it": ([10, 200, 11, 190, 10], 8, 1000, [0, 2, 4]),
    "and the long ones when their turn has come": ([200, 11, 190, 10], 8, 1000, [0, 2]),
    "a little padding is fine": ([10, 25, 15, 20], 8, 1000, [0, 1, 2, 3]),
    "nearer ones before older ones": ([10, 30, 29, 12, 11], 3, 1000, [0, 3, 4]),
}


@pytest.mark.parametrize(("tokens", "most", "budget", "places"), CHOICES.values(), ids=CHOICES.keys())
def test_who_computes_together(tokens: list[int], most: int, budget: int, places: list[int]) -> None:
    assert chosen(tokens, most=most, budget=budget) == places


def test_texts_of_like_length_share_a_batch_and_nobody_is_passed_over() -> None:
    async def scenario() -> None:
        gate = Gate()
        batches: list[list[int]] = []

        def compute(items: Sequence[int]) -> list[int]:
            batches.append(list(items))
            return gate(items)

        async with batcher(compute, tokens=lambda item: item, max_tokens=500, max_wait=0) as queue:
            first = asyncio.create_task(queue.submit([1]))
            await asyncio.to_thread(gate.entered.wait)
            rest = asyncio.create_task(queue.submit([8, 200, 9, 210, 8, 220, 7]))
            await asyncio.sleep(0)
            gate.open.set()
            assert await asyncio.gather(first, rest) == [[1], [8, 200, 9, 210, 8, 220, 7]]
        assert batches == [[1], [8, 9, 8, 7], [200, 210], [220]]

    asyncio.run(scenario())


def test_a_lonely_request_waits_no_longer_than_max_wait() -> None:
    async def scenario() -> float:
        async with batcher(doubled, max_wait=0.02) as queue:
            began = asyncio.get_running_loop().time()
            await queue.submit([1])
            return asyncio.get_running_loop().time() - began

    assert 0.015 < asyncio.run(scenario()) < 2


class Gate:
    """A computation that stands still until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.seen: list[Any] = []

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        self.entered.set()
        assert self.open.wait(10)
        self.seen.extend(items)
        return list(items)


def test_a_full_queue_refuses_with_retry_after_and_recovers() -> None:
    async def scenario() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=1, max_queue=2, max_wait=0) as queue:
            first = asyncio.create_task(queue.submit(["computing"]))
            await asyncio.to_thread(gate.entered.wait)
            waiting = asyncio.create_task(queue.submit(["a", "b"]))
            await asyncio.sleep(0)
            with pytest.raises(QueueFull) as refusal:
                await queue.submit(["c"])
            assert refusal.value.status_code == 429
            assert int(refusal.value.headers["Retry-After"]) >= 1
            gate.open.set()
            assert await asyncio.gather(first, waiting) == [["computing"], ["a", "b"]]
            assert await queue.submit(["later"]) == ["later"]

    asyncio.run(scenario())


def test_a_request_larger_than_the_queue_is_served_when_the_queue_is_empty() -> None:
    async def scenario() -> list[int]:
        async with batcher(doubled, max_queue=2) as queue:
            return await queue.submit([1, 2, 3])

    assert asyncio.run(scenario()) == [2, 4, 6]


def test_who_hangs_up_before_the_turn_is_not_computed() -> None:
    async def scenario() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=1, max_wait=0) as queue:
            first = asyncio.create_task(queue.submit(["first"]))
            await asyncio.to_thread(gate.entered.wait)
            gone = asyncio.create_task(queue.submit(["gone"]))
            stays = asyncio.create_task(queue.submit(["stays"]))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            gate.open.set()
            await asyncio.gather(first, stays)
            assert gate.seen == ["first", "stays"]
            assert queue.depth == 0

    asyncio.run(scenario())


def test_out_of_memory_halves_the_batch_until_it_fits() -> None:
    async def scenario() -> None:
        watch = Watch()

        def fits_three(items: Sequence[int]) -> list[int]:
            if len(items) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.50 GiB.")
            return doubled(items)

        async with batcher(fits_three, watch) as queue:
            assert await queue.submit(list(range(8))) == [n * 2 for n in range(8)]
        assert watch.oom == [8, 4, 4][: len(watch.oom)]
        assert watch.oom

    asyncio.run(scenario())


def test_what_does_not_fit_alone_is_503_for_that_request_only() -> None:
    async def scenario() -> None:
        def hates_seven(items: Sequence[int]) -> list[int]:
            if 7 in items:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return doubled(items)

        async with batcher(hates_seven) as queue:
            results = await asyncio.gather(*(queue.submit([n]) for n in range(8)), return_exceptions=True)
            assert results[:7] == [[n * 2] for n in range(7)]
            assert isinstance(results[7], OutOfMemory)
            assert results[7].status_code == 503
            assert await queue.submit([1]) == [2]

    asyncio.run(scenario())


def test_one_poisonous_input_fails_alone() -> None:
    async def scenario() -> None:
        def hates_three(items: Sequence[int]) -> list[int]:
            if 3 in items:
                raise ValueError("secret content of the question")
            return doubled(items)

        async with batcher(hates_three) as queue:
            results = await asyncio.gather(*(queue.submit([n]) for n in range(5)), return_exceptions=True)
            assert isinstance(results[3], ComputeFailed)
            assert "secret" not in results[3].detail
            assert [r for r in results if isinstance(r, list)] == [[0], [2], [4], [8]]

    asyncio.run(scenario())


def test_a_sticky_error_is_reported_once_and_ends_all_work() -> None:
    async def scenario() -> None:
        watch = Watch()
        calls = []

        def breaks(items: Sequence[int]) -> list[int]:
            calls.append(len(items))
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        async with batcher(breaks, watch) as queue:
            for _ in range(3):
                with pytest.raises(NotReady, match="illegal memory access"):
                    await queue.submit([1, 2])
        assert len(watch.lost) == 1
        assert calls == [2], "a corrupt context must not be used again"

    asyncio.run(scenario())


def test_closing_answers_whoever_still_waits() -> None:
    async def scenario() -> None:
        gate = Gate()
        async with batcher(gate, max_batch=1, max_wait=0) as queue:
            tasks = [asyncio.create_task(queue.submit([n])) for n in range(3)]
            await asyncio.to_thread(gate.entered.wait)
            closing = asyncio.create_task(queue.close())
            await asyncio.sleep(0.01)
            gate.open.set()
            await closing
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, NotReady) for result in results)

    asyncio.run(scenario())


FAULTS = {
    "torch's own class": (torch.OutOfMemoryError("anything"), Fault.OUT_OF_MEMORY),
    "an allocation that CUDA refused": (RuntimeError("CUDA error: out of memory"), Fault.OUT_OF_MEMORY),
    "cuBLAS without workspace": (
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        Fault.OUT_OF_MEMORY,
    ),
    "host memory": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"),
        Fault.OUT_OF_MEMORY,
    ),
    "Python's own": (MemoryError(), Fault.OUT_OF_MEMORY),
    "a device-side assert": (RuntimeError("CUDA error: device-side assert triggered"), Fault.STICKY),
    "an illegal access": (
        RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …"),
        Fault.STICKY,
    ),
    "an uncorrectable ECC error": (
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        Fault.STICKY,
    ),
    "a wrong input": (ValueError("text input must be of type `str`"), Fault.INPUT),
    "a wrong shape": (RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"), Fault.INPUT),
}


@pytest.mark.parametrize(("error", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_errors_are_told_apart(error: BaseException, fault: Fault) -> None:
    assert fault_of(error) is fault
