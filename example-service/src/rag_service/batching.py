"""Gather single requests into batches for the device: bounded, cancellable, and safe from one bad input.

A GPU needs about the same time for one text as for thirty-two. A batch leaves when it is full or when its
oldest text has waited `max_wait` seconds, and while one batch computes the next one gathers. Every text of a
batch is padded to the longest one and computed at that length, so texts of like length share a batch.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from rag_service.device import DeviceThread, Fault, fault_of, free_cached_memory
from rag_service.problems import ComputeFailed, NotReady, OutOfMemory, Problem, QueueFull

T = TypeVar("T")
R = TypeVar("R")

_DELIVERED_AT_ONCE = 4
STRETCH, SHORT = 2, 16
"""No text is padded to more than twice its tokens; texts of up to 16 cost alike."""
LOOK_AHEAD = 8
"""Batches' worth of waiting texts among which the next batch is chosen."""


def chosen(tokens: Sequence[int], *, most: int, budget: int) -> list[int]:
    """Choose, by place in the queue, who computes together: the oldest, and those nearest to it in length.

    A batch costs its longest text times their number; `most` texts and `budget` padded tokens are its limits.
    The oldest is always in it, so nobody is passed over for ever.
    """
    taken: list[int] = []
    shortest = longest = tokens[0]
    for place in sorted(range(len(tokens)), key=lambda place: abs(tokens[place] - tokens[0])):
        least, largest = min(shortest, tokens[place]), max(longest, tokens[place])
        fits = largest * (len(taken) + 1) <= budget and largest <= STRETCH * max(least, SHORT)
        if fits or not taken:
            taken.append(place)
            shortest, longest = least, largest
        if len(taken) == most:
            break
    return sorted(taken)


