"""Who may ask: keys, tokens and the pace of one client, over real loopback HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import tiny_settings
from issuer_stand_in import AUDIENCE, Issuer, issuer
from rag_service.access import (
    MAX_CLIENTS,
    AccessUnusable,
    ApiKeys,
    RateLimit,
    hash_of,
    new_key,
    read_hashes,
)
from rag_service.doorman import authority_of
from rag_service.oidc import KEEP_SECONDS, RETRY_SECONDS, Oidc
from rag_service.problems import IssuerUnreachable, Unauthorized
from running import Running, process_environment, running

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


def test_the_pace_is_even_and_only_so_many_clients_are_remembered() -> None:
    limit = RateLimit(6)
    assert [limit.seconds_to_wait("a", 0) for _ in range(7)] == [0] * 6 + [10]
    assert limit.seconds_to_wait("a", 9.5) == 1
    assert limit.seconds_to_wait("a", 10) == 0
    assert limit.seconds_to_wait("a", 10) == 10
    assert [limit.seconds_to_wait("a", 100) for _ in range(7)] == [0] * 6 + [10]
    for number in range(MAX_CLIENTS + 10):
        limit.seconds_to_wait(str(number), 100)
    assert len(limit) == MAX_CLIENTS
    assert {RateLimit(0).seconds_to_wait("a", 0) for _ in range(1000)} == {0}


MALFORMED = {
    "no JSON": "app=abc",
    "a list": f'["app", "{hash_of(KEY)}"]',
    "nothing in it": "{}",
    "null": "null",
    "deep": "[" * 100_000,
    "the key itself": json.dumps({"app": KEY}),
    "a number": '{"app": 7}',
    "a hash in capitals": json.dumps({"app": hash_of(KEY).upper()}),
    "no name": json.dumps({"": hash_of(KEY)}),
    "a name that breaks a log": json.dumps({"a\nb": hash_of(KEY)}),
    "a name twice": f'{{"app": "{hash_of(KEY)}", "app": "{hash_of(OTHER)}"}}',
    "too many": json.dumps({f"c{number}": hash_of(KEY) for number in range(1001)}),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_hashes_that_cannot_be_used_are_refused_in_one_sentence_without_their_value(text: str) -> None:
    with pytest.raises(AccessUnusable, match=r"^API_KEY_HASHES: ") as refused:
        read_hashes(text)
    said = str(refused.value)
    assert "\n" not in said
    assert KEY not in said
    assert hash_of(KEY) not in said.lower()


UNUSABLE: dict[str, tuple[dict[str, object], str]] = {
    "nothing said": ({"auth": None}, "AUTH: nobody has said who may ask"),
    "keys without hashes": ({"auth": "keys"}, "API_KEY_HASHES: AUTH=keys needs it"),
    "tokens of nobody": ({"auth": "oidc"}, "OIDC_ISSUER and OIDC_AUDIENCE: AUTH=oidc needs both"),
    "an issuer in the clear": (
        {"auth": "oidc", "oidc_issuer": "http://id.example.com", "oidc_audience": "rag"},
        "OIDC_ISSUER: must be an https:// URL",
    ),
    "no URL": ({"auth": "oidc", "oidc_issuer": "https://[", "oidc_audience": "rag"}, "OIDC_ISSUER: must be"),
}


@pytest.mark.parametrize(("changes", "words"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_service_that_cannot_know_anybody_does_not_start(changes: dict[str, object], words: str) -> None:
    with pytest.raises(AccessUnusable) as refused:
        authority_of(tiny_settings("nowhere", **changes))
    assert str(refused.value).startswith(words)


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


def test_a_key_is_made_and_another_beside_it() -> None:
    def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rag_service.keys", *arguments]
        return subprocess.run(command, env=process_environment(), capture_output=True, text=True, timeout=30)

    first = keys("first")
    key = first.stderr.split()[-1]
    assert key not in first.stdout
    both = keys("second", "--add-to", first.stdout)
    known = ApiKeys(read_hashes(both.stdout))
    assert (known.client_of(key), known.client_of(both.stderr.split()[-1])) == ("first", "second")
    for bad in (["first", "--add-to", first.stdout], ["a b"], ["second", "--add-to", "nonsense"]):
        refused = keys(*bad)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("ERROR: ")
        assert refused.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def identity() -> Iterator[Issuer]:
    with issuer() as started:
        yield started


@pytest.fixture(scope="module")
def tokens(index_uri: str, identity: Issuer) -> Iterator[Running]:
    oidc = {"oidc_issuer": identity.url, "oidc_audience": AUDIENCE, "oidc_scope": "ask"}
    with running(tiny_settings(index_uri, auth="oidc", **oidc)) as service:
        yield service


def unsigned(identity: Issuer) -> str:
    return jwt.encode(identity.claims(), "", algorithm="none", headers={"kid": "one"})


def signed_with_what_is_public(identity: Issuer) -> str:
    public = json.dumps(identity.jwks()["keys"][1]) * 2
    return jwt.encode(identity.claims(), public, algorithm="HS256", headers={"kid": "one"})


def with_another_body(identity: Issuer) -> str:
    head, _, signature = identity.token().split(".")
    body = base64.urlsafe_b64encode(json.dumps(identity.claims(sub="root")).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


BAD_TOKENS: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "expired": (lambda it: it.token(exp=time.time() - 60), "has expired"),
    "not yet": (lambda it: it.token(nbf=time.time() + 600), "not valid yet"),
    "another issuer": (lambda it: it.token(iss="https://id.example.com"), "another issuer"),
    "another audience": (lambda it: it.token(aud="billing"), "another audience"),
    "no end": (lambda it: it.token(exp=None), "lacks a claim"),
    "nobody": (lambda it: it.token(sub=None), "lacks a claim"),
    "a long name": (lambda it: it.token(sub="a" * 256, scope="ask"), "subject is too long"),
    "a subject that is a number": (lambda it: it.token(sub=7), "is not valid"),
    "a scope of another kind": (lambda it: it.token(exp="soon", scope=7), "is not valid"),
    "unsigned": (unsigned, "algorithm is not accepted"),
    "signed with what is public": (signed_with_what_is_public, "algorithm is not accepted"),
    "another's signature": (
        lambda it: it.token(signed_by=ec.generate_private_key(ec.SECP256R1())),
        "signature is wrong",
    ),
    "another body": (with_another_body, "signature is wrong"),
    "a key that is not published": (
        lambda it: it.token("mine", signed_by=ec.generate_private_key(ec.SECP256R1())),
        "does not publish",
    ),
    "no token": (lambda _: "rag_key", "no JWT"),
    "half a token": (lambda it: it.token()[:40], "no JWT"),
    "a long one": (lambda _: "a" * 9000, "too long"),
}


@pytest.mark.parametrize(("make", "words"), BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_token_that_proves_nothing_is_refused(
    tokens: Running, identity: Issuer, make: Callable[[Issuer], str], words: str
) -> None:
    answer = tokens.client.post("/search", json=QUESTION, headers=bearer(make(identity)))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert words in answer.json()["detail"]


def test_a_good_token_is_answered_and_without_the_scope_forbidden(tokens: Running, identity: Issuer) -> None:
    good = bearer(identity.token(scope="openid ask"))
    assert tokens.client.post("/search", json=QUESTION, headers=good).status_code == 200
    answer = tokens.client.post("/search", json=QUESTION, headers=bearer(identity.token(scope="openid")))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"].endswith('error="insufficient_scope", scope="ask"')
    scheme = tokens.client.get("/openapi.json").json()["components"]["securitySchemes"]["client"]
    assert scheme["openIdConnectUrl"] == f"{identity.url}/.well-known/openid-configuration"
    assert len(identity.asked) <= 4, "its keys are cached, whatever strangers' tokens name"


def test_keys_that_change_are_found_and_a_silent_issuer_costs_nothing_while_they_last() -> None:
    async def live(it: Issuer) -> None:
        now = 0.0
        oidc = Oidc(it.url, AUDIENCE, clock=lambda: now)
        it.broken = True
        with pytest.raises(IssuerUnreachable) as unreachable:
            await oidc.client_of(it.token())
        assert unreachable.value.status_code == 503
        assert (unreachable.value.headers or {})["Retry-After"] == "10"
        it.broken, now = False, RETRY_SECONDS
        old = it.token()
        assert await oidc.client_of(old) == "ada"
        it.publish("two")
        new = it.token("two")
        with pytest.raises(Unauthorized, match="does not publish"):
            await oidc.client_of(new)
        now += RETRY_SECONDS
        assert await oidc.client_of(new) == "ada"
        with pytest.raises(Unauthorized, match="does not publish"):
            await oidc.client_of(old)
        it.broken, now = True, now + KEEP_SECONDS + 1
        assert await oidc.client_of(new) == "ada", "with the keys at hand"

    with issuer() as it:
        asyncio.run(live(it))
