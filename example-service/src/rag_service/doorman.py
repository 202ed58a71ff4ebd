"""Stand at the door: ask who comes before a body is read, and hold each client to its pace."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Receive, Scope, Send

from rag_service.access import AccessUnusable, ApiKeys, RateLimit, read_hashes
from rag_service.intake import CLIENT
from rag_service.oidc import Oidc
from rag_service.problems import Problem, RateLimited, Unauthorized, refuse
from rag_service.settings import Settings

OPEN = frozenset({"/", "/health", "/live", "/openapi.json", "/docs"})
"""What anybody may see: how the task is, and what the service is. Every other path wants a client."""
UNSAID = (
    "AUTH: nobody has said who may ask. Set API_KEY_HASHES (python -m rag_service.keys CLIENT makes a key), "
    "or AUTH=oidc with OIDC_ISSUER and OIDC_AUDIENCE, or AUTH=off to answer everybody."
)
Authority = ApiKeys | Oidc


def authority_of(settings: Settings) -> Authority | None:
    """Choose who tells clients apart; None where everybody was said to be welcome. Raises AccessUnusable."""
    hashes = settings.api_key_hashes.get_secret_value() if settings.api_key_hashes else ""
    mode = settings.auth or ("keys" if hashes else None)
    if mode is None:
        raise AccessUnusable(UNSAID)
    if mode == "oidc":
        return Oidc(settings.oidc_issuer, settings.oidc_audience, settings.oidc_scope)
    if mode == "off":
        return None
    if not hashes:
        raise AccessUnusable(
            "API_KEY_HASHES: AUTH=keys needs it; python -m rag_service.keys CLIENT makes a key."
        )
    return ApiKeys(read_hashes(hashes))


def security_scheme(authority: Authority) -> dict[str, str]:
    """Describe for OpenAPI what a client has to send."""
    if isinstance(authority, Oidc):
        return {"type": "openIdConnect", "openIdConnectUrl": authority.discovery_url}
    return {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer, then the API key"}


class Doorman:
    """Wrap the routes as plain ASGI. What strangers send is never kept."""

    def __init__(self, app: ASGIApp, authority: Authority, limit: RateLimit) -> None:
        self._app, self._authority, self._limit = app, authority, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let open paths and known clients pass; refuse others as problem+json."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            try:
                client = await self._client(scope)
                scope[CLIENT] = client
                wait = self._limit.seconds_to_wait(client, time.monotonic())
                if wait:
                    why = f"More requests than RATE_LIMIT_PER_MINUTE allows. Retry in {wait} s."
                    raise RateLimited(why, retry_after=wait)
            except Problem as problem:
                await refuse(problem, send)
                return
        await self._app(scope, receive, send)

    async def _client(self, scope: Scope) -> str:
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if not sent:
            raise Unauthorized("Send Authorization: Bearer, then your API key or token.", error="")
        kind, _, credential = sent[0].decode("latin-1").partition(" ")
        if len(sent) > 1 or kind.lower() != "bearer" or not credential.strip():
            raise Unauthorized("Send one header Authorization: Bearer, then your API key or token.")
        if isinstance(self._authority, Oidc):
            return await self._authority.client_of(credential.strip())
        client = self._authority.client_of(credential.strip())
        if client is None:
            raise Unauthorized("This API key is not known.")
        return client
