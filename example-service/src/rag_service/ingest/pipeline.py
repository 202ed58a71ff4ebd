"""Bring the index in line with the documents: read and write beside the embedding, never in its way."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from rag_service.device import Fault, fault_of, free_cached_memory
from rag_service.ingest.chunking import CHUNKING, Chunk, Measure, chunks_of
from rag_service.ingest.documents import DocumentRef, DocumentSource
from rag_service.ingest.extraction import ExtractionFailed, extract
from rag_service.ingest.index_writer import EmbeddedDocument, IndexWriter
from rag_service.models import Embedder

READ_AHEAD = 16
COMMIT_PASSAGES = 512
COMMIT_DOCUMENTS = 256
MOST_ROUNDS = 20
"""How often a source that changes while it is read is gone through again before the run ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Hold how to cut and embed; sizes in characters and bytes."""

    characters: int = 900
    overlap: int = 120
    batch: int = 32
    most_bytes: int = 64 * 1024 * 1024


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    name: str
    document_hash: str = ""
    title: str = ""
    chunks: tuple[Chunk, ...] = ()
    unchanged: bool = False
    failure: str | None = None


def ingest(
    source: DocumentSource,
    writer: IndexWriter,
    embedder: Embedder,
    *,
    plan: Plan,
    on_progress: Callable[[int, int], None],
    documents: Sequence[DocumentRef],
) -> Summary:
    """Embed what is new or changed, delete what vanished, publish; a failed document keeps its old passages.

    Every commit holds whole documents, so a run that was killed is continued by the next one; the service
    sees none of it before the end.
    """
    began = time.monotonic()
    summary = Summary(source=source.location, documents=len(documents))
    known = writer.known_documents()
    embedding = _Embedding(embedder, writer, plan, summary)
    done = 0
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as committer:
        pending: Future[None] | None = None
        group: list[_Prepared] = []
        for prepared in _read_ahead(
            reader, documents, lambda ref: _prepare(source, ref, known, plan, embedder)
        ):
            done += 1
            if prepared.failure is not None:
                summary.failed[prepared.name] = prepared.failure
            elif prepared.unchanged:
                summary.unchanged += 1
            elif not prepared.chunks and prepared.name not in known:
                summary.empty += 1  # nothing to write and nothing to remove: no commit
            else:
                group.append(prepared)
            passages = sum(len(entry.chunks) for entry in group)
            if passages >= COMMIT_PASSAGES or len(group) >= COMMIT_DOCUMENTS:
                pending = _commit(committer, pending, writer, embedding.embed(group))
                group = []
            on_progress(done, summary.passages_embedded + summary.passages_reused)
        if group:
            pending = _commit(committer, pending, writer, embedding.embed(group))
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
) -> Summary:
    """Ingest until the source is as it was listed: what came meanwhile must not wait for another run.

    A source that is empty all of a sudden is left to the next run, which refuses it or is told to accept it.
    """
    repaired = writer.repair()
    parts = [ingest(source, writer, embedder, plan=plan, on_progress=on_progress, documents=documents)]
    while len(parts) < MOST_ROUNDS and (listed := source.list()) and listed != list(documents):
        documents = listed
        parts.append(
            ingest(source, writer, embedder, plan=plan, on_progress=on_progress, documents=documents)
        )
    return replace(
        parts[-1],
        repaired=repaired,
        rounds=len(parts),
        **{name: sum(getattr(part, name) for part in parts) for name in _SUMMED},
        **{name: round(sum(getattr(part, name) for part in parts), 3) for name in _SECONDS},
    )


_SUMMED = ("written", "deleted", "passages_embedded", "passages_reused")
_SECONDS = ("seconds", "embedding_seconds")


def _prepare(
    source: DocumentSource, ref: DocumentRef, known: dict[str, str], plan: Plan, measure: Measure
) -> _Prepared:
    if ref.size > plan.most_bytes:
        return _Prepared(name=ref.name, failure=f"It has {ref.size} bytes, the limit is {plan.most_bytes}.")
    try:
        content = source.read(ref)
        cut = f"{CHUNKING} {plan.characters} {plan.overlap} {ref.name}\n".encode("utf-8", "surrogateescape")
        document_hash = hashlib.sha256(cut + content).hexdigest()
        if known.get(ref.name) == document_hash:
            return _Prepared(name=ref.name, unchanged=True)
        extracted = extract(ref.name, content)
    except ExtractionFailed as failure:
        return _Prepared(name=ref.name, failure=str(failure))
    except OSError as error:
        return _Prepared(name=ref.name, failure=f"It cannot be read: {error}")
    chunks = chunks_of(extracted, characters=plan.characters, overlap=plan.overlap, measure=measure)
    return _Prepared(name=ref.name, document_hash=document_hash, title=extracted.title, chunks=tuple(chunks))


def _read_ahead(
    pool: ThreadPoolExecutor, refs: Sequence[DocumentRef], prepare: Callable[[DocumentRef], _Prepared]
) -> Iterator[_Prepared]:
    """Prepare documents in order on the pool, a few ahead of the one that is asked for."""
    rest = iter(refs)
    ahead = [pool.submit(prepare, ref) for ref in islice(rest, READ_AHEAD)]
    while ahead:
        prepared = ahead.pop(0).result()
        ahead.extend(pool.submit(prepare, ref) for ref in islice(rest, 1))
        yield prepared


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


class _Embedding:
    def __init__(self, embedder: Embedder, writer: IndexWriter, plan: Plan, summary: Summary) -> None:
        self._embedder = embedder
        self._writer = writer
        self._plan = plan
        self._summary = summary

    def embed(self, group: Sequence[_Prepared]) -> list[EmbeddedDocument]:
        """Embed the chunks of several documents together; a text that has a vector already keeps it."""
        texts = {chunk.text_hash: chunk.embedded for entry in group for chunk in entry.chunks}
        vectors = self._writer.vectors_of(texts)
        # Texts of like length share a batch: padding is computed as if it were text.
        fresh = sorted((key for key in texts if key not in vectors), key=lambda key: len(texts[key]))
        began = time.monotonic()
        for start in range(0, len(fresh), self._plan.batch):
            keys = fresh[start : start + self._plan.batch]
            for key, vector in zip(keys, self._encode([texts[key] for key in keys]), strict=True):
                vectors[key] = vector
        summary = self._summary
        summary.embedding_seconds += time.monotonic() - began
        summary.passages_embedded += len(fresh)
        summary.passages_reused += sum(len(entry.chunks) for entry in group) - len(fresh)
        summary.written += sum(1 for entry in group if entry.chunks)
        summary.empty += sum(1 for entry in group if not entry.chunks)
        return [
            EmbeddedDocument(
                name=entry.name,
                document_hash=entry.document_hash,
                title=entry.title,
                chunks=entry.chunks,
                vectors=np.stack([vectors[chunk.text_hash] for chunk in entry.chunks])
                if entry.chunks
                else np.empty((0, self._embedder.dimension), dtype="float32"),
            )
            for entry in group
        ]

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        try:
            return self._embedder.encode_documents(texts)
        except Exception as error:
            if fault_of(error) is not Fault.OUT_OF_MEMORY or len(texts) == 1:
                raise
        free_cached_memory()
        half = len(texts) // 2
        return np.concatenate([self._encode(texts[:half]), self._encode(texts[half:])])
