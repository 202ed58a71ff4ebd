"""Who may ask: keys, tokens and the pace of one client, over real loopback HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from conftest import tiny_settings
from issuer_stand_in import AUDIENCE, Issuer, issuer
from rag_service.__main__ import main as start
from rag_service.access import (
    hash_of,
    new_key,
)
from rag_service.settings import Settings
from running import Running, free_port, process_environment, running

QUESTION = {"query": "When does the circuit breaker roll back?", "k": 1}
KEY, OTHER = new_key(), new_key()
HASHES = json.dumps({"app": hash_of(KEY), "other": hash_of(OTHER)})


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


@pytest.fixture(scope="module")
def guarded(index_uri: str) -> Iterator[Running]:
    settings = tiny_settings(index_uri, auth=None, api_key_hashes=HASHES, rate_limit_per_minute=3, docs=True)
    with running(settings) as service:
        yield service


REFUSED = {
    "nothing": {},
    "another scheme": {"authorization": "Basic YTpi"},
    "no key": {"authorization": "Bearer"},
    "a wrong key": bearer("rag_wrong"),
    "the hash itself": bearer(hash_of(KEY)),
    "no ASCII": {"authorization": "Bearer schl\u00fcssel"},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("path", ["/search", "/ask", "/nothing", "/health/"])
def test_a_stranger_is_refused_before_anything_is_read(
    guarded: Running, headers: dict[str, str], path: str
) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = guarded.client.post(path, content=b"not JSON", headers=sent)
    assert answer.status_code == 401
    challenge = 'Bearer realm="rag-service"' + (', error="invalid_token"' if headers else "")
    assert answer.headers["www-authenticate"] == challenge
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:rag-service:unauthorized"


def test_a_client_asks_at_its_own_pace_and_is_told_when_to_come_back(guarded: Running) -> None:
    def ask(key: str) -> Any:
        return guarded.client.post("/search", json=QUESTION, headers=bearer(key))

    answers = [ask(KEY) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json()["type"] == "urn:rag-service:rate-limited"
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert ask(OTHER).status_code == 200, "each client has its own"


def test_what_anybody_may_see(guarded: Running, service: Running) -> None:
    for path in ("/health", "/live", "/", "/openapi.json", "/docs"):
        assert guarded.client.get(path).status_code == 200
    document = guarded.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["client"]["scheme"] == "bearer"
    assert document["paths"]["/ask"]["post"]["security"] == [{"client": []}]
    assert {"401", "403", "429"} <= document["paths"]["/ask"]["post"]["responses"].keys()
    assert "security" not in document["paths"]["/health"]["get"]
    assert service.client.get("/docs").status_code == 404, "on only when asked"
    assert service.client.get("/metrics").status_code == 404, "on a port of its own"
    assert "securitySchemes" not in service.client.get("/openapi.json").json()["components"]


def test_no_key_is_shown_anywhere(guarded: Running) -> None:
    settings = guarded.runtime.settings
    assert hash_of(KEY) not in repr(settings)
    assert KEY not in guarded.metrics()


def test_a_flood_of_wrong_keys_is_answered_and_leaves_nothing_behind(guarded: Running) -> None:
    def flood(count: int) -> None:
        address = urlsplit(guarded.url)
        head = "POST /ask HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nauthorization: Bearer "
        requests = [f"{head}{number:0500}\r\n\r\n{{}}".encode() for number in range(count)]
        with socket.create_connection((address.hostname, address.port), timeout=30) as line:
            for start in range(0, count, 50):
                line.sendall(b"".join(requests[start : start + 50]))
                line.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    answers.append(line.recv(1_000_000))
                line.settimeout(30)
            while b"".join(answers).count(b"HTTP/1.1 401") < count:
                answers.append(line.recv(1_000_000))

    answers: list[bytes] = []
    flood(500)
    answers.clear()
    before, began = resident(), time.perf_counter()
    flood(3000)
    seconds = time.perf_counter() - began
    print(f"{3000 / seconds:.0f} wrong keys a second")
    assert resident() - before < 16_000_000
    assert guarded.client.get("/health").status_code == 200


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_the_process_ends_with_2_and_one_sentence_when_nobody_said_who_may_ask() -> None:
    command = [sys.executable, "-m", "rag_service"]
    environment = process_environment(AUTH="")
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("ERROR: AUTH: nobody has said who may ask.")


def test_a_port_for_metrics_that_is_taken_ends_the_process_with_2_and_its_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = process_environment(METRICS_PORT=str(taken.getsockname()[1]))
        command = [sys.executable, "-m", "rag_service"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "ERROR: METRICS_PORT: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def identity() -> Iterator[Issuer]:
    with issuer() as started:
        yield started


UNUSABLE = {
    "a time without end": ("REQUEST_TIMEOUT_SECONDS", "inf", "Input should be less than or equal to 86400"),
    "a drain without end": ("DRAIN_SECONDS", "inf", "Input should be less than or equal to 86400"),
    "a host without an address": ("HOST", "no.invalid", "no.invalid cannot be had"),
    "a host of another machine": ("HOST", "192.0.2.77", "192.0.2.77 cannot be had"),
    "metrics on the public port": ("METRICS_PORT", "{port}", "is PORT as well"),
    "an index where there is no reader": ("INDEX_URI", "gs://bucket/index", "is neither a folder nor s3://"),
    "an index with a slash too few": ("INDEX_URI", "s3:/bucket/index", "is neither a folder nor s3://"),
    "a generator that is no URL": ("OPENAI_BASE_URL", "api.openai.com/v1", "is no URL such as https://"),
    "a generator at half an address": ("OPENAI_BASE_URL", "http://[::1", "is no URL such as https://"),
    "a generator at no port": ("OPENAI_BASE_URL", "http://h:99999", "is no URL such as https://"),
    "a key of two lines": ("OPENAI_API_KEY", "sk-hidden\nsk-more", "holds more than one line"),
    "a key that fits no header": ("OPENAI_API_KEY", "sk-hidden-ключ", "holds more than one line, or"),
}


@pytest.mark.parametrize("row", UNUSABLE.values(), ids=UNUSABLE)
def test_a_setting_that_cannot_be_used_ends_the_start_with_its_name(
    row: tuple[str, str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    name, value, words = row
    port = str(free_port())
    environment = process_environment(PORT=port, **{name: value.format(port=port)})
    for key, text in environment.items():
        monkeypatch.setenv(key, text)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _seconds: None)
    assert start() == 2
    said = capfd.readouterr().err + "".join(f"ERROR: {one.getMessage()}" for one in caplog.records)
    assert f"ERROR: {name}: {words}" in said
    assert "hidden" not in said
    assert "Traceback" not in said


def test_a_key_with_a_line_end_behind_it_is_the_key() -> None:
    key = Settings(openai_api_key="sk-x\n").openai_api_key  # type: ignore[arg-type]
    assert key is not None
    assert key.get_secret_value() == "sk-x"


@pytest.fixture(scope="module")
def tokens(index_uri: str, identity: Issuer) -> Iterator[Running]:
    oidc = {"oidc_issuer": identity.url, "oidc_audience": AUDIENCE, "oidc_scope": "ask"}
    with running(tiny_settings(index_uri, auth="oidc", **oidc)) as service:
        yield service


def test_a_token_that_proves_nothing_is_refused(tokens: Running, identity: Issuer) -> None:
    expired = bearer(identity.token(exp=time.time() - 60))
    answer = tokens.client.post("/search", json=QUESTION, headers=expired)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.json()["detail"] == "The token has expired: get a new one."


def test_a_good_token_is_answered_and_without_the_scope_forbidden(tokens: Running, identity: Issuer) -> None:
    good = bearer(identity.token(scope="openid ask"))
    assert tokens.client.post("/search", json=QUESTION, headers=good).status_code == 200
    answer = tokens.client.post("/search", json=QUESTION, headers=bearer(identity.token(scope="openid")))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"].endswith('error="insufficient_scope", scope="ask"')
    scheme = tokens.client.get("/openapi.json").json()["components"]["securitySchemes"]["client"]
    assert scheme["openIdConnectUrl"] == f"{identity.url}/.well-known/openid-configuration"
    assert len(identity.asked) <= 4, "its keys are cached, whatever strangers' tokens name"
