"""GitHub OIDC: credentials that renew themselves by asking GitHub for a new token."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial

import botocore.credentials
import botocore.exceptions
import botocore.session
import tenacity

from ecs_gpu_deploy.errors import InvalidInput, Refused

AUDIENCES = {"aws-cn": "sts.amazonaws.com.cn"}
_HINT = "Add to the job:\n  permissions:\n    id-token: write\n    contents: read"


def session_for_role(
    role_arn: str,
    *,
    region: str | None,
    session_name: str,
    duration: int,
    mask: Callable[[str], None],
    environment: Mapping[str, str] = os.environ,
) -> botocore.session.Session:
    """Return a botocore session that assumes *role_arn* over OIDC, again before the credentials end.

    Each refresh fetches a fresh GitHub token (they live five minutes). Source: aws-facts C.
    """
    parts = role_arn.split(":")
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "iam" or not parts[5].startswith("role/"):
        raise InvalidInput(
            f"role-to-assume is {role_arn!r}, which is not the ARN of a role.",
            hint="Write it as arn:aws:iam::123456789012:role/NAME.",
        )
    url = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    bearer = environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not url or not bearer:
        raise Refused("GitHub gives this job no OIDC token.", hint=_HINT)
    session = botocore.session.Session()
    fetcher = botocore.credentials.AssumeRoleWithWebIdentityCredentialFetcher(
        client_creator=partial(session.create_client, region_name=region),
        web_identity_token_loader=partial(
            _token, url, bearer, AUDIENCES.get(parts[1], "sts.amazonaws.com"), mask
        ),
        role_arn=role_arn,
        extra_args={"RoleSessionName": session_name, "DurationSeconds": duration},
    )
    credentials = botocore.credentials.DeferredRefreshableCredentials(
        refresh_using=fetcher.fetch_credentials, method="assume-role-with-web-identity"
    )
    session._credentials = credentials  # type: ignore[attr-defined]  # botocore has no other way in
    return session


@tenacity.retry(
    retry=tenacity.retry_if_exception_type((OSError, ValueError)),
    wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
    stop=tenacity.stop_after_attempt(4),
    reraise=True,
)
def _answer(url: str, bearer: str) -> Mapping[str, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"bearer {bearer}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return dict(json.loads(response.read()))


def _token(url: str, bearer: str, audience: str, mask: Callable[[str], None]) -> str:
    separator = "&" if "?" in url else "?"
    try:
        token = _answer(f"{url}{separator}audience={urllib.parse.quote(audience, safe='')}", bearer)["value"]
    except urllib.error.HTTPError as error:
        raise Refused(f"GitHub's token endpoint answered {error.code}.", hint=_HINT) from error
    except (OSError, ValueError, KeyError) as error:
        raise Refused(
            f"GitHub's token endpoint gave no token ({type(error).__name__}).", hint="Run the job again."
        ) from error
    mask(token)
    return token
