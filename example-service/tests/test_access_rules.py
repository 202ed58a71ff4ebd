"""Who may ask, rule by rule: keys and their hashes, the pace, tokens, and what the doorman makes of them."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import tiny_settings
from issuer_stand_in import AUDIENCE, Issuer, issuer
from rag_service import keys
from rag_service.access import (
    MAX_CLIENTS,
    AccessUnusable,
    ApiKeys,
    RateLimit,
    checked_name,
    hash_of,
    new_key,
    read_hashes,
)
from rag_service.doorman import OPEN, Authority, Doorman, authority_of, security_scheme
from rag_service.oidc import (
    KEEP_SECONDS,
    LEEWAY_SECONDS,
    MAX_ANSWER_BYTES,
    MAX_KEYS,
    MAX_TOKEN,
    RETRY_SECONDS,
    Oidc,
    checked_url,
)
from rag_service.problems import Forbidden, IssuerUnreachable, Unauthorized

KEY, OTHER = new_key(), new_key()
HASHES = json.dumps({"app": hash_of(KEY), "other": hash_of(OTHER)})
WANTED = 'it takes {"client": "hash"} as python -m rag_service.keys prints it.'


def test_a_key_is_long_random_and_hashed_as_everybody_hashes() -> None:
    made = {new_key() for _ in range(20)}
    assert len(made) == 20
    assert all(re.fullmatch(r"rag_[\w-]{43}", key) for key in made)
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(hash_of("\udcff")) == 64, "what a header may hold that is no UTF-8"


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


def test_who_asked_longest_ago_is_forgotten_first() -> None:
    limit = RateLimit(1)
    limit.seconds_to_wait("early", 0)
    for number in range(MAX_CLIENTS - 1):
        limit.seconds_to_wait(str(number), 1)
    assert limit.seconds_to_wait("early", 60) == 0, "and is the latest now"
    limit.seconds_to_wait("new", 60)
    assert limit.seconds_to_wait("early", 60) == 60
    assert limit.seconds_to_wait("0", 60) == 0, "forgotten, though it asked 59 s ago"


MALFORMED = {
    "no JSON": ("app=abc", f"is not JSON; {WANTED}"),
    "a list": (f'["app", "{hash_of(KEY)}"]', f"holds no key; {WANTED}"),
    "nothing in it": (" {}", f"holds no key; {WANTED}"),
    "null": ("null", f"holds no key; {WANTED}"),
    "deep": ("[" * 100_000, f"is not JSON; {WANTED}"),
    "the key itself": (json.dumps({"app": KEY}), f"app has no SHA-256 in 64 small hex digits; {WANTED}"),
    "a number": ('{"app": 7}', f"app has no SHA-256 in 64 small hex digits; {WANTED}"),
    "a hash in capitals": (
        json.dumps({"app": hash_of(KEY).upper()}),
        f"app has no SHA-256 in 64 small hex digits; {WANTED}",
    ),
    "no name": (
        json.dumps({"": hash_of(KEY)}),
        "a client's name has 1 to 64 letters, digits or ._@- in it.",
    ),
    "a name that breaks a log": (
        json.dumps({"a\nb": hash_of(KEY)}),
        "a client's name has 1 to 64 letters, digits or ._@- in it.",
    ),
    "a name twice": (
        f'{{"app": "{hash_of(KEY)}", "app": "{hash_of(OTHER)}"}}',
        "app is there twice; each client needs its own name.",
    ),
    "too many": (
        json.dumps({f"c{number}": hash_of(KEY) for number in range(1001)}),
        "holds more than 1000 keys; use AUTH=oidc for so many.",
    ),
}


@pytest.mark.parametrize(("text", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_hashes_that_cannot_be_used_are_refused_in_one_sentence_without_their_value(
    text: str, words: str
) -> None:
    with pytest.raises(AccessUnusable) as refused:
        read_hashes(text)
    assert str(refused.value) == f"API_KEY_HASHES: {words}"


def test_as_many_keys_as_there_may_be_are_read() -> None:
    known = {f"c{number}": hash_of(str(number)) for number in range(1000)}
    assert read_hashes(f"\n {json.dumps(known)}") == known


@pytest.mark.parametrize("name", ["a", "0", "a" * 64, "ada.l_1@example-2"])
def test_names_that_a_client_may_have(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["a" * 65, "-a", "a b", "ä"])
def test_names_that_no_client_may_have(name: str) -> None:
    with pytest.raises(AccessUnusable):
        checked_name(name)


UNUSABLE: dict[str, tuple[dict[str, object], str]] = {
    "nothing said": (
        {"auth": None},
        "AUTH: nobody has said who may ask. Set API_KEY_HASHES (python -m rag_service.keys CLIENT makes a "
        "key), or AUTH=oidc with OIDC_ISSUER and OIDC_AUDIENCE, or AUTH=off to answer everybody.",
    ),
    "keys without hashes": (
        {"auth": "keys"},
        "API_KEY_HASHES: AUTH=keys needs it; python -m rag_service.keys CLIENT makes a key.",
    ),
    "tokens of nobody": (
        {"auth": "oidc"},
        "OIDC_ISSUER and OIDC_AUDIENCE: AUTH=oidc needs both, whose tokens and for whom.",
    ),
    "tokens for nobody": (
        {"auth": "oidc", "oidc_issuer": "https://id.example.com"},
        "OIDC_ISSUER and OIDC_AUDIENCE: AUTH=oidc needs both, whose tokens and for whom.",
    ),
    "an issuer in the clear": (
        {"auth": "oidc", "oidc_issuer": "http://id.example.com", "oidc_audience": "rag"},
        "OIDC_ISSUER: must be an https:// URL; keys over plain HTTP could be anybody's.",
    ),
}


@pytest.mark.parametrize(("changes", "words"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_service_that_cannot_know_anybody_does_not_start(changes: dict[str, object], words: str) -> None:
    with pytest.raises(AccessUnusable) as refused:
        authority_of(tiny_settings("nowhere", **changes))
    assert str(refused.value) == words


@pytest.mark.parametrize(
    "url", ["https://[", "https://", "ftp://localhost", "http://10.0.0.1", "id.example.com"]
)
def test_keys_are_fetched_from_nowhere_else(url: str) -> None:
    with pytest.raises(AccessUnusable, match=r"^its jwks_uri: must be an https:// URL"):
        checked_url(url, "its jwks_uri")


@pytest.mark.parametrize(
    "url", ["https://id.example.com/realm", "http://127.0.0.1:1", "http://localhost", "http://[::1]:2"]
)
def test_keys_are_fetched_over_https_or_on_this_machine(url: str) -> None:
    assert checked_url(url, "OIDC_ISSUER") == url


def test_who_tells_clients_apart_follows_from_what_is_given() -> None:
    assert authority_of(tiny_settings("nowhere")) is None
    assert authority_of(tiny_settings("nowhere", api_key_hashes=HASHES)) is None, "off is off"
    for auth in (None, "keys"):
        told = authority_of(tiny_settings("nowhere", auth=auth, api_key_hashes=HASHES))
        assert isinstance(told, ApiKeys)
        assert [told.client_of(key) for key in (KEY, OTHER, "rag_wrong")] == ["app", "other", None]
        assert security_scheme(told) == {
            "type": "http",
            "scheme": "bearer",
            "description": "Authorization: Bearer, then the API key",
        }
    oidc = {"oidc_issuer": "https://id.example.com/", "oidc_audience": "rag", "oidc_scope": "ask"}
    told = authority_of(tiny_settings("nowhere", auth="oidc", **oidc))
    assert isinstance(told, Oidc)
    assert security_scheme(told) == {
        "type": "openIdConnect",
        "openIdConnectUrl": "https://id.example.com/.well-known/openid-configuration",
    }


def made_key(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = keys.main([*arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_key_is_made_and_another_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, first, shown = made_key(capsys, "first")
    key = shown.split()[-1]
    assert (code, shown) == (0, f"Key of first, shown this once: {key}\n")
    assert first == json.dumps({"first": hash_of(key)}) + "\n"
    code, both, shown = made_key(capsys, "second", "--add-to", first)
    known = ApiKeys(read_hashes(both))
    assert (known.client_of(key), known.client_of(shown.split()[-1])) == ("first", "second")
    refused = {
        ("first", "--add-to", first): "first has a key already: give the new one a name of its own.",
        ("a b",): "API_KEY_HASHES: a client's name has 1 to 64 letters, digits or ._@- in it.",
        ("second", "--add-to", ""): f"API_KEY_HASHES: is not JSON; {WANTED}",
    }
    for arguments, words in refused.items():
        assert made_key(capsys, *arguments) == (2, "", f"ERROR: {words}\n")


def test_how_keys_are_made_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        keys.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(
        "usage: python -m rag_service.keys [-h] [--add-to JSON] client Print API_KEY_HASHES"
    )
    assert "client name of the client: letters, digits, . _ @ -" in said
    assert "--add-to JSON API_KEY_HASHES as it is: other clients keep theirs" in said


def asked(
    authority: Authority, *headers: tuple[str, str], limit: int = 0, path: str = "/ask", times: int = 1
) -> Any:
    """Send a request with these headers through a doorman; give the last answer, and how many came in."""
    inside: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inside.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def ask() -> httpx.Response:
        door = Doorman(app, authority, RateLimit(limit))
        transport = httpx.ASGITransport(door)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            for _ in range(times):
                request = client.build_request("POST", path, headers=[*headers])
                answer = await client.send(request)
        return answer

    return asyncio.run(ask()), len(inside)


DOOR: dict[str, tuple[list[tuple[str, str]], int, str]] = {
    "a key": ([("authorization", f"Bearer {KEY}")], 204, ""),
    "small letters and spaces": ([("authorization", f"bearer   {KEY} ")], 204, ""),
    "nothing": ([], 401, "Send Authorization: Bearer, then your API key or token."),
    "another header": ([("x-api-key", KEY)], 401, "Send Authorization: Bearer, then your API key or token."),
    "no credential": (
        [("authorization", "Bearer ")],
        401,
        "Send one header Authorization: Bearer, then your API key or token.",
    ),
    "another scheme": (
        [("authorization", f"Basic {KEY}")],
        401,
        "Send one header Authorization: Bearer, then your API key or token.",
    ),
    "two of them": (
        [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {OTHER}")],
        401,
        "Send one header Authorization: Bearer, then your API key or token.",
    ),
    "a wrong key": ([("authorization", "Bearer rag_wrong")], 401, "This API key is not known."),
}


@pytest.mark.parametrize(("headers", "status", "words"), DOOR.values(), ids=DOOR.keys())
def test_the_doorman_lets_in_who_is_known(headers: list[tuple[str, str]], status: int, words: str) -> None:
    answer, came_in = asked(ApiKeys(read_hashes(HASHES)), *headers)
    assert (answer.status_code, came_in) == (status, int(status == 204))
    if words:
        assert answer.json()["detail"] == words
        named = ', error="invalid_token"' if any(name == "authorization" for name, _ in headers) else ""
        assert answer.headers["www-authenticate"] == f'Bearer realm="rag-service"{named}'


def test_the_doorman_holds_each_client_to_its_pace_and_leaves_open_paths_alone() -> None:
    authority = ApiKeys(read_hashes(HASHES))
    answer, came_in = asked(authority, ("authorization", f"Bearer {KEY}"), limit=2, times=3)
    assert (answer.status_code, came_in) == (429, 2)
    wait = int(answer.headers["retry-after"])
    assert 29 <= wait <= 30
    assert answer.json()["detail"] == f"More requests than RATE_LIMIT_PER_MINUTE allows. Retry in {wait} s."
    for path in OPEN:
        answer, came_in = asked(authority, limit=1, path=path, times=3)
        assert (answer.status_code, came_in) == (204, 3)


def test_the_doorman_asks_nobody_how_the_server_lives() -> None:
    seen: list[tuple[str, object, object]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], receive, send))

    receive, send = object(), object()
    asyncio.run(Doorman(app, ApiKeys({}), RateLimit(1))({"type": "lifespan"}, receive, send))  # type: ignore[arg-type]
    assert seen == [("lifespan", receive, send)]


@pytest.fixture(scope="module")
def identity() -> Iterator[Issuer]:
    with issuer() as started:
        yield started


def unsigned(identity: Issuer) -> str:
    return jwt.encode(identity.claims(), "", algorithm="none", headers={"kid": "one"})


def signed_with_what_is_public(identity: Issuer) -> str:
    public = json.dumps(identity.jwks()["keys"][1]) * 2
    return jwt.encode(identity.claims(), public, algorithm="HS256", headers={"kid": "one"})


def with_another_body(identity: Issuer) -> str:
    head, _, signature = identity.token().split(".")
    body = base64.urlsafe_b64encode(json.dumps(identity.claims(sub="root")).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


NO_JWT = "The token cannot be read: it is no JWT."
NOT_SIGNED = "The token's algorithm is not accepted: it must be signed by its issuer's key."
LACKS = "The token lacks a claim: exp, iss, aud and sub are needed."
BAD_TOKENS: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "expired": (
        lambda it: it.token(exp=time.time() - LEEWAY_SECONDS - 2),
        "The token has expired: get a new one.",
    ),
    "not yet": (lambda it: it.token(nbf=time.time() + LEEWAY_SECONDS + 10), "The token is not valid yet."),
    "another issuer": (lambda it: it.token(iss="https://id.example.com"), "The token is of another issuer."),
    "another audience": (lambda it: it.token(aud="billing"), "The token is for another audience."),
    "no end": (lambda it: it.token(exp=None), LACKS),
    "no issuer": (lambda it: it.token(iss=None), LACKS),
    "no audience": (lambda it: it.token(aud=None), LACKS),
    "nobody": (lambda it: it.token(sub=None), LACKS),
    "a long name": (lambda it: it.token(sub="a" * 256), "The token's subject is too long."),
    "a subject that names nobody": (
        lambda it: it.token(sub=" "),
        "The token's subject is empty: it names no client.",
    ),
    "a subject that is a number": (lambda it: it.token(sub=7), "The token is not valid."),
    "a scope of another kind": (lambda it: it.token(exp="soon", scope=7), "The token is not valid."),
    "unsigned": (unsigned, NOT_SIGNED),
    "signed with what is public": (signed_with_what_is_public, NOT_SIGNED),
    "another's signature": (
        lambda it: it.token(signed_by=ec.generate_private_key(ec.SECP256R1())),
        "The token's signature is wrong.",
    ),
    "another algorithm": (
        lambda it: jwt.encode(
            it.claims(), ec.generate_private_key(ec.SECP384R1()), algorithm="ES384", headers={"kid": "one"}
        ),
        "The token's algorithm is not that of the issuer's key.",
    ),
    "another body": (with_another_body, "The token's signature is wrong."),
    "a key that is not published": (
        lambda it: it.token("mine", signed_by=ec.generate_private_key(ec.SECP256R1())),
        "The token is signed with a key that its issuer does not publish.",
    ),
    "no token": (lambda _: "rag_key", NO_JWT),
    "half a token": (lambda it: it.token()[:40], NO_JWT),
    "a long one": (lambda it: it.token(more="a" * MAX_TOKEN), "The token is too long."),
    "one of the greatest length": (lambda _: "a" * MAX_TOKEN, NO_JWT),
}


@pytest.mark.parametrize(("make", "words"), BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_token_that_proves_nothing_is_refused(
    identity: Issuer, make: Callable[[Issuer], str], words: str
) -> None:
    with pytest.raises(Unauthorized) as refused:
        asyncio.run(Oidc(identity.url, AUDIENCE).client_of(make(identity)))
    assert refused.value.detail == words


# Made when the test runs: a time that was taken at the collection is long over by then.
GOOD_TOKENS: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "as it should be": (dict, "ada"),
    "a clock that is behind": (lambda: {"exp": time.time() - 5}, "ada"),
    "a clock that is ahead": (lambda: {"nbf": time.time() + LEEWAY_SECONDS - 5}, "ada"),
    "several audiences": (lambda: {"aud": ["billing", AUDIENCE]}, "ada"),
    "the longest name": (lambda: {"sub": "a" * 255}, "a" * 255),
}


@pytest.mark.parametrize(("changes", "name"), GOOD_TOKENS.values(), ids=GOOD_TOKENS.keys())
def test_a_good_token_names_its_subject(
    identity: Issuer, changes: Callable[[], dict[str, Any]], name: str
) -> None:
    assert asyncio.run(Oidc(identity.url, AUDIENCE).client_of(identity.token(**changes()))) == name


@pytest.mark.parametrize("granted", [None, "", "openid", "asking", ["ask"], 7])
def test_a_scope_that_was_not_granted_forbids(identity: Issuer, granted: object) -> None:
    token = identity.token(scope=granted)
    assert asyncio.run(Oidc(identity.url, AUDIENCE).client_of(token)) == "ada", "none is wanted"
    with pytest.raises(Forbidden) as refused:
        asyncio.run(Oidc(identity.url, AUDIENCE, "ask").client_of(token))
    assert refused.value.detail == "The token lacks the scope ask."
    challenge = 'Bearer realm="rag-service", error="insufficient_scope", scope="ask"'
    assert refused.value.headers == {"WWW-Authenticate": challenge}


def test_a_scope_that_was_granted_lets_in_also_through_the_door(identity: Issuer) -> None:
    oidc = Oidc(identity.url, AUDIENCE, "ask")
    good = f"Bearer {identity.token(scope='openid ask')} "
    answer, came_in = asked(oidc, ("authorization", good))
    assert (answer.status_code, came_in) == (204, 1)


def test_keys_that_change_are_found_and_a_silent_issuer_costs_nothing_while_they_last() -> None:
    async def live(it: Issuer) -> None:
        now = 0.0
        oidc = Oidc(it.url, AUDIENCE, clock=lambda: now)
        it.broken = True
        with pytest.raises(IssuerUnreachable) as unreachable:
            await oidc.client_of(it.token())
        assert unreachable.value.status_code == 503
        assert unreachable.value.detail == "The issuer's keys cannot be read."
        assert (unreachable.value.headers or {})["Retry-After"] == "10"
        it.broken, now = False, RETRY_SECONDS - 1
        with pytest.raises(IssuerUnreachable):
            await oidc.client_of(it.token())
        now = RETRY_SECONDS
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
        asked_so_far = len(it.asked)
        it.broken, now = True, now + KEEP_SECONDS
        assert await oidc.client_of(new) == "ada"
        assert len(it.asked) == asked_so_far, "they are young enough"
        now += 1
        assert await oidc.client_of(new) == "ada", "with the keys at hand"
        assert len(it.asked) == asked_so_far + 1
        now += 1
        assert await oidc.client_of(new) == "ada"
        assert len(it.asked) == asked_so_far + 1, "and not at each token"

    with issuer() as it:
        asyncio.run(live(it))


CONFIGURATION = "/.well-known/openid-configuration"
ODD_ISSUERS: dict[str, Callable[[Issuer], dict[str, Any]]] = {
    "another's configuration": lambda it: {
        CONFIGURATION: {"issuer": f"{it.url}/", "jwks_uri": f"{it.url}/jwks"}
    },
    "a list": lambda _: {CONFIGURATION: [1]},
    "no address of keys": lambda it: {CONFIGURATION: {"issuer": it.url}},
    "keys in the clear": lambda it: {
        CONFIGURATION: {"issuer": it.url, "jwks_uri": "http://id.example.com/jwks"}
    },
    "no URL": lambda it: {CONFIGURATION: {"issuer": it.url, "jwks_uri": "https://[/"}},
    "no keys": lambda _: {"/jwks": {"keys": []}},
    "keys of another kind": lambda _: {"/jwks": {"keys": 7}},
    "keys that encrypt": lambda it: {"/jwks": {"keys": [{**it.jwks()["keys"][1], "use": "enc"}]}},
    "secrets": lambda _: {"/jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "one", "alg": "HS256"}]}},
    "a flood": lambda it: {"/jwks": {**it.jwks(), "more": "a" * MAX_ANSWER_BYTES}},
    "too many keys": lambda it: {"/jwks": {"keys": [{"kty": "of tomorrow"}] * MAX_KEYS + it.jwks()["keys"]}},
}


@pytest.mark.parametrize("says", ODD_ISSUERS.values(), ids=ODD_ISSUERS.keys())
def test_an_issuer_that_publishes_nothing_usable_is_unreachable(
    says: Callable[[Issuer], dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with issuer() as it:
        it.says = says(it)
        with pytest.raises(IssuerUnreachable):
            asyncio.run(Oidc(it.url, AUDIENCE).client_of(it.token()))
        [told] = caplog.messages
        named = f"{it.url}{CONFIGURATION} names another issuer, or no key that signs tokens"
        assert told == named or told.startswith(f"the keys of {it.url} cannot be read: ")
        assert "None" not in told


def test_keys_are_taken_as_issuers_publish_them() -> None:
    with issuer() as it:
        [_, key] = it.jwks()["keys"]
        without_use = {name: value for name, value in key.items() if name != "use"}
        padding = [{"kty": "of tomorrow"}] * (MAX_KEYS - 1)
        for published in ([without_use], [7, {}, key], [*padding, key]):
            it.says = {"/jwks": {"keys": published}}
            assert asyncio.run(Oidc(it.url, AUDIENCE).client_of(it.token())) == "ada"
