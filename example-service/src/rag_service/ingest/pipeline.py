"""Bring the index in line with the documents: read and write beside the embedding, never in its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from rag_service.ingest.documents import DocumentRef, DocumentSource
from rag_service.ingest.engine import Embedded, Engine, InProcess, Plan, is_full
from rag_service.ingest.index_writer import EmbeddedDocument, IndexWriter
from rag_service.models import Embedder

MOST_ROUNDS = 20
"""How often a source that changes while it is read is gone through again before the run ends."""


@dataclass(slots=True, kw_only=True)
class Summary:
    """Count what an ingest did; written as JSON at its end."""

    source: str
    documents: int = 0
    unchanged: int = 0
    written: int = 0
    deleted: int = 0
    empty: int = 0
    repaired: int = 0
    rounds: int = 1
    passages_embedded: int = 0
    passages_reused: int = 0
    passages_total: int = 0
    version: int = 0
    seconds: float = 0.0
    embedding_seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    """Those of the failed that the storage did not give."""


def ingest(
    source: DocumentSource,
    writer: IndexWriter,
    embedder: Embedder,
    *,
    plan: Plan,
    on_progress: Callable[[int, int], None],
    documents: Sequence[DocumentRef],
    engine: Engine | None = None,
) -> Summary:
    """Embed what is new or changed, delete what vanished, publish; a failed document keeps its old passages.

    Every commit holds whole documents, so a run that was killed is continued by the next one; the service
    sees none of it before the end.
    """
    began = time.monotonic()
    summary = Summary(source=source.location, documents=len(documents))
    known = writer.known_documents()
    engine = engine or InProcess(source, embedder, plan, writer.vectors_of)
    done = 0
    with ThreadPoolExecutor(1, "write") as committer:
        pending: Future[None] | None = None
        group: list[EmbeddedDocument] = []
        for embedded in engine.embed(documents, known):
            done += _count(summary, embedded)
            group += embedded.documents
            if is_full(group):
                pending = _commit(committer, pending, writer, group)
                group = []
            on_progress(done, summary.passages_embedded + summary.passages_reused)
        if group:
            pending = _commit(committer, pending, writer, group)
        if pending is not None:
            pending.result()
    vanished = sorted(set(known) - {document.name for document in documents})
    writer.delete(vanished)
    summary.deleted = len(vanished)
    summary.version = writer.publish()
    summary.passages_total = writer.count()
    summary.seconds = round(time.monotonic() - began, 3)
    summary.embedding_seconds = round(summary.embedding_seconds, 3)
    return summary


def settle(
    source: DocumentSource,
    writer: IndexWriter,
    embedder: Embedder,
    *,
    plan: Plan,
    on_progress: Callable[[int, int], None],
    documents: Sequence[DocumentRef],
    engine: Engine | None = None,
) -> Summary:
    """Ingest until the source is as it was listed: what came meanwhile must not wait for another run.

    A source that is empty all of a sudden is left to the next run, which refuses it or is told to accept it.
    """
    repaired = writer.repair()
    once = partial(ingest, source, writer, embedder, plan=plan, on_progress=on_progress, engine=engine)
    parts = [once(documents=documents)]
    while len(parts) < MOST_ROUNDS and (listed := source.list()) and listed != list(documents):
        documents = listed
        parts.append(once(documents=documents))
    return replace(
        parts[-1],
        repaired=repaired,
        rounds=len(parts),
        **{name: sum(getattr(part, name) for part in parts) for name in _SUMMED},
        **{name: round(sum(getattr(part, name) for part in parts), 3) for name in _SECONDS},
    )


_SUMMED = ("written", "deleted", "passages_embedded", "passages_reused")
_SECONDS = ("seconds", "embedding_seconds")


def _count(summary: Summary, embedded: Embedded) -> int:
    """Count into the summary what became of some documents; return how many."""
    passages = sum(len(document.chunks) for document in embedded.documents)
    summary.embedding_seconds += embedded.seconds
    summary.passages_embedded += embedded.passages
    summary.passages_reused += passages - embedded.passages
    summary.written += sum(1 for document in embedded.documents if document.chunks)
    summary.empty += sum(1 for document in embedded.documents if not document.chunks)
    for prepared in embedded.untouched:
        if prepared.failure is not None:
            summary.failed[prepared.name] = prepared.failure
            summary.unread += [prepared.name] if prepared.unread else []
        elif prepared.unchanged:
            summary.unchanged += 1
        else:
            summary.empty += 1
    return len(embedded.documents) + len(embedded.untouched)


def _commit(
    pool: ThreadPoolExecutor,
    before: Future[None] | None,
    writer: IndexWriter,
    documents: list[EmbeddedDocument],
) -> Future[None] | None:
    """Write on the pool; at most one commit is under way, and its failure ends the run."""
    if before is not None:
        before.result()
    return pool.submit(writer.replace, documents) if documents else None
