"""AWS's errors, translated once: what a call can end in besides an answer that can be read.

::

    AwsError                 AWS's error code, the request, AWS's own text
    ├── Closed               the operation is closed to us for good
    │   ├── Denied           a permission is missing
    │   └── Unsupported      the endpoint does not know the operation (an older or a partial AWS)
    ├── Missing              what the request names does not exist
    ├── Rejected             AWS finds something else wrong with the request
    ├── NoProxy              the proxy that the environment names lets nothing through
    ├── Unclear              whether the request was carried out is not known
    └── Passing              trying again may help: a 5xx, or one of
        ├── Throttled
        ├── Unreachable      no connection, or one that broke: the request may have been carried out
        │   └── NeverSent    no connection: it was not
        └── OddAnswer        an answer that cannot be read: no JSON, a member of another type
            └── HalfAnswer   an answer without what was asked for

None of them has an exit code: a caller who can go on without the answer does. Who cannot says so with
`needed_to`, which makes it an error of `errors`. Credentials that are no good end every run, so `client`
raises those as errors of `errors` at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import botocore.exceptions
import botocore.parsers

from ecs_gpu_deploy.errors import Refused

_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized"}
)
_THROTTLED_TEXTS: Final = ("request limit exceeded", "too many concurrent attempts to create a new revision")
"""Throttles that come with another code: docs/aws-facts.md#throttle-wording."""
_THROTTLED: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "SlowDown",
    }
)
_UNSUPPORTED: Final = frozenset(
    {
        "UnknownOperationException",
        "UnknownOperation",
        "InvalidAction",
        "UnsupportedFeatureException",
        "UnsupportedOperation",
        "UnsupportedOperationException",
        "NotImplemented",
        "404",
        "501",
    }
)
_IDP_UNREACHABLE: Final = "IDPCommunicationError"
_NO_KEY: Final = "retrieve verification key"
"""STS could not ask GitHub just now; the second comes as InvalidIdentityToken, and only the text tells.

Source: STS API Reference, AssumeRoleWithWebIdentity, "Errors"
(https://github.com/aws-actions/configure-aws-credentials/issues/299)."""
_PROXY_WANTS_A_PASSWORD: Final = 407
_ITS_OWN_FAULT: Final = frozenset({500, 502, 503, 504})


class AwsError(Exception):
    """Say which request failed, with AWS's error code and AWS's own text on one line.

    Where no answer came, `code` is the name of botocore's exception. `request` is `ecs.DescribeServices`.
    """

    def __init__(self, text: str, *, code: str = "", request: str = "") -> None:
        self.text = one_line(text)
        self.code = code or type(self).__name__
        self.request = request
        super().__init__(self.text)


class Closed(AwsError):
    """The operation is closed to us for good."""


class Denied(Closed):
    """A permission is missing."""


class Unsupported(Closed):
    """The endpoint does not know the operation."""


class Missing(AwsError):
    """What the request names does not exist."""


class Rejected(AwsError):
    """AWS finds something else wrong with the request."""


class NoProxy(AwsError):
    """The proxy that the environment names lets nothing through."""


class Unclear(AwsError):
    """Whether the request was carried out is not known."""


class Passing(AwsError):
    """Trying again may help."""


class Throttled(Passing):
    """AWS throttled us."""


class Unreachable(Passing):
    """There is no connection, or it broke: the request may have been carried out."""


class NeverSent(Unreachable):
    """There is no connection, so the request was not sent."""


class OddAnswer(Passing):
    """The answer cannot be read."""


class HalfAnswer(OddAnswer):
    """AWS answered, but without what was asked for."""


def was_not_carried_out(error: AwsError) -> bool:
    """Say whether AWS certainly did not do what was asked, so that asking again does nothing twice.

    A throttled request is not executed, and AWS's SDKs repeat it (docs/aws-facts.md#request-throttling).
    A 5xx, an answer that cannot be read and a connection that broke tell nothing.
    """
    return not isinstance(error, Unclear | Passing) or isinstance(error, Throttled | NeverSent)


def one_line(error: Exception | str) -> str:
    """Return the text of an error on one line."""
    return " ".join(str(error).split())


