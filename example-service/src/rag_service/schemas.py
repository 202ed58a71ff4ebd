"""Describe requests and answers of the HTTP API, with the examples that its documentation shows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Question = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        pattern=r"[^\s]",
        description="At most 2,000 characters, not only white space",
    ),
]


def _whole(number: object) -> object:
    """Let 5.0 pass as 5: JSON Schema counts it as an integer, and some languages write it so."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


K = Annotated[int, Field(ge=1, le=50, description="How many passages, 1 to 50"), BeforeValidator(_whole)]


class SearchRequest(BaseModel):
    """Ask for passages."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"query": "When does the circuit breaker roll back?", "k": 3}]},
    )

    query: Question
    k: K = 5
    rerank: bool = Field(default=True, description="Without a reranker in the service this has no effect")


class AskRequest(BaseModel):
    """Ask a question."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"question": "When does the circuit breaker roll back?", "k": 5}]},
    )

    question: Question
    k: K = 5
    rerank: bool = Field(default=True, description="Without a reranker in the service this has no effect")
    stream: bool = Field(
        default=False, description="Server-sent events; asked for with Accept: text/event-stream as well"
    )


class Source(BaseModel):
    """Quote a passage."""

    number: int = Field(ge=1, description="What [1], [2] … in the answer refer to")
    document: str
    title: str
    section: str
    text: str
    score: float


class CitedSource(Source):
    """Quote a passage and tell whether the answer cites it."""

    cited: bool


class SearchAnswer(BaseModel):
    """Answer a search."""

    passages: list[Source]
    index_version: int
    reranked: bool


class Answer(BaseModel):
    """Answer a question from passages."""

    answer: str
    refused: bool = Field(description="Nothing in the documents is near enough: `answer` says so, no sources")
    mode: Literal["generated", "extractive", "refused"] = Field(
        description="extractive: sentences quoted from the sources, no model has written them"
    )
    notice: str | None = Field(description="Why the answer is extractive or refused")
    sources: list[CitedSource]
    model: str | None = Field(description="The generator's model, null for an extractive answer")
    index_version: int
    reranked: bool


class HealthAnswer(BaseModel):
    """Report readiness; 200 when healthy, 503 when not."""

    status: Literal["healthy", "unhealthy"]
    checks: dict[str, bool]
    waived: list[str] = Field(description="Failed checks that do not count, by ALLOW_CPU or REQUIRE_INDEX")
    reasons: list[str]
    step: str
    progress: float = Field(ge=0, le=1)
    seconds: float = Field(ge=0, description="Since the process began to load")
    index_version: int | None


class LiveAnswer(BaseModel):
    """Report liveness; 503 when only a new process can help."""

    alive: bool
