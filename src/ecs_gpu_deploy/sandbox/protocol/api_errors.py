"""The errors with which AWS answers, as one exception.

A code, AWS's own message and the HTTP status: the HTTP layer writes them in the protocol of the call.
Messages and codes: Amazon ECS API Reference, "Common Errors" and each operation's "Errors".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """Carry an AWS error code, its message, the HTTP status and further members of the error shape."""

    def __init__(
        self, code: str, message: str, *, status: int = 400, members: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})


def client_exception(message: str) -> ApiError:
    """Return the error for a request that AWS cannot carry out as asked."""
    return ApiError("ClientException", message)


def invalid_parameter(message: str) -> ApiError:
    """Return the error for a parameter that is wrong for the operation."""
    return ApiError("InvalidParameterException", message)


def serialization(message: str) -> ApiError:
    """Return the error for a body that does not fit the operation's types."""
    return ApiError("SerializationException", message)


def cluster_not_found() -> ApiError:
    """Return AWS's answer to a cluster name that it does not know."""
    return ApiError("ClusterNotFoundException", "Cluster not found.")


def service_not_found() -> ApiError:
    """Return AWS's answer to a service name that it does not know."""
    return ApiError("ServiceNotFoundException", "Service not found.")


def access_denied(caller: str, action: str, resource: str) -> ApiError:
    """Return AWS's refusal in the words of "Troubleshoot access denied error messages" (IAM User Guide)."""
    return ApiError(
        "AccessDeniedException",
        f"User: {caller} is not authorized to perform: {action} on resource: {resource}"
        f" because no identity-based policy allows the {action} action",
    )
