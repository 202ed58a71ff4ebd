"""Small rules of the service: how problems are sent, reasons, settings that follow from others, columns."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from conftest import tiny_settings
from rag_service.problems import (
    Forbidden,
    NotReady,
    Problem,
    QueueFull,
    TooLarge,
    Unauthorized,
    problem_details,
    refuse,
)
from rag_service.readiness import health_of
from rag_service.store import (
    Passage,
    embedded_text,
    is_conflict,
    is_missing_table,
    passage_of,
    schema_of,
    storage_options,
    table_name,
)
from test_readiness import READY_ON_GPU

REASONS = {
    "gpu_available": (
        {"gpu_available": False},
        "No GPU is visible: give the container a GPU (resourceRequirements) and set "
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility, or set ALLOW_CPU=1.",
    ),
    "gpu_memory_allocated": ({"gpu_memory_allocated": False}, "No model lies in GPU memory yet."),
    "index_available": (
        {"passages": 0, "index_required": True},
        "The index is empty: run python -m rag_service.ingest, or unset REQUIRE_INDEX.",
    ),
    "device_sound": (
        {"device_error": "illegal memory access"},
        "The GPU is lost to this process: illegal memory access",
    ),
    "accepting": ({"draining": True}, "The service is shutting down."),
}


@pytest.mark.parametrize(("check", "changes", "words"), [(k, *v) for k, v in REASONS.items()], ids=[*REASONS])
def test_each_check_that_fails_has_its_sentence(check: str, changes: dict[str, Any], words: str) -> None:
    health = health_of(replace(READY_ON_GPU, **changes))
    assert health.reasons == (words,)
    assert [name for name, passed in health.checks.items() if not passed] == [check]
    assert health.waived == ()


def test_what_is_waived_is_named_and_a_failed_load_comes_first() -> None:
    alone = {"gpu_available": False, "gpu_memory_allocated": False, "cpu_allowed": True, "passages": 0}
    health = health_of(replace(READY_ON_GPU, **alone))
    assert (health.ready, health.reasons) == (True, ())
    assert health.waived == ("gpu_available", "gpu_memory_allocated", "index_available")
    assert health_of(replace(READY_ON_GPU, cpu_allowed=True)).waived == ()
    assert health_of(replace(READY_ON_GPU, passages=1)).checks["index_available"]
    failed = health_of(replace(READY_ON_GPU, load_error="OSError: no model", draining=True))
    assert failed.reasons == ("Loading failed: OSError: no model", "The service is shutting down.")


def sent(problem: Problem, **options: bool) -> tuple[dict[str, Any], dict[bytes, bytes], bytes]:
    messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        messages.append(message)

    asyncio.run(refuse(problem, send, **options))
    start, body = messages
    assert body["type"] == "http.response.body"
    return start, dict(start["headers"]), body["body"]


def test_a_problem_is_sent_with_its_headers() -> None:
    start, headers, body = sent(QueueFull("512 texts wait. Retry in 2 s.", retry_after=2))
    assert (start["type"], start["status"]) == ("http.response.start", 429)
    assert headers == {
        b"content-type": b"application/problem+json",
        b"content-length": str(len(body)).encode(),
        b"retry-after": b"2",
    }
    assert json.loads(body) == {
        "type": "urn:rag-service:queue-full",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "512 texts wait. Retry in 2 s.",
    }
    start, headers, _ = sent(TooLarge("The body is over 7 bytes."))
    assert (start["status"], b"retry-after" in headers) == (413, False)


def test_a_challenge_names_what_is_wrong() -> None:
    assert Unauthorized("a").headers == {
        "WWW-Authenticate": 'Bearer realm="rag-service", error="invalid_token"'
    }
    assert Unauthorized("a", error="").headers == {"WWW-Authenticate": 'Bearer realm="rag-service"'}
    assert (Unauthorized("why").status_code, Unauthorized("why").detail) == (401, "why")
    assert (Forbidden("why", scope="ask").status_code, Forbidden("why", scope="ask").detail) == (403, "why")


def test_any_status_has_a_name() -> None:
    assert problem_details(405, "Not so.").model_dump() == {
        "type": "urn:rag-service:method-not-allowed",
        "title": "Method Not Allowed",
        "status": 405,
        "detail": "Not so.",
    }
    assert (Problem("x").status_code, Problem("x").headers, Problem("x", status=422).status_code) == (
        500,
        None,
        422,
    )
    assert NotReady("x").details().type == "urn:rag-service:not-ready"


def test_the_generator_follows_from_key_and_address() -> None:
    for changes, there, url in (
        ({}, False, "https://api.openai.com/v1"),
        ({"openai_api_key": "sk"}, True, "https://api.openai.com/v1"),
        ({"openai_base_url": "http://localhost:9000/v1/"}, True, "http://localhost:9000/v1"),
    ):
        settings = tiny_settings("nowhere", **changes)
        assert (settings.has_generator, settings.generator_url) == (there, url)


def test_a_passage_is_stored_in_these_columns() -> None:
    assert [(field.name, str(field.type), field.nullable) for field in schema_of(3)] == [
        ("id", "string", False),
        ("document", "string", False),
        ("document_hash", "string", False),
        ("title", "string", True),
        ("section", "string", True),
        ("position", "int32", True),
        ("text", "string", False),
        ("text_hash", "string", False),
        ("vector", str(pa.list_(pa.float32(), 3)), False),
    ]
    row = {"id": "a#0", "document": "a", "title": "T", "section": "S", "position": 0, "text": "x"}
    assert passage_of({**row, "vector": [1.0], "_distance": 0.5}) == Passage(**row)
    assert table_name("minilm", 384) == "passages-minilm-384"
    assert [embedded_text("S", "x"), embedded_text("", "x")] == ["S\nx", "x"]


@pytest.mark.parametrize(
    ("uri", "environment", "options"),
    [
        ("s3://bucket/index", {}, {}),
        ("data/index", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, {}),
        (
            "s3://bucket/index",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            {"aws_endpoint": "http://127.0.0.1:1", "allow_http": "true"},
        ),
        (
            "s3://bucket/index",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "https://s3.example.com"},
            {"aws_endpoint": "https://s3.example.com", "allow_http": "false"},
        ),
    ],
    ids=["AWS", "a folder", "an endpoint", "S3's own endpoint"],
)
def test_the_store_follows_the_standard_environment(
    monkeypatch: pytest.MonkeyPatch, uri: str, environment: dict[str, str], options: dict[str, str]
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    style = {"aws_virtual_hosted_style_request": "false"} if options else {}
    assert storage_options(uri) == {**options, **style}


class NotFoundInStore(Exception):
    """Stand for what an object store raises."""


NotFoundInStore.__name__ = "NotFound"


@pytest.mark.parametrize(
    ("error", "missing", "conflict"),
    [
        (ValueError("Table 'x' was not found"), True, False),
        (NotFoundInStore("x"), True, False),
        (OSError("Retryable commit conflict for version 3"), False, True),
        (RuntimeError("Incompatible transaction: Update"), False, True),
        (RuntimeError("incompatible transaction"), False, True),
        (OSError("Too many concurrent writers"), False, True),
        (OSError("disk is full"), False, False),
    ],
    ids=lambda value: str(value) if isinstance(value, Exception) else None,
)
def test_what_the_store_means_by_an_error(error: Exception, missing: bool, conflict: bool) -> None:
    assert (is_missing_table(error), is_conflict(error)) == (missing, conflict)
