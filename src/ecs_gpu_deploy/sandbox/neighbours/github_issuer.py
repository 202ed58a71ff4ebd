"""GitHub's OIDC issuer as a job sees it: a token endpoint, and tokens signed with a key of our own.

Claims and forms of `sub`: GitHub Docs, "OpenID Connect reference".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

ISSUER_HOST = "token.actions.githubusercontent.com"
RUNNER_TOKEN = "sandbox-runner-token"  # noqa: S105 - what the sandbox's own jobs show
KEY_ID = "sandbox"


class InvalidToken(Exception):
    """The token is not one of ours."""


class GithubIssuer:
    """Issue and verify tokens. `settings` is the world's `github` member."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self.issued = 0

    @cached_property
    def _key(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - wanted by few

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def claims(self, *, audience: str | None, now: float) -> dict[str, Any]:
        """Return the claims of a token issued now."""
        settings = self._settings
        repository = str(settings.get("repository", "octo-org/octo-repo"))
        owner, _, name = repository.partition("/")
        ref = str(settings.get("ref", "refs/heads/main"))
        environment = settings.get("environment")
        owner_id, repository_id = (
            str(settings.get("owner_id", "65")),
            str(settings.get("repository_id", "74")),
        )
        subject = (
            f"repo:{owner}@{owner_id}/{name}@{repository_id}"
            if settings.get("immutable_ids")
            else (f"repo:{repository}")
        )
        place = f"environment:{quote(str(environment), safe='/ ')}" if environment else f"ref:{ref}"
        claims: dict[str, Any] = {
            "iss": f"https://{ISSUER_HOST}",
            "sub": f"{subject}:{place}",
            "aud": audience or f"https://github.com/{owner}",
            "jti": f"sandbox-{self.issued}",
            "iat": int(now),
            "nbf": int(now) - 600,
            "exp": int(now + float(settings.get("token_seconds", 300))),
            "repository": repository,
            "repository_id": repository_id,
            "repository_owner": owner,
            "repository_owner_id": owner_id,
            "ref": ref,
            "event_name": "push",
            "job_workflow_ref": f"{repository}/.github/workflows/deploy.yml@{ref}",
            "runner_environment": "github-hosted",
        }
        if environment:
            claims["environment"] = environment
        return claims | dict(settings.get("claims", {}))

    def token(self, *, audience: str | None, now: float) -> str:
        """Issue a token (JWT, RS256)."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

        self.issued += 1
        header = {"typ": "JWT", "alg": "RS256", "kid": KEY_ID}
        content = f"{_encoded(header)}.{_encoded(self.claims(audience=audience, now=now))}"
        signature = self._key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{content}.{_base64(signature)}"

    def verified(self, token: str) -> dict[str, Any]:
        """Return a token's claims; raise `InvalidToken` unless this issuer signed it."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

        try:
            head, body, signature = token.split(".")
            claims = json.loads(_decoded(body))
            algorithm = json.loads(_decoded(head)).get("alg")
            self._key.public_key().verify(
                _decoded(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (ValueError, AttributeError, InvalidSignature) as error:
            raise InvalidToken(str(error)) from error
        if algorithm != "RS256" or not isinstance(claims, dict):
            raise InvalidToken("not a token of this issuer")
        return claims


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _encoded(document: Mapping[str, Any]) -> str:
    return _base64(json.dumps(document, separators=(",", ":")).encode())


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