class Observer(Protocol):
    """Watch a batcher: metrics, and the one error after which the process must be replaced."""

    def batch(self, name: str, *, size: int, waited: float, computed: float) -> None:
        """Note a batch: its size, the seconds its oldest text waited, the seconds it computed."""

    def out_of_memory(self, name: str, *, size: int) -> None:
        """Note that a batch of this size did not fit."""

    def device_lost(self, error: BaseException) -> None:
        """Note that the device is lost to this process."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[T, R]):
    item: T
    tokens: int
    arrived: float
    future: asyncio.Future[R]


class Batcher(Generic[T, R]):
    """Hand items to `compute` in batches on the device thread.

    `compute` takes a sequence and returns as many results in the same order; `tokens` says how long an item
    is. A batch that does not fit the memory is halved until it does; an item that fails alone fails alone.
    """

    def __init__(
        self,
        name: str,
        compute: Callable[[Sequence[T]], Sequence[R]],
        *,
        device: DeviceThread,
        observer: Observer,
        max_batch: int,
        max_wait: float,
        max_queue: int,
        max_tokens: int = sys.maxsize,
        tokens: Callable[[T], int] = lambda _item: 1,
    ) -> None:
        self.name = name
        self._compute = compute
        self._device = device
        self._observer = observer
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._max_queue = max_queue
        self._max_tokens = max_tokens
        self._tokens = tokens
        self._waiting: deque[_Entry[T, R]] = deque()
        self._computing = 0
        self._seconds_per_item = 0.0
        self._arrival = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self._lost: BaseException | None = None

    @property
    def depth(self) -> int:
        """Count the items that wait or compute."""
        return len(self._waiting) + self._computing

    def start(self) -> None:
        """Begin to serve; needs a running event loop."""
        self._worker = asyncio.create_task(self._work(), name=f"batcher-{self.name}")

    async def close(self) -> None:
        """Stop serving; whoever still waits is told that the service ends."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, *self._deliveries, return_exceptions=True)
        while self._waiting:
            self._fail(self._waiting.popleft(), NotReady("The service is shutting down.", retry_after=1))

    async def submit(self, items: Sequence[T]) -> list[R]:
        """Compute all items, waiting for their turn; cancelling the caller takes them out of the queue.

        Raises QueueFull (429) when they would not fit the queue, OutOfMemory (503) or ComputeFailed (500)
        for an item that failed alone, NotReady (503) once the device is lost.
        """
        if self._lost is not None:
            raise NotReady(f"The GPU is lost to this process: {self._lost}", retry_after=5)
        self._forget_cancelled()
        if self._waiting and len(self._waiting) + len(items) > self._max_queue:
            seconds = self._retry_after()
            raise QueueFull(
                f"{len(self._waiting)} texts wait for the device already. Retry in {seconds} s.",
                retry_after=seconds,
            )
        loop = asyncio.get_running_loop()
        now = loop.time()
        entries = [_Entry[T, R](item, self._tokens(item), now, loop.create_future()) for item in items]
        self._waiting.extend(entries)
        self._arrival.set()
        try:
            # One failed item fails its request at once; the rest of it must not compute for nobody.
            return list(await asyncio.gather(*(entry.future for entry in entries)))
        finally:
            for entry in entries:
                if not entry.future.done():
                    entry.future.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            self._computing = len(batch)
            started = loop.time()
            items = [entry.item for entry in batch]
            try:
                outcomes = await asyncio.wrap_future(self._device.submit(partial(self._outcomes, items)))
            except asyncio.CancelledError:
                for entry in batch:
                    self._fail(entry, NotReady("The service is shutting down.", retry_after=1))
                raise
            finally:
                self._computing = 0
            seconds = loop.time() - started
            self._observer.batch(
                self.name, size=len(batch), waited=started - batch[0].arrived, computed=seconds
            )
            pace = seconds / len(batch)
            self._seconds_per_item += (pace - self._seconds_per_item) * (
                0.2 if self._seconds_per_item else 1.0
            )
            # A task of its own: the device begins with the next batch while these answers are written.
            delivery = asyncio.create_task(self._deliver(batch, outcomes))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(self, batch: list[_Entry[T, R]], outcomes: list[R | BaseException]) -> None:
        """Hand the outcomes over a few at a time: thirty-two answers at once would keep /health waiting."""
        for place, (entry, outcome) in enumerate(zip(batch, outcomes, strict=True)):
            if place % _DELIVERED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if isinstance(outcome, BaseException):
                self._fail(entry, outcome)
            elif not entry.future.done():
                entry.future.set_result(outcome)

    async def _next_batch(self) -> list[_Entry[T, R]]:
        loop = asyncio.get_running_loop()
        while True:
            self._forget_cancelled()
            self._arrival.clear()
            if not self._waiting:
                await self._arrival.wait()
                continue
            candidates = list(islice(self._waiting, LOOK_AHEAD * self._max_batch))
            places = chosen(
                [entry.tokens for entry in candidates], most=self._max_batch, budget=self._max_tokens
            )
            full = len(places) == self._max_batch or len(places) < len(candidates)
            left = candidates[0].arrived + self._max_wait - loop.time()
            if full or left <= 0:
                batch = [candidates[place] for place in places]
                for entry in batch:
                    self._waiting.remove(entry)
                return batch
            timer = loop.call_later(left, self._arrival.set)
            await self._arrival.wait()
            timer.cancel()

    def _forget_cancelled(self) -> None:
        if any(entry.future.done() for entry in self._waiting):
            self._waiting = deque(entry for entry in self._waiting if not entry.future.done())

    def _outcomes(self, items: Sequence[T]) -> list[R | BaseException]:
        """Compute on the device thread; an exception takes the place of the result it prevented."""
        if self._lost is not None:
            return [self._translated(self._lost)] * len(items)
        try:
            results: list[R | BaseException] = list(self._compute(items))
        except Exception as error:  # noqa: BLE001 - whatever a model raises must not end the process
            if isinstance(error, Problem):
                return [error] * len(items)
            fault = fault_of(error)
            if fault is Fault.STICKY:
                self._lost = error
                self._observer.device_lost(error)
                return [self._translated(error)] * len(items)
            if fault is Fault.OUT_OF_MEMORY:
                self._observer.out_of_memory(self.name, size=len(items))
            if len(items) == 1:
                return [self._translated(error)]
        else:
            return results
        # Outside the handler: the traceback holds the failed batch's tensors.
        free_cached_memory()
        half = (len(items) + 1) // 2
        return self._outcomes(items[:half]) + self._outcomes(items[half:])

    def _translated(self, error: BaseException) -> BaseException:
        match fault_of(error):
            case Fault.OUT_OF_MEMORY:
                return OutOfMemory("This request does not fit the device's memory.", retry_after=1)
            case Fault.STICKY:
                return NotReady(f"The GPU is lost to this process: {error}", retry_after=5)
            case _:
                return ComputeFailed(f"The model could not process this input: {type(error).__name__}.")

    def _retry_after(self) -> int:
        return min(60, max(1, math.ceil(self.depth * self._seconds_per_item)))

    @staticmethod
    def _fail(entry: _Entry[Any, Any], error: BaseException) -> None:
        if not entry.future.done():
            entry.future.set_exception(error)
