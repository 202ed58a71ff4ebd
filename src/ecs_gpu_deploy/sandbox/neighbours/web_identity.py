"""AssumeRoleWithWebIdentity for real: signature, audience, subject against the role's trust policy.

Rules: IAM User Guide, "Create a role for OpenID Connect federation" and "IAM JSON policy elements: Condition
operators". Sessions end in the model's time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ecs_gpu_deploy.sandbox.neighbours.github_issuer import ISSUER_HOST, GithubIssuer, InvalidToken
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError

ACTION = "sts:AssumeRoleWithWebIdentity"
SHORTEST = 900
CHAINED = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Temporary credentials of a role; `expires_at` is model time."""

    access_key_id: str
    secret_access_key: str
    token: str
    arn: str
    assumed_role_id: str
    expires_at: float
    subject: str = ""
    audience: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What is wanted of an IAM role."""

    arn: str
    name: str
    trust: Mapping[str, Any]
    max_session_duration: int


def session_of(
    request: Mapping[str, Any],
    *,
    role: Role | None,
    audiences: Iterable[str] | None,
    provider_arn: str,
    issuer: GithubIssuer,
    now: float,
) -> Session:
    """Return the session that a request may have, or raise the error with which STS refuses.

    `audiences` are the client ids of the account's provider for GitHub; None where it has no such provider.
    """
    if audiences is None:
        raise ApiError(
            "InvalidIdentityToken",
            f"No OpenIDConnect provider found in your account for https://{ISSUER_HOST}",
        )
    try:
        claims = issuer.verified(str(request.get("WebIdentityToken", "")))
    except InvalidToken as error:
        raise ApiError(
            "InvalidIdentityToken",
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
        ) from error
    if now >= float(claims["exp"]):
        raise ApiError(
            "ExpiredTokenException",
            f"Token expired: current date/time {int(now)} must be before the expiration date/time"
            f" {claims['exp']}",
        )
    if claims["aud"] not in set(audiences):
        raise ApiError("InvalidIdentityToken", "Incorrect token audience")
    if role is None or not trusts(role.trust, provider_arn=provider_arn, claims=claims):
        raise ApiError("AccessDenied", f"Not authorized to perform {ACTION}", status=403)
    seconds = _duration(request, role)
    session = _session(request, role.arn, ends=now + seconds)
    return replace(session, subject=str(claims["sub"]), audience=str(claims["aud"]))


def session_of_role(request: Mapping[str, Any], *, role: Role | None, chained: bool, now: float) -> Session:
    """Return the session that AssumeRole gives, or raise the error with which STS refuses.

    *chained*: who asks is a session of a role itself, and gets one hour at most (IAM User Guide, "Role
    chaining"). A role that is not declared is one of an account that is not here.
    """
    seconds = _duration(request, role)
    if chained and seconds > CHAINED:
        raise ApiError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role"
            " chaining",
        )
    return _session(request, str(request.get("RoleArn", "")), ends=now + seconds)


def _session(request: Mapping[str, Any], role: str, *, ends: float) -> Session:
    """Return a new session of the role of that ARN, good to the whole second."""
    _, partition, _, _, account, *_ = (*role.split(":"), *[""] * 5)
    name = str(request.get("RoleSessionName", "session"))
    return Session(
        access_key_id="ASIA" + secrets.token_hex(8).upper(),
        secret_access_key=secrets.token_urlsafe(30),
        token=secrets.token_urlsafe(60),
        arn=f"arn:{partition}:sts::{account}:assumed-role/{role.rpartition('/')[2]}/{name}",
        assumed_role_id=f"AROA{secrets.token_hex(8).upper()}:{name}",
        expires_at=float(int(ends)),
    )


def _duration(request: Mapping[str, Any], role: Role | None) -> int:
    text = str(request.get("DurationSeconds", "3600"))
    seconds = int(text) if text.isdigit() else 0
    if seconds < SHORTEST:
        raise ApiError(
            "ValidationError",
            f"1 validation error detected: Value '{text}' at 'durationSeconds' failed to satisfy constraint:"
            " Member must have value greater than or equal to 900",
        )
    if role is not None and seconds > role.max_session_duration:
        raise ApiError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    return seconds


def trusts(policy: Mapping[str, Any], *, provider_arn: str, claims: Mapping[str, Any]) -> bool:
    """Does a trust policy let the bearer of these claims assume the role? An explicit Deny outweighs."""
    applying = [
        statement
        for statement in _listed(policy.get("Statement"))
        if any(
            fnmatchcase(ACTION.lower(), str(action).lower()) for action in _listed(statement.get("Action"))
        )
        and _federates(statement.get("Principal"), provider_arn)
        and all(
            _meets(operator, key, _listed(wanted), claims)
            for operator, conditions in (statement.get("Condition") or {}).items()
            for key, wanted in conditions.items()
        )
    ]
    effects = {statement.get("Effect") for statement in applying}
    return "Allow" in effects and "Deny" not in effects


def _federates(principal: Any, provider_arn: str) -> bool:
    if principal == "*":
        return True
    return isinstance(principal, Mapping) and provider_arn in _listed(principal.get("Federated"))


def _meets(operator: str, key: str, wanted: list[Any], claims: Mapping[str, Any]) -> bool:
    """Is one condition met? A missing claim meets only negated, IfExists and ForAllValues ones."""
    quantifier, _, plain = operator.rpartition(":")
    optional = plain.endswith("IfExists")
    plain = plain.removesuffix("IfExists")
    host, _, name = key.rpartition(":")
    claim = claims.get(name) if host.lower() == ISSUER_HOST else None
    negated = plain.startswith("StringNot")
    if claim is None:
        return optional or negated or quantifier == "ForAllValues"
    values = [str(value) for value in _listed(claim)]

    def matches(value: str) -> bool:
        match plain.replace("Not", ""):
            case "StringEquals":
                return value in wanted
            case "StringEqualsIgnoreCase":
                return value.lower() in {str(one).lower() for one in wanted}
            case "StringLike":
                return any(fnmatchcase(value, str(one).replace("[", "[[]")) for one in wanted)
            case _:
                return False

    met = all(map(matches, values)) if quantifier == "ForAllValues" else any(map(matches, values))
    return met is not negated


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
