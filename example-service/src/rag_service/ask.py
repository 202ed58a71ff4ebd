"""Answer a question: retrieve, rerank, generate; when nobody can generate, quote and say so."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from rag_service.extractive import extractive_answer
from rag_service.generator import Generator, GeneratorFailed
from rag_service.prompt import messages_for
from rag_service.retrieval import Retrieved, Retriever
from rag_service.schemas import Answer, CitedSource, Source

NO_GENERATOR = (
    "No generator is configured (OPENAI_API_KEY or OPENAI_BASE_URL): sentences quoted from the sources."
)
UNKNOWN = "I don't know: no passage of the documents fits this question."
INSTEAD = "Sentences quoted from the sources instead."
_CITATION = re.compile(r"\[(\d{1,3})\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Hold one server-sent event."""

    name: str
    data: dict[str, Any]


def sources_of(found: Retrieved) -> list[Source]:
    """Number the passages as the answer cites them."""
    return [
        Source(
            number=number,
            document=hit.passage.document,
            title=hit.passage.title,
            section=hit.passage.section,
            text=hit.passage.text,
            score=hit.score,
        )
        for number, hit in enumerate(found.hits, start=1)
    ]


async def answer(
    question: str, *, k: int, rerank: bool, retriever: Retriever, generator: Generator | None
) -> Answer:
    """Answer at once. A generator that fails costs the answer's wording, not the answer."""
    found = await retriever.retrieve(question, k=k, rerank=rerank)
    if not found.fits:
        return _refused(found)
    if generator is None:
        return _extractive(question, found, notice=NO_GENERATOR)
    try:
        text = await generator.answer(messages_for(question, found.hits))
    except GeneratorFailed as failure:
        return _extractive(question, found, notice=f"{failure} {INSTEAD}")
    return _generated(text, found, model=generator.model)


async def events(
    question: str, *, k: int, rerank: bool, retriever: Retriever, generator: Generator | None
) -> AsyncIterator[Event]:
    """Answer piece by piece: `sources`, any number of `token`, then `done` with the whole answer.

    Where nothing fits `done` comes alone.
    A generator that breaks off is followed by `done` with the extractive answer; clients show what `done`
    holds. Raises what retrieving raises; the status of the response is out by then, see streaming.py.
    """
    found = await retriever.retrieve(question, k=k, rerank=rerank)
    if not found.fits:
        yield Event(name="done", data=_refused(found).model_dump())
        return
    yield Event(name="sources", data={"sources": [source.model_dump() for source in sources_of(found)]})
    pieces: list[str] = []
    notice = NO_GENERATOR
    if generator is not None:
        notice = f"The generator sent an empty answer. {INSTEAD}"
        try:
            async for piece in generator.tokens(messages_for(question, found.hits)):
                pieces.append(piece)
                yield Event(name="token", data={"text": piece})
        except GeneratorFailed as failure:
            pieces.clear()
            notice = f"{failure} {INSTEAD}"
    text = "".join(pieces)
    if generator is not None and text.strip():
        result = _generated(text, found, model=generator.model)
    else:
        result = _extractive(question, found, notice=notice)
    yield Event(name="done", data=result.model_dump())


def _refused(found: Retrieved) -> Answer:
    """Say that nothing fits, instead of quoting or paying for what has nothing to do with the question."""
    return Answer(
        answer=UNKNOWN,
        refused=True,
        mode="refused",
        notice=f"The nearest passage has a similarity of {found.similarity:.2f}, below {found.floor:g} "
        "(RELEVANCE_FLOOR).",
        sources=[],
        model=None,
        index_version=found.index_version,
        reranked=found.reranked,
    )


def _generated(text: str, found: Retrieved, *, model: str) -> Answer:
    # Half a surrogate pair can come as JSON but cannot leave as UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return Answer(
        answer=text,
        refused=False,
        mode="generated",
        notice=None,
        sources=_cited(text, found),
        model=model,
        index_version=found.index_version,
        reranked=found.reranked,
    )


def _extractive(question: str, found: Retrieved, *, notice: str) -> Answer:
    text = extractive_answer(question, found.hits)
    return Answer(
        answer=text,
        refused=False,
        mode="extractive",
        notice=notice,
        sources=_cited(text, found),
        model=None,
        index_version=found.index_version,
        reranked=found.reranked,
    )


def _cited(text: str, found: Retrieved) -> list[CitedSource]:
    numbers = {int(number) for number in _CITATION.findall(text)}
    return [
        CitedSource(**source.model_dump(), cited=source.number in numbers) for source in sources_of(found)
    ]
