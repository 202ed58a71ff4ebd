"""How an answer is made, rule by rule: prompt, quoted sentences, generator, stream of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conftest import tiny_settings
from generator_stand_in import StandIn, stand_in
from rag_service.ask import Event
from rag_service.extractive import extractive_answer
from rag_service.generator import Generator, GeneratorFailed
from rag_service.metrics import Metrics
from rag_service.problems import NotReady
from rag_service.prompt import SYSTEM, messages_for
from rag_service.store import Hit, Passage
from rag_service.streaming import stream
from rag_service.tracing import Tracing


def hit(text: str, *, document: str = "a.md", section: str = "") -> Hit:
    passage = Passage(id="1", document=document, title="T", section=section, position=0, text=text)
    return Hit(passage=passage, score=0.5)


def test_the_prompt_is_the_rules_and_one_json_object() -> None:
    hits = [hit('It said "stop".', document="b.md", section="Top"), hit("grün")]
    system, user = messages_for("Was? \udcff", hits)
    assert system == {"role": "system", "content": SYSTEM}
    assert user["role"] == "user"
    assert json.loads(user["content"]) == {
        "question": "Was? ?",
        "sources": [
            {"number": 1, "document": "b.md", "section": "Top", "text": 'It said "stop".'},
            {"number": 2, "document": "a.md", "section": "", "text": "grün"},
        ],
    }
    assert "grün" in user["content"], "as a model reads it best"


QUOTED: dict[str, tuple[str, list[Hit], str]] = {
    "nothing": ("What?", [], "No passage was found."),
    "the sentence with the question's words": (
        "When does the breaker open?",
        [hit("It is old. The BREAKER will  open. So it is.")],
        "The BREAKER will open. [1]",
    ),
    "the order of the passages": (
        "alpha beta gamma delta",
        [hit("alpha here. nothing."), hit("alpha beta gamma."), hit("gamma delta.")],
        "alpha here. [1] alpha beta gamma. [2] gamma delta. [3]",
    ),
    "no more than three": (
        "alpha",
        [hit("alpha 1. alpha 2."), hit("alpha 3. alpha 4.")],
        "alpha 1. [1] alpha 2. [1] alpha 3. [2]",
    ),
    "the better match before the better passage": (
        "alpha beta",
        [hit("alpha 1. alpha 2. alpha 3."), hit("alpha beta!")],
        "alpha 1. [1] alpha 2. [1] alpha beta! [2]",
    ),
    "a line is a sentence": ("alpha", [hit("one alpha\ntwo beta")], "one alpha [1]"),
    "words of three letters and more": (
        "is it an ox",
        [hit("First.  It is an ox.")],
        "First. It is an ox. [1]",
    ),
    "no word in common": ("zulu", [hit("Best  passage."), hit("Other.")], "Best passage. [1]"),
    "a long sentence": ("alpha", [hit("alpha " + "b" * 500)], "alpha " + "b" * 393 + "… [1]"),
    "one that just fits": ("alpha", [hit("alpha " + "b" * 394)], "alpha " + "b" * 394 + " [1]"),
    "no space before the cut": (
        "alpha",
        [hit("alpha " + "b" * 392 + " ccc")],
        "alpha " + "b" * 392 + "… [1]",
    ),
}


@pytest.mark.parametrize(("question", "hits", "answer"), QUOTED.values(), ids=QUOTED.keys())
def test_sentences_are_quoted(question: str, hits: list[Hit], answer: str) -> None:
    assert extractive_answer(question, hits) == answer


def test_fewer_sentences_may_be_asked_for() -> None:
    assert extractive_answer("alpha", [hit("alpha 1. alpha 2.")], sentences=1) == "alpha 1. [1]"


MESSAGES = [{"role": "user", "content": "hi"}]


def asked(endpoint: StandIn, *, streamed: bool, **changes: object) -> tuple[str, dict[str, float]]:
    """Ask a generator that talks to *endpoint*; give the answer, or what failed, and the outcomes counted."""
    settings = tiny_settings("nowhere", openai_base_url=endpoint.url, generator_model="m", **changes)
    metrics = Metrics()

    async def ask() -> str:
        generator = Generator(settings, metrics, Tracing())
        try:
            if not streamed:
                return await generator.answer(MESSAGES)
            return "|".join([piece async for piece in generator.tokens(MESSAGES)])
        except GeneratorFailed as failure:
            return f"failed: {failure}"
        finally:
            await generator.close()

    said = asyncio.run(ask())
    samples = [sample for metric in metrics.generations.collect() for sample in metric.samples]
    counted = {s.labels["outcome"]: s.value for s in samples if s.name.endswith("_total")}
    return said, counted


@pytest.mark.parametrize("key", ["sk-1", None])
@pytest.mark.parametrize("streamed", [False, True])
def test_the_generator_is_asked_as_openai_is(key: str | None, streamed: bool) -> None:
    with stand_in(answer="one two") as endpoint:
        said, counted = asked(endpoint, streamed=streamed, openai_api_key=key)
    assert (said, counted) == ("one |two " if streamed else "one two", {"generated": 1})
    [request], [headers] = endpoint.requests, endpoint.headers
    assert request == {
        "path": "/v1/chat/completions",
        "model": "m",
        "messages": MESSAGES,
        "temperature": 0,
        "stream": streamed,
    }
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent.get("authorization") == (None if key is None else "Bearer sk-1")


REFUSALS = {
    429: "The generator refuses more requests for now (429).",
    401: "The generator refused the credentials (401): check OPENAI_API_KEY.",
    403: "The generator refused the credentials (403): check OPENAI_API_KEY.",
    500: "The generator failed (500).",
    307: "The generator failed (307).",
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_is_said_in_our_own_words(status: int, streamed: bool) -> None:
    with stand_in(status=status) as endpoint:
        assert asked(endpoint, streamed=streamed) == (f"failed: {REFUSALS[status]}", {"failed": 1})


UNREADABLE = "failed: The generator sent an answer that cannot be read."
EMPTY = "failed: The generator sent an empty answer."
ANSWERS = {
    "no JSON": (b"<html>", UNREADABLE, 1),
    "no choices": (b'{"choices": []}', UNREADABLE, 1),
    "a list": (b"[]", UNREADABLE, 1),
    "null": (b'{"choices": null}', UNREADABLE, 1),
    "nothing in it": (b'{"choices": [{"message": {"content": null}}]}', EMPTY, 0),
    "white space": (b'{"choices": [{"message": {"content": " \\n"}}]}', EMPTY, 0),
}


@pytest.mark.parametrize(("body", "said", "failed"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_is_none(body: bytes, said: str, failed: int) -> None:
    with stand_in(body=body) as endpoint:
        assert asked(endpoint, streamed=False) == (said, {"failed": 1} if failed else {})


def sent(*events: object) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)


def piece(content: object) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content}}]}


BROKEN = "failed: The generator sent a stream that cannot be read."
STREAMS: dict[str, tuple[bytes, str]] = {
    "pieces": (sent(piece("a"), piece("b")), "a|b"),
    "an end before the end": (sent(piece("a")) + b"data: [DONE]\n\n" + sent(piece("b")), "a"),
    "other lines": (b": hello\nevent: x\nid: 7\n" + sent(piece("a")), "a"),
    "no space": (b'data:{"choices": [{"delta": {"content": "a"}}]}\n\n', "a"),
    "nothing said": (sent(piece(None), piece(""), {"choices": []}, {"choices": [{}]}, {}, piece("a")), "a"),
    "no text": (sent(piece(7), piece("a")), "a"),
    "no JSON": (b"data: {broken\n\n", BROKEN),
    "a list": (sent([1]), BROKEN),
    "a delta of another kind": (sent({"choices": [{"delta": 7}]}), BROKEN),
    "choices of another kind": (sent({"choices": 7}), BROKEN),
    "choices without order": (sent({"choices": {"a": 1}}), BROKEN),
}


@pytest.mark.parametrize(("body", "said"), STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_of_tokens_is_read_as_it_comes(body: bytes, said: str) -> None:
    with stand_in(body=body) as endpoint:
        answer, counted = asked(endpoint, streamed=True)
    assert answer == said
    assert counted == ({"failed": 1} if said == BROKEN else {"generated": 1})


@pytest.mark.parametrize("streamed", [False, True])
def test_a_generator_that_is_slow_or_away_is_said_so(streamed: bool) -> None:
    with stand_in(delay=0.4) as endpoint:
        slow = asked(endpoint, streamed=streamed, generator_timeout_seconds=0.15)
    assert slow == ("failed: The generator did not answer within 0.15 s.", {"slow": 1})
    away = asked(endpoint, streamed=streamed)
    assert away == ("failed: The generator cannot be reached (ConnectError).", {"unreachable": 1})


def test_a_time_limit_of_somebody_else_is_not_the_generators() -> None:
    settings = tiny_settings("nowhere", generator_timeout_seconds=30)

    async def ask(endpoint: StandIn) -> None:
        generator = Generator(
            settings.model_copy(update={"openai_base_url": endpoint.url}), Metrics(), Tracing()
        )
        try:
            async with asyncio.timeout(0.1):
                await generator.answer(MESSAGES)
        finally:
            await generator.close()

    with stand_in(delay=0.3) as endpoint, pytest.raises(TimeoutError):
        asyncio.run(ask(endpoint))


async def events(*made: Event | Exception | float) -> AsyncIterator[Event]:
    for each in made:
        if isinstance(each, Exception):
            raise each
        if isinstance(each, Event):
            yield each
        else:
            await asyncio.sleep(each)


def streamed_bytes(source: AsyncIterator[Event], **options: float) -> bytes:
    async def all_of_it() -> bytes:
        return b"".join([chunk async for chunk in stream(source, **{"timeout": 5, **options})])  # type: ignore[arg-type]

    return asyncio.run(all_of_it())


TOKEN = Event(name="token", data={"text": "grün\n"})
SAID = b'event: token\ndata: {"text": "gr\\u00fcn\\n"}\n\n'


def test_events_are_sent_in_their_order_in_ascii() -> None:
    assert streamed_bytes(events(TOKEN, TOKEN)) == SAID * 2


def problem_in(chunk: bytes) -> dict[str, Any]:
    head, _, data = chunk.removeprefix(SAID).decode("ascii").partition("\ndata: ")
    assert head == "event: problem"
    assert data.endswith("\n\n")
    return dict(json.loads(data))


def test_what_fails_after_the_first_byte_is_an_event() -> None:
    failed = problem_in(streamed_bytes(events(TOKEN, NotReady("It drains."))))
    assert failed == {
        "type": "urn:rag-service:not-ready",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "It drains.",
    }
    slow = problem_in(streamed_bytes(events(TOKEN, 5.0), timeout=0.1))
    assert slow == {
        "type": "urn:rag-service:took-too-long",
        "title": "Gateway Timeout",
        "status": 504,
        "detail": "No answer within 0.1 s.",
    }


def test_a_bug_of_ours_is_an_event_and_still_an_error() -> None:
    chunks: list[bytes] = []

    async def read() -> None:
        async for chunk in stream(events(TOKEN, RuntimeError("secret")), timeout=5):
            chunks.append(chunk)  # noqa: PERF401 - what came before the error is wanted

    with pytest.raises(RuntimeError, match="secret"):
        asyncio.run(read())
    failed = problem_in(b"".join(chunks))
    assert (failed["status"], failed["type"]) == (500, "urn:rag-service:internal-server-error")
    assert failed["detail"] == "The answer broke off because of an error in the service."


def test_a_silent_stream_shows_that_it_lives() -> None:
    said = streamed_bytes(events(0.35, TOKEN), keep_alive=0.1)
    assert said.endswith(SAID)
    signs = said.removesuffix(SAID)
    assert signs
    assert signs == b": still working\n\n" * signs.count(b"\n\n")


def test_who_hangs_up_ends_the_work() -> None:
    ended: list[bool] = []

    async def endless() -> AsyncIterator[Event]:
        try:
            yield TOKEN
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    async def hang_up() -> None:
        chunks = stream(endless(), timeout=60)
        assert await anext(chunks) == SAID
        await chunks.aclose()  # type: ignore[attr-defined]

    asyncio.run(hang_up())
    assert ended == [True]
