"""Read, cut and embed documents: all that an ingest does before it writes, here in one process."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag_service.device import Fault, fault_of, free_cached_memory
from rag_service.ingest.chunking import CHUNKING, Chunk, Measure, chunks_of
from rag_service.ingest.documents import DocumentRef, DocumentSource
from rag_service.ingest.extraction import ExtractionFailed, extract
from rag_service.ingest.index_writer import EmbeddedDocument
from rag_service.models import Embedder

READ_AHEAD = 16
GROUP_PASSAGES = 512
GROUP_DOCUMENTS = 256
Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Hold how to cut and embed; sizes in characters and bytes."""

    characters: int = 900
    overlap: int = 120
    batch: int = 32
    most_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Hold a document that has been read and cut, or why there is nothing to embed of it."""

    name: str
    document_hash: str = ""
    title: str = ""
    chunks: tuple[Chunk, ...] = ()
    unchanged: bool = False
    failure: str | None = None
    unread: bool = False
    """Whether it failed because the storage did not give it, which it may do another time."""

    def is_untouched(self, known: Mapping[str, str]) -> bool:
        """Tell whether there is nothing to write: it failed, is unchanged, or empty and not in the index."""
        empty = not self.chunks and self.name not in known
        return self.unchanged or self.failure is not None or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Hold what became of some documents; `passages` have been embedded, the others had vectors already."""

    documents: tuple[EmbeddedDocument, ...] = ()
    untouched: tuple[Prepared, ...] = ()
    passages: int = 0
    seconds: float = 0.0


class Engine(Protocol):
    """Make documents ready to be written, in an order of its own."""

    def embed(self, documents: Sequence[DocumentRef], known: Mapping[str, str]) -> Iterator[Embedded]:
        """Go through all documents; `known` maps those of the index to their hashes."""


class InProcess:
    """Read ahead on a thread while the model computes on another."""

    def __init__(
        self,
        source: DocumentSource,
        embedder: Embedder,
        plan: Plan,
        vectors_of: Callable[[Iterable[str]], Vectors],
    ) -> None:
        self._source, self._embedder, self._plan, self._vectors_of = source, embedder, plan, vectors_of

    def embed(self, documents: Sequence[DocumentRef], known: Mapping[str, str]) -> Iterator[Embedded]:
        """Embed in groups, which are large enough to be computed by length."""
        with ThreadPoolExecutor(1, "read") as reader:
            group: list[Prepared] = []
            for prepared in _read_ahead(
                reader, documents, lambda ref: prepare(self._source, ref, known, self._plan, self._embedder)
            ):
                if prepared.is_untouched(known):
                    yield Embedded(untouched=(prepared,))
                    continue
                group.append(prepared)
                if is_full(group):
                    yield embed(group, self._embedder, self._plan, self._vectors_of)
                    group = []
            if group:
                yield embed(group, self._embedder, self._plan, self._vectors_of)


def is_full(group: Sequence[Prepared] | Sequence[EmbeddedDocument]) -> bool:
    """Tell whether documents are enough for one commit."""
    return len(group) >= GROUP_DOCUMENTS or sum(len(entry.chunks) for entry in group) >= GROUP_PASSAGES


def prepare(
    source: DocumentSource, ref: DocumentRef, known: Mapping[str, str], plan: Plan, measure: Measure
) -> Prepared:
    """Read and cut a document, unless the index has it as it is."""
    if ref.size > plan.most_bytes:
        return Prepared(name=ref.name, failure=f"It has {ref.size} bytes, the limit is {plan.most_bytes}.")
    try:
        content = source.read(ref)
        cut = f"{CHUNKING} {plan.characters} {plan.overlap} {ref.name}\n".encode("utf-8", "surrogateescape")
        document_hash = hashlib.sha256(cut + content).hexdigest()
        if known.get(ref.name) == document_hash:
            return Prepared(name=ref.name, unchanged=True)
        extracted = extract(ref.name, content)
    except ExtractionFailed as failure:
        return Prepared(name=ref.name, failure=str(failure))
    except OSError as error:
        return Prepared(name=ref.name, failure=f"It cannot be read: {error}", unread=True)
    chunks = chunks_of(extracted, characters=plan.characters, overlap=plan.overlap, measure=measure)
    return Prepared(name=ref.name, document_hash=document_hash, title=extracted.title, chunks=tuple(chunks))


def embed(
    group: Sequence[Prepared], embedder: Embedder, plan: Plan, vectors_of: Callable[[Iterable[str]], Vectors]
) -> Embedded:
    """Embed the chunks of several documents together; a text that has a vector already keeps it."""
    texts = {chunk.text_hash: chunk.embedded for entry in group for chunk in entry.chunks}
    vectors = vectors_of(texts)
    # Texts of like length share a batch: padding is computed as if it were text.
    fresh = sorted((key for key in texts if key not in vectors), key=lambda key: len(texts[key]))
    began = time.monotonic()
    for start in range(0, len(fresh), plan.batch):
        keys = fresh[start : start + plan.batch]
        vectors |= zip(keys, _encode(embedder, [texts[key] for key in keys]), strict=True)
    return Embedded(
        documents=tuple(
            EmbeddedDocument(
                name=entry.name,
                document_hash=entry.document_hash,
                title=entry.title,
                chunks=entry.chunks,
                vectors=np.stack([vectors[chunk.text_hash] for chunk in entry.chunks])
                if entry.chunks
                else np.empty((0, embedder.dimension), dtype="float32"),
            )
            for entry in group
        ),
        passages=len(fresh),
        seconds=time.monotonic() - began,
    )


def _encode(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    try:
        return embedder.encode_documents(texts)
    except Exception as error:
        if fault_of(error) is not Fault.OUT_OF_MEMORY or len(texts) == 1:
            raise
    free_cached_memory()
    half = len(texts) // 2
    return np.concatenate([_encode(embedder, texts[:half]), _encode(embedder, texts[half:])])


def _read_ahead(
    pool: ThreadPoolExecutor, refs: Sequence[DocumentRef], prepare: Callable[[DocumentRef], Prepared]
) -> Iterator[Prepared]:
    """Prepare documents in order on the pool, a few ahead of the one that is asked for."""
    rest = iter(refs)
    ahead = [pool.submit(prepare, ref) for ref in islice(rest, READ_AHEAD)]
    while ahead:
        prepared = ahead.pop(0).result()
        ahead.extend(pool.submit(prepare, ref) for ref in islice(rest, 1))
        yield prepared
