"""Sessions of GitHub tokens over HTTP: the token request, STS's answers, an ended session's error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from ecs_gpu_deploy.sandbox.neighbours.web_identity import Session
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError
from ecs_gpu_deploy.sandbox.protocol.calls import Request
from ecs_gpu_deploy.sandbox.protocol.query_xml import query_answer

TOKEN_PATH = "/_sandbox/github/token"  # noqa: S105 - a path
OWN_STS_ACTIONS = frozenset({"sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:GetCallerIdentity"})
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
REQUEST_ID = "00000000-0000-0000-0000-000000000000"


def github_token_request(environ: Mapping[str, Any], *, region: str) -> Request:
    """Read a job's request for a token; faults and the call log know it as `github:GetToken`."""
    query = {key: values[-1] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    return Request(
        service="github",
        operation="GetToken",
        protocol="rest",
        region=region,
        access_key_id="",
        parameters=query,
    )


def expired_session(request: Request) -> ApiError:
    """Return the refusal of credentials whose session has ended, in the words of the protocol."""
    message = "The security token included in the request is expired"
    if request.protocol in ("query", "rest"):
        return ApiError("ExpiredToken", message, status=403)
    return ApiError("ExpiredTokenException", message)


def assumed_role_xml(operation: str, session: Session) -> str:
    """Write the answer of AssumeRole or AssumeRoleWithWebIdentity."""
    expiration = datetime.fromtimestamp(session.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    members: dict[str, Any] = {
        "Credentials": {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "SessionToken": session.token,
            "Expiration": expiration,
        },
        "AssumedRoleUser": {"Arn": session.arn, "AssumedRoleId": session.assumed_role_id},
    }
    if session.subject:
        members |= {"SubjectFromWebIdentityToken": session.subject, "Audience": session.audience}
    return _answer(operation, members)


def caller_identity_xml(session: Session) -> str:
    """Write the answer of GetCallerIdentity for a session."""
    account = session.arn.split(":")[4]
    members = {"Arn": session.arn, "UserId": session.assumed_role_id, "Account": account}
    return _answer("GetCallerIdentity", members)


def _answer(operation: str, members: Mapping[str, Any]) -> str:
    return query_answer(operation, members, namespace=NAMESPACE, request_id=REQUEST_ID)
