"""What was asked of the sandbox: read from a request's protocol, kept for tests and for docs/permissions."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

ECS_TARGET = "AmazonEC2ContainerServiceV20141113"
KEPT_CALLS = 20_000
ACTION_PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}
"""Services that IAM calls otherwise than they sign (Service Authorization Reference, "service prefix")."""
UNSIGNED_SERVICES = {"AssumeRoleWithWebIdentity": "sts", "AssumeRoleWithSAML": "sts"}

credential_pattern = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
"""Signature Version 4's credential scope: key / date / region / service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One API request, as far as its headers and body tell.

    `service` is the signing name (`ecs`, `elasticloadbalancing`), `protocol` one of
    json, query, cbor, rest: in it an error must be answered.
    """

    service: str
    operation: str
    protocol: str
    region: str
    access_key_id: str
    parameters: Mapping[str, Any]

    @property
    def action(self) -> str:
        """The IAM action, e.g. `ecs:DescribeServices`."""
        return f"{ACTION_PREFIXES.get(self.service, self.service)}:{self.operation}"


def request_of(environ: Mapping[str, Any], body: bytes, *, default_region: str) -> Request:
    """Read service, operation, protocol, region and caller from a WSGI environment and the body."""
    scope = credential_pattern.search(environ.get("HTTP_AUTHORIZATION", ""))
    access_key_id, region, service = scope.groups() if scope else ("", default_region, "")
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    path = environ.get("PATH_INFO", "/")
    parameters: Mapping[str, Any] = {}
    if target:
        prefix, _, operation = target.rpartition(".")
        service = "ecs" if prefix == ECS_TARGET else service
        protocol = "json"
        parameters = _json_parameters(body)
    elif cbor := re.fullmatch(r"/service/([^/]+)/operation/(\w+)", path):
        operation, protocol = cbor[2], "cbor"
    elif environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        form = {key: values[-1] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
        operation, protocol, parameters = form.get("Action", ""), "query", form
        service = service or UNSIGNED_SERVICES.get(operation, "")
    else:
        operation, protocol = f"{environ.get('REQUEST_METHOD', 'GET')} {path}", "rest"
    return Request(
        service=service,
        operation=operation,
        protocol=protocol,
        region=region,
        access_key_id=access_key_id,
        parameters=parameters,
    )


def json_of(body: bytes) -> Any:
    """Return what a body says, an empty one being {}; ValueError where it is no JSON, or no Unicode."""
    document = json.loads(body or b"{}")
    if b"\\u" in body:
        json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair is nothing to work with
    return document


def _json_parameters(body: bytes) -> Mapping[str, Any]:
    try:
        parameters = json_of(body)
    except ValueError:
        return {}
    return parameters if isinstance(parameters, dict) else {}


class CallLog:
    """Keep the last calls with their outcome, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=KEPT_CALLS)

    def add(self, request: Request, *, at: float, caller: str, status: int, error: str | None) -> None:
        """Keep a call: when (model time), who, what, and how it was answered."""
        self._calls.append(
            {
                "at": at,
                "service": request.service,
                "operation": request.operation,
                "region": request.region,
                "caller": caller,
                "accessKeyId": request.access_key_id,
                "parameters": request.parameters,
                "status": status,
                "error": error,
            }
        )

    def kept(self, *, service: str | None = None, operation: str | None = None) -> list[dict[str, Any]]:
        """Return the calls, optionally of one service and operation only."""
        return [
            call
            for call in self._calls
            if (service is None or call["service"] == service)
            and (operation is None or call["operation"] == operation)
        ]

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()
