"""Faults on purpose: error answers, resets, delays and denials, by operation, time, count and chance."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError, access_denied
from ecs_gpu_deploy.sandbox.protocol.calls import Request

KNOWN_ERRORS: Mapping[str, tuple[int, str]] = {
    "ThrottlingException": (400, "Rate exceeded"),
    "RequestLimitExceeded": (503, "Request limit exceeded."),
    "ServerException": (500, "Service Unavailable. Please try again later."),
    "InternalFailure": (500, "The request processing has failed because of an unknown error."),
    "ServiceUnavailable": (503, "Service Unavailable. Please try again later."),
    "ExpiredTokenException": (400, "The security token included in the request is expired"),
    "ExpiredToken": (403, "The security token included in the request is expired"),
    "UnrecognizedClientException": (400, "The security token included in the request is invalid."),
    "InvalidClientTokenId": (403, "The security token included in the request is invalid."),
    "InvalidSignatureException": (
        400,
        "Signature expired: the request signing time is not within 5 minutes of the server's time",
    ),
    "RequestExpired": (400, "Request has expired."),
    "AccessDeniedException": (400, "User is not authorized to perform this operation."),
}
"""Status and message where a fault names only the code (Amazon ECS API Reference, "Common Errors")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. Times are model seconds after the fault was set; `delay_seconds` is wall time.

    `signature_time` refuses only what was signed more than five minutes off the clock here.

    Patterns are shell-like: `DescribeServices`, `ecs:List*`, `*`; without a service, any service. `where` is
    text that the request's parameters must have, as JSON.
    """

    operation: str
    where: str = ""
    error: str | None = None
    message: str | None = None
    status: int | None = None
    reset: bool = False
    delay_seconds: float = 0.0
    body: str | None = None
    signature_time: bool = False
    after_seconds: float = 0.0
    until_seconds: float | None = None
    skip: int = 0
    count: int | None = None
    probability: float = 1.0

    def names(self, request: Request) -> bool:
        """Is the request one of those that this fault is about?"""
        if not fnmatchcase(request.action if ":" in self.operation else request.operation, self.operation):
            return False
        return not self.where or self.where in json.dumps(request.parameters)

    def api_error(self) -> ApiError | None:
        """Return the error to answer with, if the fault is one."""
        if self.error is None:
            return None
        status, message = KNOWN_ERRORS.get(self.error, (400, self.error))
        return ApiError(self.error, self.message or message, status=self.status or status)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    since: float
    met: int = 0
    fired: int = 0


class Faults:
    """The faults now set, and the operations denied."""

    def __init__(self, *, seed: int = 0) -> None:
        self._armed: list[_Armed] = []
        self._denied: list[str] = []
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def set(self, faults: Sequence[Fault], *, now: float) -> None:
        """Add faults; their times count from now."""
        self._armed.extend(_Armed(fault, since=now) for fault in faults)

    def deny(self, actions: Sequence[str]) -> None:
        """Refuse IAM actions (`ecs:ListServiceDeployments`, patterns allowed) from now on."""
        self._denied.extend(actions)

    def clear(self) -> None:
        """Forget every fault and denial."""
        self._armed.clear()
        self._denied.clear()

    def refusal(self, request: Request, *, caller: str, resource: str) -> ApiError | None:
        """Return AccessDenied for a denied action, in the words of IAM."""
        if any(fnmatchcase(request.action, pattern) for pattern in self._denied):
            refusal = access_denied(caller, request.action, resource)
            if request.protocol == "query":
                return ApiError("AccessDenied", refusal.message, status=403)
            return refusal
        return None

    def fault_of(self, request: Request, *, now: float) -> Fault | None:
        """Return the first fault that is due for a request, and count it."""
        for armed in self._armed:
            fault = armed.fault
            elapsed = now - armed.since
            if not fault.names(request) or elapsed < fault.after_seconds:
                continue
            if fault.until_seconds is not None and elapsed >= fault.until_seconds:
                continue
            armed.met += 1
            if armed.met <= fault.skip or (fault.count is not None and armed.fired >= fault.count):
                continue
            if fault.probability < 1.0 and self._chance.random() >= fault.probability:
                continue
            armed.fired += 1
            return fault
        return None


def fault_from(entry: Mapping[str, Any]) -> Fault:
    """Read a fault from a world file or a request; the entry has been checked against the schema."""
    return Fault(**entry)
