"""When the credentials of a run end, as far as the environment tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime


def credentials_end(environment: Mapping[str, str], *, role: str = "", profile: str = "") -> float | None:
    """Return it in epoch seconds, None where nothing tells: a profile's own may renew themselves, or not.

    Infinite for those of a *role* over OIDC, which renew themselves, and for keys without a session token.
    Sources: docs/aws-facts.md#session-length; AWS SDKs and Tools Reference Guide, "AWS access keys"; the
    variable AWS_CREDENTIAL_EXPIRATION of botocore and the AWS CLI.
    """
    if role:
        return math.inf
    if profile or not environment.get("AWS_ACCESS_KEY_ID"):
        return None
    if not environment.get("AWS_SESSION_TOKEN"):
        return math.inf
    with suppress(ValueError):
        return datetime.fromisoformat(environment.get("AWS_CREDENTIAL_EXPIRATION", "")).timestamp()
    return None
