"""Sign for a runner whose clock is wrong: AWS refuses a signature that is more than five minutes off.

AWS's own SDK for JavaScript learns AWS's time from the `Date` header of the refusal and signs with it;
botocore does not. Source: IAM User Guide, "Troubleshoot Signature Version 4 signing for AWS API requests".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import botocore.auth
import botocore.exceptions

CODES = frozenset(
    {
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "AuthFailure",
        "RequestInTheFuture",
    }
)
LEAST_SECONDS = 60.0
"""A smaller difference is not why a signature was refused."""
_SIGNER = "v4-with-the-time-of-aws"
_CONTEXT = "ecs_gpu_deploy_skew_seconds"


class _SigV4(botocore.auth.SigV4Auth):
    """Signature Version 4 with AWS's time instead of this machine's."""

    def _modify_request_before_signing(self, request: Any) -> None:
        theirs = datetime.now(UTC) + timedelta(seconds=request.context[_CONTEXT])
        request.context["timestamp"] = theirs.strftime(botocore.auth.SIGV4_TIMESTAMP)
        super()._modify_request_before_signing(request)  # type: ignore[misc]


botocore.auth.AUTH_TYPE_MAPS[_SIGNER] = _SigV4


class ClockSkew:
    """How far AWS's clock is ahead of this machine's, in seconds; 0 until a refusal says otherwise."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._say = say
        self.seconds = 0.0

    def heed(self, client: Any) -> None:
        """Have *client* sign with AWS's time, once that is known to be another than ours."""
        client.meta.events.register("choose-signer", self._choose)

    def _choose(self, signature_version: object, context: dict[str, Any], **_: object) -> str | None:
        if not self.seconds or signature_version != "v4":
            return None
        context[_CONTEXT] = self.seconds
        return _SIGNER

    def learned_from(self, error: botocore.exceptions.ClientError) -> bool:
        """Say whether *error* is for a wrong clock that was not known yet: then trying again will help."""
        theirs = _date_of(error)
        if theirs is None or error.response.get("Error", {}).get("Code") not in CODES:
            return False
        ahead = theirs - time.time()
        if abs(ahead - self.seconds) < LEAST_SECONDS:
            return False
        if not self.seconds and self._say is not None:
            where = "behind" if ahead > 0 else "ahead of"
            self._say(
                f"warning: the clock of this machine is {abs(ahead):.0f} s {where} AWS's, so requests are "
                "signed with AWS's time. Set the clock: credentials live longer or shorter than it says."
            )
        self.seconds = ahead
        return True


def _date_of(error: botocore.exceptions.ClientError) -> float | None:
    """Return AWS's time (epoch seconds) in the refusal, where it has one that can be read."""
    headers: Mapping[str, str] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return None
