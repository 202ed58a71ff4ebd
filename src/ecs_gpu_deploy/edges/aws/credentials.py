"""Credentials that last: keys that renew themselves, over OIDC, through a chain of roles, or as found.

Sources: docs/aws-facts.md#oidc-token and #session-length; botocore's `credentials.py`.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.parsers
import botocore.session
import tenacity

from ecs_gpu_deploy.core.identity.claims import claims_of
from ecs_gpu_deploy.core.identity.role_wish import RoleWish
from ecs_gpu_deploy.core.identity.sts_refusals import StsError, chain_refusal, web_identity_refusal
from ecs_gpu_deploy.edges.aws.answers import AwsError, NoProxy, Passing, no_proxy, translated
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.clock_skew import LEAST_SECONDS, ClockSkew
from ecs_gpu_deploy.edges.ci.oidc import TokenEndpoint
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.errors import DeployError, Refused

AUDIENCES: Final[Mapping[str, str]] = {"aws-cn": "sts.amazonaws.com.cn"}
_CHAIN_LIMIT: Final = 3600
_ATTEMPTS: Final = 5
_Metadata = dict[str, Any]


class _Credentials(botocore.credentials.DeferredRefreshableCredentials):
    """Renew later than botocore does (15 and 10 minutes before the end): one token an hour, not more.

    Between the two limits a renewal that fails is tried again at the next call and harms nobody.
    """

    _advisory_refresh_timeout = 300
    _mandatory_refresh_timeout = 120


class _Forgetful(dict[str, Any]):
    """Keep nothing: botocore's cache looks at the machine's clock, and a renewal wants new keys anyway."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Drop the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What renewing needs: the clock, where to mask, count and tell, the region, the environment."""

    region: str | None
    clock: Clock
    mask: Callable[[str], None]
    say: Callable[[str], None]
    calls: Counter[str]
    environment: Mapping[str, str]
    skew: ClockSkew


def session_for(
    wish: RoleWish,
    *,
    region: str | None,
    clock: Clock,
    mask: Callable[[str], None],
    say: Callable[[str], None],
    calls: Counter[str],
    environment: Mapping[str, str] = os.environ,
    profile: str = "",
) -> botocore.session.Session | None:
    """Return a session that holds the wished roles and renews itself; None: the ambient chain will do.

    It begins with the *profile* of the AWS configuration, where one is named.

    Raise Refused where there is neither a token endpoint nor anything else to begin with. STS is first asked
    at the first call.
    """
    if not wish.roles:
        return botocore.session.Session(profile=profile) if profile else None
    logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)  # it prints tracebacks otherwise
    around = Surroundings(
        region=region,
        clock=clock,
        mask=mask,
        say=say,
        calls=calls,
        environment=environment,
        skew=ClockSkew(say),
    )
    session = botocore.session.Session(profile=profile or None)
    if wish.role_arn:
        credentials: Any = _web_identity(session, wish, around)
    else:
        credentials = session.get_credentials()
        if credentials is None:
            raise Refused(
                "There are no AWS credentials with which role-chain could begin.",
                hint="Set role-to-assume (with `permissions: id-token: write` in the job), or provide some.",
                diagnosis_code="credentials-expired",
            )
    for number, arn in enumerate(wish.chain):
        is_last = number == len(wish.chain) - 1
        credentials = _assumed(session, arn, credentials, wish, around, is_last=is_last)
    session._credentials = credentials  # type: ignore[attr-defined]  # botocore has no other way in
    return session


def check_account(aws: Aws, wish: RoleWish) -> None:
    """Raise Refused where the credentials are of an account that is not allowed.

    The account of a role stands in its ARN, so only ambient credentials cost a call.
    """
    allowed = wish.allowed_accounts
    if not allowed:
        return
    if wish.roles:
        account = wish.roles[-1].split(":")[4]
    else:
        account = str(aws.call("sts", "get_caller_identity", {}).get("Account", ""))
    if account not in allowed:
        raise Refused(
            f"The credentials are of the AWS account {account}, and allowed-account-ids has only "
            f"{', '.join(allowed)}.",
            hint="This guards against deploying to the wrong account: check the role, or the list.",
        )


def _web_identity(session: botocore.session.Session, wish: RoleWish, around: Surroundings) -> _Credentials:
    endpoint = TokenEndpoint.from_environment(around.environment, clock=around.clock, mask=around.mask)
    partition = wish.role_arn.split(":")[1]
    audience = wish.audience or AUDIENCES.get(partition, "sts.amazonaws.com")
    seen: dict[str, Mapping[str, Any]] = {}

    def load() -> str:
        token = endpoint.token(audience)
        around.calls["github.GetToken"] += 1
        seen["claims"] = claims_of(token)
        return token

    fetcher = botocore.credentials.AssumeRoleWithWebIdentityCredentialFetcher(
        client_creator=_client_creator(session, around),
        web_identity_token_loader=load,
        role_arn=wish.role_arn,
        extra_args=_extra(wish, duration=wish.duration, is_last=not wish.chain),
        cache=_Forgetful(),
    )

    def explained(error: StsError) -> DeployError:
        claims, now = seen.get("claims", {}), around.clock.now()
        return web_identity_refusal(error, wish.role_arn, claims, duration=wish.duration, now=now)

    return _renewed(
        fetcher.fetch_credentials, explained, around, "assume-role-with-web-identity", wish.duration
    )


