"""What GitHub's OIDC token says of a job, and the trust policy that would admit it.

Nothing is verified here: the claims serve to explain a refusal of STS. Sources: GitHub Docs, "OpenID Connect
reference"; IAM User Guide, "Create a role for OpenID Connect federation".
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final

GITHUB_ISSUER: Final = "token.actions.githubusercontent.com"
_SUBJECT: Final = re.compile(r"repo:(?P<owner>[^/:@]+)(?:@\d+)?/(?P<name>[^/:@]+)(?:@\d+)?:(?P<place>.+)")
_TOLD: Final = ("sub", "aud", "repository", "environment", "ref", "event_name", "job_workflow_ref")


def claims_of(token: str) -> Mapping[str, Any]:
    """Return the claims in a JWT without verifying it; an empty mapping where it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def subjects(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every `sub` under which this job may come: the token's own, the classic, the immutable form.

    Repositories created, renamed or transferred after 15 July 2026 send `repo:OWNER@ID/NAME@ID:…`, older
    ones `repo:OWNER/NAME:…`. A customised `sub` that has neither form stays alone.
    """
    own = str(claims.get("sub", ""))
    match = _SUBJECT.fullmatch(own)
    if not match:
        return (own,) if own else ()
    owner, name, place = match["owner"], match["name"], match["place"]
    forms = [own, f"repo:{owner}/{name}:{place}"]
    owner_id, repository_id = claims.get("repository_owner_id"), claims.get("repository_id")
    if owner_id and repository_id:
        forms.append(f"repo:{owner}@{owner_id}/{name}@{repository_id}:{place}")
    return tuple(dict.fromkeys(forms))


def told(claims: Mapping[str, Any]) -> str:
    """Return the claims that trust policies look at, on one line; never the token itself."""
    shown = [f"{name} = {claims[name]}" for name in _TOLD if claims.get(name)]
    if not claims.get("environment"):
        shown.append("no environment")
    return " · ".join(shown)


def trust_condition(claims: Mapping[str, Any]) -> str:
    """Return the `Condition` of a trust policy that admits exactly this job, in both forms of its `sub`."""
    issuer = str(claims.get("iss", "")).removeprefix("https://") or GITHUB_ISSUER
    admitted = subjects(claims)
    condition = {
        "StringEquals": {
            f"{issuer}:aud": claims.get("aud", ""),
            f"{issuer}:sub": list(admitted) if len(admitted) > 1 else "".join(admitted),
        }
    }
    return f'"Condition": {json.dumps(condition, ensure_ascii=False)}'


def refusal_hint(claims: Mapping[str, Any]) -> str:
    """Return what to look at when STS refuses this job: claims, the condition that admits it, what else.

    STS says neither whether the role exists nor which condition failed.
    """
    lines = [
        f"The job's token says: {told(claims)}.",
        "Its trust policy must allow sts:AssumeRoleWithWebIdentity to the provider with this condition:",
        f"  {trust_condition(claims)}",
    ]
    place = str(claims.get("sub", ""))
    if ":environment:" in place:
        lines.append("A job with `environment:` sends the environment in sub, and no ref: list that form.")
    elif place.endswith(":pull_request"):
        lines.append("This run is of a pull request: a policy for a branch does not admit it.")
    lines.append(
        "STS says the same where the role does not exist: check the name and the account in its ARN."
    )
    return "\n".join(lines)
