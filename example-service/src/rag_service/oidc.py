"""Check bearer tokens (JWT) of an OpenID Connect issuer against the keys that it publishes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from rag_service.access import AccessUnusable
from rag_service.problems import Forbidden, IssuerUnreachable, Unauthorized

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that only the issuer can make: neither `none` nor secrets that we would share with it."""
KEEP_SECONDS = 600.0
"""How long keys are used before the issuer is asked again."""
RETRY_SECONDS = 10.0
"""The issuer is asked no more often than this, whatever keys strangers' tokens name."""
LEEWAY_SECONDS = 30
MAX_TOKEN = 8192
MAX_SUBJECT = 255
"""Characters that OpenID Connect allows."""
MAX_ANSWER_BYTES = 1_000_000
MAX_KEYS = 100
FETCH_SECONDS = 10
_UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError, AccessUnusable)

log = logging.getLogger("rag_service")


def checked_url(url: str, name: str) -> str:
    """Give an HTTPS URL back (on this machine HTTP will do), or raise AccessUnusable."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        usable = False
    if not usable or not parts.hostname or parts.scheme not in ("http", "https"):
        raise AccessUnusable(f"{name}: must be an https:// URL; keys over plain HTTP could be anybody's.")
    return url


class Oidc:
    """Know subjects by tokens of one issuer for one audience."""

    def __init__(
        self, issuer: str, audience: str, scope: str = "", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not issuer or not audience:
            raise AccessUnusable(
                "OIDC_ISSUER and OIDC_AUDIENCE: AUTH=oidc needs both, whose tokens and for whom."
            )
        self.discovery_url = (
            checked_url(issuer, "OIDC_ISSUER").rstrip("/") + "/.well-known/openid-configuration"
        )
        self._issuer, self._audience, self._scope = issuer, audience, scope
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def client_of(self, token: str) -> str:
        """Name the token's subject, or raise Unauthorized, Forbidden or IssuerUnreachable."""
        if len(token) > MAX_TOKEN:
            raise Unauthorized("The token is too long.")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise Unauthorized("The token cannot be read: it is no JWT.") from None
        if header.get("alg") not in ALGORITHMS:
            raise Unauthorized(
                "The token's algorithm is not accepted: it must be signed by its issuer's key."
            )
        key = await self._key(header.get("kid"))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise Unauthorized(_reason(error)) from None
        granted = claims.get("scope")
        if self._scope and self._scope not in (granted.split() if isinstance(granted, str) else []):
            raise Forbidden(f"The token lacks the scope {self._scope}.", scope=self._scope)
        if not claims["sub"].strip():
            raise Unauthorized("The token's subject is empty: it names no client.")
        if len(claims["sub"]) > MAX_SUBJECT:
            raise Unauthorized("The token's subject is too long.")
        return str(claims["sub"])

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        if kid not in self._keys or self._clock() - self._fetched > KEEP_SECONDS:
            async with self._lock:
                now = self._clock()
                missing = kid not in self._keys or now - self._fetched > KEEP_SECONDS
                if missing and now - self._tried >= RETRY_SECONDS:
                    self._tried = now
                    await self._fetch()
        if not self._keys:
            raise IssuerUnreachable("The issuer's keys cannot be read.", retry_after=int(RETRY_SECONDS))
        if kid not in self._keys:
            raise Unauthorized("The token is signed with a key that its issuer does not publish.")
        return self._keys[kid]

    async def _fetch(self) -> None:
        """Read the keys; when that fails go on with those at hand."""
        try:
            async with asyncio.timeout(FETCH_SECONDS), httpx.AsyncClient(timeout=5) as client:
                said = await _json(client, self.discovery_url)
                url = checked_url(str(said["jwks_uri"]), "its jwks_uri")
                keys = _signing_keys((await _json(client, url))["keys"])
        except (httpx.HTTPError, httpx.InvalidURL, OSError, LookupError, *_UNREADABLE) as error:
            log.warning("the keys of %s cannot be read: %r", self._issuer, error)
            return
        if said.get("issuer") != self._issuer or not keys:
            log.warning("%s names another issuer, or no key that signs tokens", self.discovery_url)
            return
        self._keys, self._fetched = keys, self._clock()


async def _json(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """Read a JSON object of bounded size; redirects are not followed."""
    body = b""
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError("the answer is too large")
    found = httpx.Response(200, content=body).json()
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")  # noqa: TRY004 - as every other bad answer
    return found


def _signing_keys(published: list[dict[str, Any]]) -> dict[str | None, jwt.PyJWK]:
    """Map the keys that can sign by their id; a kind that we do not know is left out."""
    keys: dict[str | None, jwt.PyJWK] = {}
    for entry in published[:MAX_KEYS]:
        try:
            key = jwt.PyJWK.from_dict(entry)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if key.public_key_use in (None, "sig") and key.algorithm_name in ALGORITHMS:
            keys[key.key_id] = key
    return keys


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired: get a new one."),
    (jwt.ImmatureSignatureError, "The token is not valid yet."),
    (jwt.InvalidAudienceError, "The token is for another audience."),
    (jwt.InvalidIssuerError, "The token is of another issuer."),
    (jwt.MissingRequiredClaimError, "The token lacks a claim: exp, iss, aud and sub are needed."),
    (jwt.InvalidAlgorithmError, "The token's algorithm is not that of the issuer's key."),
    (jwt.InvalidSignatureError, "The token's signature is wrong."),
)


def _reason(error: Exception) -> str:
    return next((words for kind, words in _REASONS if isinstance(error, kind)), "The token is not valid.")
