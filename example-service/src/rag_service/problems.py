"""Say what went wrong as problem+json (RFC 9457), one class for each thing that can.

Problem
├── InvalidRequest      400 422   the request cannot be understood
├── Unauthorized        401       with WWW-Authenticate: no key or token, or one that is not known
├── Forbidden           403       a good token that was not granted the scope
├── RateLimited         429       with Retry-After: this client asks too often
├── IssuerUnreachable   503       the keys that tokens are checked with cannot be read
├── TooSlow             408       the body does not come to its end
├── TooLarge            413
├── QueueFull           429       with Retry-After, from the measured pace of the device
├── NotReady            503       loading, draining, no GPU, device lost
├── IndexEmpty          409       nothing has been ingested yet
├── OutOfMemory         503       this request does not fit the device even alone
├── ComputeFailed       500       the model raised on this very input
└── TookTooLong         504
"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Send

MEDIA_TYPE = "application/problem+json"


class ProblemDetails(BaseModel):
    """Describe an error (RFC 9457): `detail` says what happened and the knob to turn."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:rag-service:queue-full",
                    "title": "Too Many Requests",
                    "status": 429,
                    "detail": "512 texts wait for the device already. Retry in 2 s.",
                }
            ]
        }
    )

    type: str = Field(description="A stable name of the kind of problem")
    title: str
    status: int
    detail: str


class Problem(HTTPException):
    """Carry a status, a stable name and one sentence to the client.

    FastAPI lets its own HTTPException pass through body parsing; any other becomes a nameless 400.
    """

    status: int = 500
    slug: str = "internal-error"

    def __init__(self, detail: str, *, retry_after: int | None = None, status: int | None = None) -> None:
        headers = None if retry_after is None else {"Retry-After": str(retry_after)}
        super().__init__(status_code=status or self.status, detail=detail, headers=headers)

    def details(self) -> ProblemDetails:
        """Build the body that the client reads."""
        return problem_details(self.status_code, str(self.detail), slug=self.slug)


class InvalidRequest(Problem):
    """Refuse a body that is no JSON, not UTF-8, or breaks the schema."""

    status, slug = 422, "invalid-request"


class Unauthorized(Problem):
    """Refuse who is not known (RFC 6750); without a credential the challenge names no error."""

    status, slug = 401, "unauthorized"

    def __init__(self, detail: str, *, error: str = "invalid_token") -> None:
        super().__init__(detail)
        named = f', error="{error}"' if error else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="rag-service"{named}'}


class Forbidden(Problem):
    """Refuse who is known but was not granted the scope."""

    status, slug = 403, "forbidden"

    def __init__(self, detail: str, *, scope: str) -> None:
        super().__init__(detail)
        challenge = f'Bearer realm="rag-service", error="insufficient_scope", scope="{scope}"'
        self.headers = {"WWW-Authenticate": challenge}


class RateLimited(Problem):
    """Refuse a client that asks more often than it may."""

    status, slug = 429, "rate-limited"


class IssuerUnreachable(Problem):
    """Say that nobody's token can be checked now."""

    status, slug = 503, "issuer-unreachable"


class TooSlow(Problem):
    """Give up on a body that does not come to its end; nobody waits for the rest."""

    status, slug = 408, "too-slow"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"Connection": "close"}


class TooLarge(Problem):
    """Refuse a body over the limit before it is read to its end."""

    status, slug = 413, "too-large"


class QueueFull(Problem):
    """Refuse work that would wait too long: the client knows best whether to come back."""

    status, slug = 429, "queue-full"


class NotReady(Problem):
    """Refuse work that this task cannot do now; another task may."""

    status, slug = 503, "not-ready"


class IndexEmpty(Problem):
    """Say that there is nothing to search yet: no error of this task, so no 5xx that would roll it back."""

    status, slug = 409, "index-empty"


class OutOfMemory(Problem):
    """Give up on one request that does not fit the device's memory even in a batch of one."""

    status, slug = 503, "out-of-memory"


class ComputeFailed(Problem):
    """Give up on one request that the model cannot process; the others of its batch were answered."""

    status, slug = 500, "compute-failed"


class TookTooLong(Problem):
    """Stop a request at its time limit instead of letting the load balancer cut it."""

    status, slug = 504, "took-too-long"


def problem_details(status: int, detail: str, *, slug: str | None = None) -> ProblemDetails:
    """Build the details of any HTTP status; without a slug the status itself names the kind."""
    phrase = HTTPStatus(status).phrase
    return ProblemDetails(
        type=f"urn:rag-service:{slug or phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=status,
        detail=detail,
    )


async def refuse(problem: Problem, send: Send) -> None:
    """Send a problem from below the routes."""
    body = problem.details().model_dump_json().encode()
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **(problem.headers or {})}
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status_code, "headers": sent})
    await send({"type": "http.response.body", "body": body})
