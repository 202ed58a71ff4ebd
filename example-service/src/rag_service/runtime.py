"""Hold everything that lives as long as the process: models, queues, index, and how far loading has come."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from rag_service.batching import Batcher
from rag_service.cloudwatch import publish
from rag_service.device import (
    DeviceThread,
    Kind,
    choose_device,
    gpu_memory,
    prepare_cpu,
    step_behind_the_event_loop,
    touch,
)
from rag_service.generator import Generator
from rag_service.live_index import IndexVersion, LiveIndex
from rag_service.metrics import Metrics
from rag_service.models import Embedder, Reranker, import_libraries, load_embedder, load_reranker, warm_up
from rag_service.problems import NotReady
from rag_service.readiness import Health, Observation, Step, health_of, is_alive, progress_of
from rag_service.retrieval import CANDIDATES_PER_RESULT, DeviceRerank, DeviceSearch, Retriever, floor_of
from rag_service.settings import Settings
from rag_service.tracing import tracing_of

log = logging.getLogger("rag_service")
T = TypeVar("T")
Loader = Callable[[str, str], Embedder]
"""Load the embedding model of this name on this device."""


class Runtime:
    """Load in the background, serve when loaded, and know at any moment how things stand.

    Loading runs on the device thread: the port is open and /health answers 503 with the current step from the
    first second (a server that loads before it listens refuses connections for minutes).
    """

    def __init__(self, settings: Settings, *, loader: Loader = load_embedder) -> None:
        self.settings = settings
        self._loader = loader
        self.metrics = Metrics()
        self.tracing = tracing_of(settings.service_name)
        self.metrics.on_device_lost(self._lose_device)
        self.metrics.watch(self._gauges, self._depths)
        self.draining = False
        self.load_failed = asyncio.Event()
        self._step = Step.LIBRARIES
        self._began = time.monotonic()
        self._load_error: str | None = None
        self._device_error: str | None = None
        self._kind: Kind | None = None
        self._models_loaded = False
        self._device = DeviceThread()
        self._batchers: list[Batcher[object, object]] = []
        self._retriever: Retriever | None = None
        self._index: LiveIndex | None = None
        self._background: asyncio.Task[None] | None = None
        self._beside: list[asyncio.Task[None]] = []
        self.generator = Generator(settings, self.metrics, self.tracing) if settings.has_generator else None

    async def start(self) -> None:
        """Begin to load; returns at once."""
        self._began = time.monotonic()
        self._background = asyncio.create_task(self._load_and_follow(), name="load")

    async def close(self) -> None:
        """Stop the queues, the generator's connections and the device thread."""
        # The first begins the others: only when it has ended are they all there.
        for tasks in ([self._background], self._beside):
            for task in tasks:
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
        for batcher in self._batchers:
            await batcher.close()
        if self.generator is not None:
            await self.generator.close()
        await asyncio.to_thread(self.tracing.close)
        if self._index is not None:
            self._index.close()
        if not await asyncio.to_thread(self._device.close, timeout=1.0):
            log.info("a computation was still running; the process ends without it")

    def drain(self) -> None:
        """Turn not ready at once; requests are still answered."""
        self.draining = True

    @property
    def observation(self) -> Observation:
        """Observe how things stand now."""
        settings = self.settings
        current = self._index.current if self._index is not None else None
        return Observation(
            step=self._step,
            seconds=time.monotonic() - self._began,
            gpu_available=self._kind == "cuda",
            gpu_memory_allocated=gpu_memory().get("allocated", 0) > 0,
            cpu_allowed=settings.allow_cpu,
            models_loaded=self._models_loaded,
            passages=current.passages if current is not None else 0,
            index_required=settings.require_index,
            draining=self.draining,
            load_error=self._load_error,
            device_error=self._device_error,
        )

    @property
    def health(self) -> Health:
        """Judge whether traffic should come here."""
        return health_of(self.observation)

    @property
    def alive(self) -> bool:
        """Judge whether this process is worth keeping."""
        return is_alive(self.observation)

    @property
    def retrievable(self) -> bool:
        """Tell whether requests can be answered at all, draining or not."""
        return self._retriever is not None and self._step is Step.READY and self._device_error is None

    @property
    def index_version(self) -> int | None:
        """Name the version of the index that is served, None without one."""
        return self._index.current.version if self._index is not None and self._index.current else None

    @property
    def retriever(self) -> Retriever:
        """Give the retriever, or raise NotReady (503) with the reason.

        Draining is no reason: whoever still sends has not seen /health turn 503 yet, and must not fail.
        """
        if self._retriever is not None and self.retrievable:
            return self._retriever
        health = health_of(replace(self.observation, draining=False))
        raise NotReady(" ".join(health.reasons) or "The service is not ready.", retry_after=5)

    async def _load_and_follow(self) -> None:
        settings = self.settings
        try:
            await self._on_device(Step.LIBRARIES, self._import_all)
            self._kind = await self._on_device(
                Step.DEVICE, lambda: choose_device(settings.device, allow_cpu=settings.allow_cpu)
            )
            if self._kind is None:
                log.error("no GPU is visible and ALLOW_CPU is not set: this task will not become ready")
                return
            kind = self._kind
            if kind == "cpu":
                await self._on_device(Step.DEVICE, step_behind_the_event_loop)
            log.info("loading %s on %s", settings.embedding_model, kind)
            embedder = await self._on_device(
                Step.EMBEDDING_MODEL, lambda: self._loader(settings.embedding_model, kind)
            )
            reranker = await self._on_device(
                Step.RERANKER, lambda: load_reranker(settings.reranker_model, kind)
            )
            self._models_loaded = True
            await self._on_device(
                Step.WARM_UP, lambda: warm_up(embedder, reranker, max_batch=settings.max_batch)
            )
            self._step = Step.INDEX
            self._index = self._open_index(embedder, kind)
            await self._follow_once(self._index)
            self._retriever = self._make_retriever(self._index, embedder, reranker)
        except Exception as error:
            # The last line of a failed task's log is what a deployment shows as its cause.
            log.exception("loading failed")
            self._load_error = f"{type(error).__name__}: {error}"
            self.load_failed.set()
            return
        # The libraries' million objects live as long as the process: no collection has to look at them again.
        gc.collect()
        gc.freeze()
        self._step = Step.READY
        seconds = time.monotonic() - self._began
        self.metrics.load_seconds.set(seconds)
        log.info("models loaded in %.1f s, ready", seconds)
        # Not before: a task that loads answers nothing, and its zeros would halve what the others have to do.
        self._beside = [
            asyncio.create_task(publish(settings, self.metrics.in_flight), name="publish"),
            asyncio.create_task(self._touch_device(embedder), name="touch"),
        ]
        while True:
            await asyncio.sleep(settings.index_poll_seconds)
            await self._follow_once(self._index)

    async def _touch_device(self, embedder: Embedder) -> None:
        """Find a lost GPU without traffic; requests would fail on it, and nobody else would see it."""
        while self._device_error is None:
            await asyncio.sleep(self.settings.device_check_seconds)
            error = await touch(
                self._device,
                lambda: embedder.encode(["Is the device there?"]),
                # Longer than that no request waits.
                patience=self.settings.request_timeout_seconds,
            )
            if error is not None and self._device_error is None:
                self._lose_device(error)

    def _import_all(self) -> None:
        import_libraries(self.settings.embedding_model, self.settings.reranker_model)
        prepare_cpu(self.settings.torch_threads)
        import lancedb  # noqa: F401

    async def _on_device(self, step: Step, job: Callable[[], T]) -> T:
        self._step = step
        return await asyncio.wrap_future(self._device.submit(job))

    def _open_index(self, embedder: Embedder, kind: Kind) -> LiveIndex:
        return LiveIndex(
            self.settings.index_uri,
            model=embedder.name,
            dimension=embedder.dimension,
            resident_limit=self.settings.resident_passages,
            device=kind,
        )

    async def _follow_once(self, index: LiveIndex) -> None:
        """Change to the live version if it moved; when the storage fails, go on with the one at hand."""
        try:
            opened = await index.newest()
            if opened is None:
                return
            index.current = await self._with_vectors(index, opened)
        except Exception as error:  # noqa: BLE001 - a storage outage must not stop answers from memory
            log.warning("the index at %s cannot be read: %s", self.settings.index_uri, error)
        else:
            log.info("serving version %d of the index, %d passages", opened.version, opened.passages)

    async def _with_vectors(self, index: LiveIndex, opened: IndexVersion) -> IndexVersion:
        rows = await index.read_vectors(opened)
        if rows is None:
            return opened
        try:
            resident = await asyncio.wrap_future(self._device.submit(lambda: index.place(rows)))
        except (MemoryError, RuntimeError) as error:
            log.warning("the vectors do not fit the device, LanceDB searches instead: %s", error)
            return opened
        return replace(opened, resident=resident)

    def _make_retriever(self, index: LiveIndex, embedder: Embedder, reranker: Reranker | None) -> Retriever:
        searches = self._batcher("search", DeviceSearch(embedder, index), self.settings.max_queue)
        pairs = None
        if reranker is not None:
            # A request of the default size brings this many pairs: who was let in is not refused half-way.
            pairs_per_request = 5 * CANDIDATES_PER_RESULT
            pairs = self._batcher(
                "rerank", DeviceRerank(reranker), self.settings.max_queue * pairs_per_request
            )
        floor = floor_of(embedder.name, self.settings.relevance_floor)
        return Retriever(index, searches, reranker, pairs, self.tracing, floor=floor)

    def _batcher(self, name: str, job: DeviceSearch | DeviceRerank, max_queue: int) -> Batcher:  # type: ignore[type-arg]
        settings = self.settings
        batcher: Batcher = Batcher(  # type: ignore[type-arg]
            name,
            self.tracing.batches(name, job),
            device=self._device,
            observer=self.metrics,
            max_batch=settings.max_batch,
            max_wait=settings.max_wait_ms / 1000,
            max_queue=max_queue,
            max_tokens=settings.max_batch_tokens,
            tokens=job.tokens,
        )
        batcher.start()
        self._batchers.append(batcher)
        return batcher

    def _lose_device(self, error: BaseException) -> None:
        self._device_error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        log.error("the GPU is lost to this process, it must be replaced: %s", error)

    def _depths(self) -> dict[str, int]:
        return {batcher.name: batcher.depth for batcher in self._batchers}

    def _gauges(self) -> dict[str, float]:
        seen = self.observation
        return {
            "rag_ready": float(self.health.ready),
            "rag_alive": float(self.alive),
            "rag_load_progress": progress_of(seen),
            "rag_index_version": float(self.index_version or 0),
            "rag_index_passages": float(seen.passages),
        }