def _assumed(
    session: botocore.session.Session,
    arn: str,
    source: Any,
    wish: RoleWish,
    around: Surroundings,
    *,
    is_last: bool,
) -> _Credentials:
    duration = min(wish.duration, _CHAIN_LIMIT)
    extra = _extra(wish, duration=duration, is_last=is_last)
    if wish.external_id:
        extra["ExternalId"] = wish.external_id
    fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
        client_creator=_client_creator(session, around),
        source_credentials=source,
        role_arn=arn,
        extra_args=extra,
        cache=_Forgetful(),
    )
    explained = partial(chain_refusal, role=arn)
    return _renewed(fetcher.fetch_credentials, explained, around, "assume-role", duration)


def _extra(wish: RoleWish, *, duration: int, is_last: bool) -> dict[str, Any]:
    extra: dict[str, Any] = {"RoleSessionName": wish.session_name, "DurationSeconds": duration}
    if wish.session_policy and is_last:
        extra["Policy"] = wish.session_policy
    return extra


def _client_creator(session: botocore.session.Session, around: Surroundings) -> Callable[..., Any]:
    """Return what botocore's fetchers make their STS client with: regional, one attempt (we retry)."""

    def count(model: Any, **_: Any) -> None:
        around.calls[f"sts.{model.name}"] += 1

    def create(service: str, config: botocore.config.Config | None = None, **rest: Any) -> Any:
        own = botocore.config.Config(
            retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=10, read_timeout=20
        )
        client = session.create_client(
            service, region_name=around.region, config=own.merge(config) if config else own, **rest
        )
        client.meta.events.register(f"before-call.{service}", count)
        around.skew.heed(client)
        return client

    return create


def _renewed(
    fetch: Callable[[], _Metadata],
    explained: Callable[[StsError], DeployError],
    around: Surroundings,
    method: str,
    duration: int,
) -> _Credentials:
    """Return credentials that renew themselves, and are reckoned by AWS's clock, whatever ours says.

    AWS's time is their end less their *duration* in seconds: by a clock that is ahead they would be called
    expired as soon as they are there, by one that is behind they would expire unnoticed.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Passing),
        wait=tenacity.wait_random_exponential(multiplier=1, max=10),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        sleep=around.clock.sleep,
        reraise=True,
    )

    renewals = 0
    ahead = 0.0

    def refresh() -> _Metadata:
        nonlocal renewals, ahead
        try:
            metadata = _fetched(retrying, fetch, explained, around.skew)
        except DeployError as error:
            if renewals:
                around.say(f"the credentials could not be renewed yet: {error.message}")
            raise
        ends = datetime.fromisoformat(str(metadata["expiry_time"])).timestamp()
        ahead = ends - duration - around.clock.now()
        if abs(ahead) < LEAST_SECONDS:
            ahead = 0.0
        elif not renewals:
            around.say(
                f"warning: the clock of this machine is {abs(ahead):.0f} s "
                f"{'behind' if ahead > 0 else 'ahead of'} AWS's, so credentials are reckoned by AWS's time."
            )
        renewals += 1
        around.mask(str(metadata["secret_key"]))
        around.mask(str(metadata["token"]))
        return metadata

    return _Credentials(
        refresh_using=refresh,
        method=method,
        time_fetcher=lambda: datetime.fromtimestamp(around.clock.now() + ahead, UTC),
    )


def _fetched(
    retrying: tenacity.Retrying,
    fetch: Callable[[], _Metadata],
    explained: Callable[[StsError], DeployError],
    skew: ClockSkew,
) -> _Metadata:
    def asked() -> _Metadata:
        try:
            return fetch()
        except (
            botocore.exceptions.ClientError,
            botocore.exceptions.BotoCoreError,
            botocore.parsers.ResponseParserError,
        ) as error:
            if isinstance(error, botocore.exceptions.ClientError) and skew.learned_from(error):
                return asked()
            raise translated(error, "sts.AssumeRole") from error

    try:
        return retrying(asked)
    except NoProxy as error:
        raise no_proxy(error, "ask STS for credentials") from error
    except AwsError as error:
        if isinstance(error.__cause__, botocore.exceptions.ClientError):
            raise explained(StsError(code=error.code, text=error.text)) from error
        raise Refused(
            f"STS gave no credentials: {error.text}",
            hint="Check the region and the network of the runner; then run the job again.",
            diagnosis_code="credentials-expired",
        ) from error
