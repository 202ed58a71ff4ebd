"""Find passages for a question: embed and search in one batch, then rerank in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rag_service.batching import Batcher
from rag_service.live_index import IndexVersion, LiveIndex
from rag_service.models import Embedder, Reranker
from rag_service.problems import IndexEmpty
from rag_service.store import Hit, embedded_text
from rag_service.tracing import Tracing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CANDIDATES_PER_RESULT = 4
MOST_CANDIDATES = 100
NOTHING_ALIKE = -1.0
MEASURED_FLOORS = {"all-minilm-l6-v2": 0.3}
"""By the name of the embedding model: what parts the golden questions best (README, "Measured answers")."""


def floor_of(model: str, wanted: float | None) -> float:
    """Choose the similarity below which nothing fits: the operator's, else the measured one, else none."""
    return MEASURED_FLOORS.get(model, NOTHING_ALIKE) if wanted is None else wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Ask for `k` passages."""

    text: str
    k: int
    asker: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Ask how well a text answers a question."""

    question: str
    text: str
    asker: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Hold what the device said about one query; `hits` is None when LanceDB has to be asked."""

    index: IndexVersion
    vector: NDArray[np.float32]
    hits: list[Hit] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """Hold the passages for a question, best first, all from one version of the index.

    `similarity` is the best passage's cosine similarity, whatever a reranker made of it.
    """

    hits: tuple[Hit, ...]
    index_version: int
    reranked: bool
    similarity: float
    floor: float

    @property
    def fits(self) -> bool:
        """Tell whether the best passage is near enough to have to do with the question."""
        return self.similarity >= self.floor


class DeviceSearch:
    """Compute a batch of queries on the device thread."""

    def __init__(self, embedder: Embedder, index: LiveIndex) -> None:
        self._embedder = embedder
        self._index = index

    def tokens(self, query: Query) -> int:
        """Count what the model reads of a query."""
        return min(self._embedder.window, self._embedder.count(query.text))

    def __call__(self, queries: Sequence[Query]) -> list[Found]:
        """Embed the batch and search it in the version that is current now."""
        index = self._index.current
        if index is None or index.passages == 0:
            raise IndexEmpty(EMPTY)
        vectors = self._embedder.encode([query.text for query in queries])
        if index.resident is None:
            return [Found(index=index, vector=vector, hits=None) for vector in vectors]
        hits = index.resident.search(vectors, [query.k for query in queries])
        return [
            Found(index=index, vector=vector, hits=own) for vector, own in zip(vectors, hits, strict=True)
        ]


class DeviceRerank:
    """Score a batch of pairs on the device thread."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker

    def tokens(self, pair: Pair) -> int:
        """Count what the model reads of a pair."""
        return self._reranker.count((pair.question, pair.text))

    def __call__(self, pairs: Sequence[Pair]) -> list[float]:
        """Score the batch."""
        return [
            float(score) for score in self._reranker.score([(pair.question, pair.text) for pair in pairs])
        ]


EMPTY = (
    "The index is empty: run python -m rag_service.ingest SOURCE with the same INDEX_URI and EMBEDDING_MODEL."
)


class Retriever:
    """Answer "which passages?" through the two queues of the device."""

    def __init__(
        self,
        index: LiveIndex,
        searches: Batcher[Query, Found],
        reranker: Reranker | None,
        pairs: Batcher[Pair, float] | None,
        tracing: Tracing,
        *,
        floor: float,
    ) -> None:
        self._index = index
        self._searches = searches
        self._pairs = pairs
        self._tracing = tracing
        self._floor = floor
        self.reranker_name = reranker.name if reranker is not None else None

    async def retrieve(self, question: str, *, k: int, rerank: bool) -> Retrieved:
        """Find the `k` best passages. Raises IndexEmpty (409) and whatever the queues raise."""
        if self._index.current is None or self._index.current.passages == 0:
            raise IndexEmpty(EMPTY)
        reranks = rerank and self._pairs is not None
        wanted = max(k, min(k * CANDIDATES_PER_RESULT, MOST_CANDIDATES)) if reranks else k
        with self._tracing.span("retrieval") as span:
            [found] = await self._searches.submit([Query(text=question, k=wanted, asker=span)])
            hits = found.hits if found.hits is not None else await found.index.search(found.vector, wanted)
        similarity = max((hit.score for hit in hits), default=NOTHING_ALIKE)
        if reranks and self._pairs is not None and hits:
            texts = [embedded_text(hit.passage.section, hit.passage.text) for hit in hits]
            with self._tracing.span("rerank") as span:
                scores = await self._pairs.submit(
                    [Pair(question=question, text=text, asker=span) for text in texts]
                )
            scored = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
            hits = sorted(scored, key=lambda hit: hit.score, reverse=True)
        return Retrieved(
            hits=tuple(hits[:k]),
            index_version=found.index.version,
            reranked=reranks,
            similarity=similarity,
            floor=self._floor,
        )