def kind_of(code: str, text: str, status: int) -> type[AwsError]:
    """Return what AWS means by an error code, its text and the HTTP status.

    ECS throttles with InvalidParameterException too, and only the text tells
    (docs/aws-facts.md#throttle-wording).
    """
    if code in _DENIED:
        return Denied
    if status == _PROXY_WANTS_A_PASSWORD:
        return NoProxy
    if code in _UNSUPPORTED:
        return Unsupported
    if code in _THROTTLED or any(said in text.lower() for said in _THROTTLED_TEXTS):
        return Throttled
    if status in _ITS_OWN_FAULT or code == _IDP_UNREACHABLE or _NO_KEY in text.lower():
        return Passing
    name = code.removesuffix("Exception")
    return Missing if name.endswith("NotFound") or name == "NoSuchEntity" else Rejected


def translated(error: Exception, request: str) -> AwsError:
    """Return *error*, as botocore raised it for *request*, in our words."""
    if isinstance(error, botocore.exceptions.ClientError):
        answer = error.response.get("Error", {})
        code, text = str(answer.get("Code", "")), str(answer.get("Message", "") or error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return kind_of(code, text, status)(text, code=code, request=request)
    return _without_code(error)(_text_of(error), code=type(error).__name__, request=request)


def _text_of(error: Exception) -> str:
    """Return what botocore says; of a proxy it does not say why, and that stands in what it was given."""
    cause = error.kwargs.get("error") if isinstance(error, botocore.exceptions.ProxyConnectionError) else None
    return f"{error} ({getattr(cause, 'original_error', None) or cause})" if cause else str(error)


def _without_code(error: Exception) -> type[AwsError]:
    match error:
        case botocore.exceptions.ProxyConnectionError():
            return NoProxy
        case botocore.exceptions.EndpointConnectionError() | botocore.exceptions.ConnectTimeoutError():
            return NeverSent
        case (
            botocore.exceptions.ConnectionError()
            | botocore.exceptions.HTTPClientError()
            | botocore.exceptions.IncompleteReadError()
            | botocore.exceptions.ResponseStreamingError()
        ):
            return Unreachable
        case botocore.exceptions.BotoCoreError():
            return Rejected
        case _:
            return OddAnswer


@contextmanager
def reading(request: str) -> Iterator[None]:
    """Turn what breaks while an answer is read into OddAnswer: a member is missing, or of another type."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise OddAnswer(
            f"the answer has another shape than AWS documents ({type(error).__name__}: {error})",
            request=request,
        ) from error


@contextmanager
def needed_to(doing: str) -> Iterator[None]:
    """End the run where AWS does not let us *doing* ("describe the service")."""
    try:
        yield
    except AwsError as error:
        raise refused(error, doing) from error


def refused(error: AwsError, doing: str) -> Refused:
    """Return the error with which we end when AWS did not let us *doing* ("describe the service")."""
    match error:
        case Denied():
            return Refused(
                f"AWS refused to {doing}: {error.text}",
                hint="Add the permission it names to the role's policy.",
            )
        case Throttled():
            return Refused(
                f"AWS throttled us to the end when we wanted to {doing} ({error.code}: {error.text}).",
                hint="Run fewer deployments at once (a concurrency group), or raise poll-interval.",
                diagnosis_code="throttled",
            )
        case NoProxy():
            return no_proxy(error, doing)
        case Unclear():
            return Refused(
                f"AWS was asked to {doing}, and whether it did is not known ({error.code}: {error.text}).",
                hint="Look before you run the job again.",
            )
        case Passing():
            return Refused(
                f"AWS did not answer when we wanted to {doing} ({error.code}: {error.text}).",
                hint="Check region, AWS_ENDPOINT_URL and the network of the runner; then run the job again.",
            )
        case _:
            return Refused(f"AWS refused to {doing} ({error.code}: {error.text}).")


def no_proxy(error: AwsError, doing: str) -> Refused:
    """Return the error with which we end where the proxy does not let us *doing*."""
    asks = f"{_PROXY_WANTS_A_PASSWORD}" in f"{error.code} {error.text}"
    why = "it wants a user and a password, or other ones" if asks else "it lets nothing through"
    return Refused(
        f"The proxy did not let us {doing}: {why} ({error.text.rstrip('.')}).",
        hint=PROXY_HINT,
    )


PROXY_HINT: Final = (
    "The proxy is that of HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT); what NO_PROXY names goes past it."
)
