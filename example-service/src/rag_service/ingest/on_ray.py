"""Read, cut and embed on a Ray cluster: the same steps on many processes; the driver alone writes the index.

Reading and cutting are one stage of a Ray Dataset and embedding is the next, each in actors that load the
model once: on the CPU to cut by its tokenizer, on a GPU each to embed where the cluster has GPUs. The stages
stream: what is cut is embedded while more is read, and blocks wait in Ray's object store.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from rag_service.device import Kind, prepare_cpu
from rag_service.ingest.documents import DocumentRef, DocumentSource, SourceUnusable
from rag_service.ingest.engine import Embedded, Plan, Prepared, Vectors, embed, prepare
from rag_service.ingest.index_writer import stored_vectors
from rag_service.models import Embedder, import_libraries, load_embedder
from rag_service.store import is_missing_table, storage_options, table_name

DOCUMENTS_PER_BLOCK = 32
"""Documents that are read, cut and handed on together."""
CUTTERS_PER_EMBEDDER = 4
CONNECT_SECONDS = 10
SPARE_CPUS = 1
"""Left to Ray Data's own small tasks; without one a cluster that is full of actors stands still."""
_LOCAL_STORE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold what every process of the cluster has to know; each reads its own credentials."""

    source: str
    index_uri: str
    model: str
    kind: Kind
    plan: Plan


class OnRay:
    """Embed on the cluster that this process is connected to, in `workers` processes."""

    def __init__(self, job: Job, *, workers: int, cutters: int) -> None:
        self._job, self._workers, self._cutters = job, workers, cutters

    def embed(self, documents: Sequence[DocumentRef], known: Mapping[str, str]) -> Iterator[Embedded]:
        """Embed block by block, in the order in which blocks are done."""
        if not documents:
            return
        from ray.data import ActorPoolStrategy, from_items

        blocks = max(1, min(len(documents) // DOCUMENTS_PER_BLOCK, 1000))
        items = [{"document": ref} for ref in documents]
        arguments = {"job": self._job, "known": dict(known)}
        cut = from_items(items, override_num_blocks=blocks).map_batches(
            _Cutter,
            fn_constructor_kwargs=arguments,
            batch_size=DOCUMENTS_PER_BLOCK,
            compute=ActorPoolStrategy(size=self._cutters),
            num_cpus=1,
        )
        done = cut.map_batches(
            _Embedder,
            fn_constructor_kwargs=arguments,
            batch_size=DOCUMENTS_PER_BLOCK,
            compute=ActorPoolStrategy(size=self._workers),
            num_cpus=1,
            num_gpus=1 if self._job.kind == "cuda" else 0,
        )
        for row in done.iter_rows():
            yield row["embedded"]


class _Cutter:
    def __init__(self, job: Job, known: dict[str, str]) -> None:
        self._job, self._known = job, known
        self._source = DocumentSource(job.source)
        self._measure = _loaded(job.model, "cpu")

    def __call__(self, block: dict[str, Any]) -> dict[str, list[Prepared]]:
        return {
            "prepared": [
                prepare(self._source, ref, self._known, self._job.plan, self._measure)
                for ref in block["document"]
            ]
        }


class _Embedder:
    def __init__(self, job: Job, known: dict[str, str]) -> None:
        self._job, self._known = job, known
        self._embedder = _loaded(job.model, job.kind)

    def __call__(self, block: dict[str, Any]) -> dict[str, list[Embedded]]:
        documents: list[Prepared] = list(block["prepared"])
        untouched = tuple(entry for entry in documents if entry.is_untouched(self._known))
        group = [entry for entry in documents if not entry.is_untouched(self._known)]
        embedded = [embed(group, self._embedder, self._job.plan, self._vectors_of)] if group else []
        return {"embedded": [*embedded, Embedded(untouched=untouched)]}

    def _vectors_of(self, text_hashes: Iterable[str]) -> Vectors:
        import lancedb

        uri = self._job.index_uri
        name = table_name(self._embedder.name, self._embedder.dimension)
        try:
            table = lancedb.connect(uri, storage_options=storage_options(uri)).open_table(name)
        except (ValueError, RuntimeError, OSError) as error:
            # A folder of another machine: what it holds is computed again, and is the same.
            if not is_missing_table(error):
                raise
            return {}
        return stored_vectors(table, text_hashes)


def _loaded(model: str, kind: Kind) -> Embedder:
    import_libraries(model)
    prepare_cpu(1)
    return load_embedder(model, kind)


def _knock(address: str) -> None:
    """Make sure that somebody listens at host:port: Ray tries for minutes. Raises OSError."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


@contextmanager
def cluster(workers: int | None, *, allow_cpu: bool) -> Iterator[tuple[Kind, int, int]]:
    """Join the cluster of RAY_ADDRESS, or start one here that ends with this; give what it can do.

    That is the device, the number of embedders (all GPUs, or half of the CPUs, unless said) and of cutters.
    Raises SourceUnusable without Ray or a GPU. A cluster of our own listens on this machine only, and none
    reports to Ray's makers how it is used.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not os.environ.get("RAY_ADDRESS"):
        # Named for where it is the default. An address would not do: Ray makes the machine's of 127.0.0.1.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ImportError as error:
        raise SourceUnusable("--engine ray needs the extra ray: pip install -r locks/ray.txt.") from error
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        # Ray tells of workers that died on stdout, where the summary belongs.
        redirect_stdout(sys.stderr),
    ):
        _join(ray, workers, folder)
        try:
            resources = ray.cluster_resources()
            cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
            if not gpus and not allow_cpu:
                raise SourceUnusable("The Ray cluster has no GPU: add a node with one or set ALLOW_CPU=1.")
            embedders = workers or gpus or max(1, (cpus - SPARE_CPUS) // 2)
            cutters = min(CUTTERS_PER_EMBEDDER * embedders, cpus - SPARE_CPUS - embedders)
            if (gpus and embedders > gpus) or cutters < 1:
                raise SourceUnusable(
                    f"--workers: the Ray cluster has {cpus} CPUs and {gpus} GPUs, too few for {embedders}."
                )
            yield "cuda" if gpus else "cpu", embedders, cutters
        finally:
            ray.shutdown()


def _join(ray: Any, workers: int | None, folder: str) -> None:
    from ray.data import DataContext

    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address := os.environ.get("RAY_ADDRESS"):
        try:
            _knock(address)
            ray.init(address, **quiet)
        except (OSError, ValueError, OverflowError, RuntimeError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise SourceUnusable(f"RAY_ADDRESS: no Ray cluster answers at {address}: {said}") from error
    else:
        here = len(os.sched_getaffinity(0))
        ray.init(
            "local",
            # A CPU of Ray's is a place for a process: a cutter beside each embedder also where cores are few.
            num_cpus=2 * (workers or max(1, here // 2)) + SPARE_CPUS,
            object_store_memory=_LOCAL_STORE_BYTES,
            include_dashboard=False,
            _temp_dir=folder,
            **quiet,
        )
    DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
