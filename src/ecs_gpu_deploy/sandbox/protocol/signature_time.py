"""Refuse signatures that are too old or too new, in AWS's words.

Source: IAM User Guide, "Troubleshoot Signature Version 4 signing for AWS API requests".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError
from ecs_gpu_deploy.sandbox.protocol.calls import Request

TOLERANCE = timedelta(minutes=5)
FORMAT = "%Y%m%dT%H%M%SZ"


def mistimed(request: Request, signed_at: str, *, now: float) -> ApiError | None:
    """Return the refusal of a request signed at *signed_at* (X-Amz-Date; "" for an unsigned one), or None."""
    try:
        signed = datetime.strptime(signed_at, FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    ours = datetime.fromtimestamp(now, UTC)
    early, late = ours - TOLERANCE, ours + TOLERANCE
    if early <= signed <= late:
        return None
    if signed < early:
        problem = f"Signature expired: {signed_at} is now earlier than {_text(early)}"
        message = f"{problem} ({_text(ours)} - 5 min.)"
    else:
        problem = f"Signature not yet current: {signed_at} is still later than {_text(late)}"
        message = f"{problem} ({_text(ours)} + 5 min.)"
    if request.protocol == "query":
        return ApiError("SignatureDoesNotMatch", message, status=403)
    return ApiError("InvalidSignatureException", message)


def _text(moment: datetime) -> str:
    return moment.strftime(FORMAT)
