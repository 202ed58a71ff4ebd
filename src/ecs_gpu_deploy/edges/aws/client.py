"""The way to AWS: one session, its clients, retries on our clock, calls counted."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import boto3.session
import botocore
import botocore.config
import botocore.exceptions
import botocore.parsers
import botocore.session
import tenacity

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.core.text import nearest, span
from ecs_gpu_deploy.edges.aws.answer_shape import check_answer
from ecs_gpu_deploy.edges.aws.answers import (
    AwsError,
    HalfAnswer,
    NeverSent,
    OddAnswer,
    Passing,
    Unclear,
    Unreachable,
    one_line,
    reading,
    translated,
    was_not_carried_out,
)
from ecs_gpu_deploy.edges.aws.clock_skew import ClockSkew
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.edges.machine.signals import CutShort, at_most, heeded_signals, seen_through
from ecs_gpu_deploy.errors import CredentialsExpired, InvalidInput, Refused

T = TypeVar("T")

_EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "TokenRefreshRequired",
    }
)
_BAD_CREDENTIALS = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "AuthFailure",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
    }
)

_NOT_REMEMBERED = frozenset({"describe_task_definition", "get_secret_value"})
REQUEST_SECONDS = 60.0
"""How long one request may take in wall time, however slowly its answer drips."""
LEAST_SECONDS = 2.0
"""How long a call may take where all that AWS gets together is used up: most answer in a tenth of it."""
GRACE_SECONDS = 3.0
"""How long a request that changes AWS may still take once the job is cancelled: SIGKILL comes 10 s later."""


class Aws:
    """One AWS account and Region, seen with one set of credentials that renews itself.

    Retries are ours, not botocore's, so that they pass on the clock that is given: tenacity with random
    exponential waits up to 20 s, as botocore's standard mode does. The clients are boto3's, over a botocore
    session that may hold credentials of ours. Calls that no block bounds take at most *patience* wall seconds
    together, with their retries; beyond that each gets LEAST_SECONDS.
    """

    def __init__(
        self,
        *,
        region: str | None,
        clock: Clock,
        botocore_session: botocore.session.Session | None = None,
        attempts: int = 8,
        patience: float | None = None,
        trace: Callable[[str], None] | None = None,
        calls: Counter[str] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._skew = ClockSkew(say)
        self.calls: Counter[str] = Counter() if calls is None else calls
        self._clock = clock
        self._attempts = attempts
        self._left = patience
        self._trace = trace
        self._clients: dict[tuple[str, str], Any] = {}
        self._until: float | None = None
        self._seen: dict[str, Mapping[str, Any]] | None = None
        core = botocore_session or botocore.session.Session()
        try:
            if region:
                core.set_config_variable("region", region)
            self._session: Any = boto3.session.Session(botocore_session=core)
            found = self._session.region_name
        except botocore.exceptions.ProfileNotFound as error:
            raise _no_profile(core, error) from error
        except botocore.exceptions.BotoCoreError as error:
            raise InvalidInput(f"The AWS configuration cannot be used: {one_line(error)}") from error
        if not found:
            raise InvalidInput(
                "The region is missing.",
                hint="Set the input region (flag --region), or AWS_REGION in the environment.",
            )
        self.region: str = found

    def check_region(self, *, resolve: Callable[[str, int], object] = socket.getaddrinfo) -> None:
        """Raise InvalidInput at once for a Region that nobody knows: its endpoint's name leads nowhere.

        One that is newer than botocore is known to the name servers. Behind a proxy nobody here can tell.
        """
        known = [
            name
            for partition in self._session.get_available_partitions()
            for name in self._session.get_available_regions("ecs", partition)
        ]
        host = urlsplit(self.client("ecs").meta.endpoint_url).hostname or ""
        if self.region in known or self.region not in host or "https" in getproxies():
            return
        try:
            resolve(host, 443)
        except (OSError, UnicodeError) as error:
            near = nearest(self.region, known)
            raise InvalidInput(
                f"There is no AWS Region {self.region!r}.",
                hint=f"Did you mean region: {near}?" if near else "Check region; it is such as eu-central-1.",
            ) from error

    def client(self, service: str, *, region: str | None = None) -> Any:
        """Return the client of *service*, made once per Region."""
        key = (service, region or self.region)
        if key not in self._clients:
            config = botocore.config.Config(
                retries={"total_max_attempts": 1, "mode": "standard"},
                connect_timeout=10,
                read_timeout=30,
                # Given whole: botocore would put its own together anew for every request.
                user_agent=f"ecs-gpu-deploy/{__version__} Botocore/{botocore.__version__}",
                parameter_validation=True,
            )
            try:
                client = self._session.client(service, region_name=key[1], config=config)
            except botocore.exceptions.InvalidRegionError as error:
                raise InvalidInput(
                    f"There is no AWS Region {key[1]!r}.", hint="Check region; it is such as eu-central-1."
                ) from error
            except botocore.exceptions.PartialCredentialsError as error:
                raise _incomplete(error) from error
            except botocore.exceptions.BotoCoreError as error:
                raise InvalidInput(f"No client for {service}: {one_line(error)}") from error
            except ValueError as error:
                raise InvalidInput(
                    f"The endpoint or the region {key[1]!r} is not valid: {one_line(error)}",
                    hint="Check region and AWS_ENDPOINT_URL.",
                ) from error
            client.meta.events.register(f"before-call.{service}", self._count)
            client.meta.events.register("before-parse", check_answer)
            self._skew.heed(client)
            self._clients[key] = client
        return self._clients[key]

    def _count(self, model: Any, **_: Any) -> None:
        name = f"{model.service_model.service_name}.{model.name}"
        self.calls[name] += 1
        if self._trace:
            self._trace(name)

    @contextmanager
    def bounded(self, seconds: float | None) -> Iterator[None]:
        """Let the requests in the block take *seconds* of wall time together: then they are unreachable."""
        outer = self._until
        if seconds is not None:
            until = time.monotonic() + seconds
            self._until = until if outer is None else min(outer, until)
        try:
            yield
        finally:
            self._until = outer

    @property
    def is_late(self) -> bool:
        """Say whether our patience is used up: what does not answer now is not asked again."""
        return self._left is not None and self._left <= 0

    @contextmanager
    def _patiently(self) -> Iterator[None]:
        """Let a call with its retries take what is left of our patience, or of the block around it."""
        if self._left is None or self._until is not None:
            yield
            return
        began = time.monotonic()
        try:
            with self.bounded(max(self._left, LEAST_SECONDS)):
                yield
        finally:
            self._left -= time.monotonic() - began

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Answer a request that was answered before from memory: for what changes nothing in a moment.

        Task definitions are asked for anew, for their answers are read raw; a secret's value is kept nowhere.
        """
        self._seen = {}
        try:
            yield
        finally:
            self._seen = None

    def once(
        self, api: str, method: str, params: Mapping[str, Any], *, region: str | None = None
    ) -> Mapping[str, Any]:
        """Call AWS one time; raise AwsError, or an error of `errors` for what ends everything.

        What AWS refuses for the time of its signature is sent again with AWS's own time.
        """
        if self._seen is None or method in _NOT_REMEMBERED:
            return self._once(api, method, params, region=region)
        key = json.dumps([api, method, region, params], sort_keys=True, default=str)
        if key not in self._seen:
            self._seen[key] = self._once(api, method, params, region=region)
        return self._seen[key]

    def _once(
        self, api: str, method: str, params: Mapping[str, Any], *, region: str | None = None
    ) -> Mapping[str, Any]:
        client = self.client(api, region=region)
        request = f"{api}.{client.meta.method_to_api_mapping[method]}"
        left = REQUEST_SECONDS if self._until is None else self._until - time.monotonic()
        if left <= 0:
            raise NeverSent("there was no time left to ask", code="NoTimeLeft", request=request)
        seconds = min(left, REQUEST_SECONDS)
        with at_most(seconds) as limit:
            try:
                return self._sent(client, method, params, request)
            except CutShort as cut:
                if cut.limit is not limit:
                    raise
                told = f"no whole answer within {seconds:.0f} s"
                raise Unreachable(told, code="NoTimeLeft", request=request) from cut

    def _sent(self, client: Any, method: str, params: Mapping[str, Any], request: str) -> Mapping[str, Any]:
        try:
            return cast("Mapping[str, Any]", getattr(client, method)(**params))
        except botocore.exceptions.ClientError as error:
            if self._skew.learned_from(error):
                return self._sent(client, method, params, request)
            ours = translated(error, request)
            raise _ending(ours) or ours from error
        except botocore.exceptions.NoCredentialsError as error:
            raise Refused(
                "There are no AWS credentials.",
                hint="In a job of GitHub set role-to-assume (with `permissions: id-token: write`), or run "
                "aws-actions/configure-aws-credentials before; elsewhere set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or aws-profile.",
                diagnosis_code="credentials-expired",
            ) from error
        except botocore.exceptions.PartialCredentialsError as error:
            raise _incomplete(error) from error
        except (
            botocore.exceptions.CredentialRetrievalError,
            botocore.exceptions.TokenRetrievalError,
            botocore.exceptions.SSOError,
        ) as error:
            raise Refused(f"The AWS credentials cannot be had: {one_line(error)}") from error
        except botocore.exceptions.ParamValidationError as error:
            raise InvalidInput(f"{method} refuses its parameters: {one_line(error)}") from error
        except (botocore.exceptions.BotoCoreError, botocore.parsers.ResponseParserError) as error:
            raise translated(error, request) from error
        except RuntimeError as error:
            raise self._not_renewed(error) or error from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # botocore's parser does not expect a member of another type.
            raise translated(error, request) from error

    def _not_renewed(self, error: RuntimeError) -> Refused | None:
        """Return what it means that botocore renews credentials and holds them for expired: a wrong clock.

        None where it is something else (RefreshableCredentials raises no error of botocore's own).
        """
        ends = getattr(self._session.get_credentials(), "_expiry_time", None)
        now = datetime.now(UTC)
        if not isinstance(ends, datetime) or ends > now:
            return None
        return CredentialsExpired(
            f"The AWS credentials were renewed, and end at {ends:%Y-%m-%d %H:%M} UTC, which by the clock of "
            f"this machine ({now:%Y-%m-%d %H:%M} UTC) was {span((now - ends).total_seconds())} ago "
            f"({one_line(error).rstrip('.')}).",
            hint="Set the clock: a self-hosted runner needs NTP. Where it is right, what renews them (a "
            "credential_process, an instance role) hands out old ones.",
            diagnosis_code="credentials-expired",
        )

    def call(
        self, api: str, method: str, params: Mapping[str, Any], *, region: str | None = None
    ) -> Mapping[str, Any]:
        """Call AWS, trying again while that may help; raise as `once` does."""
        return self.read(api, method, params, lambda answer: answer, region=region)

    def read(
        self,
        api: str,
        method: str,
        params: Mapping[str, Any],
        reader: Callable[[Mapping[str, Any]], T],
        *,
        region: str | None = None,
        once: bool = False,
    ) -> T:
        """Return what *reader* makes of AWS's answer, for requests that change nothing; raise as `call` does.

        An answer that it cannot read is asked for again, but *once*: with one try.
        """

        def read() -> T:
            answer = self.once(api, method, params, region=region)
            with reading(f"{api}.{method}"):
                return reader(answer)

        with self._patiently():
            if once:
                return read()
            return self._retrying(lambda error: isinstance(error, Passing), self._clock.sleep)(read)

    def change(
        self,
        api: str,
        method: str,
        params: Mapping[str, Any],
        *,
        repeatable: bool = False,
        region: str | None = None,
        whole: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> Mapping[str, Any]:
        """Call AWS to change something; raise as `once` does, Unclear where it may have been carried out.

        An answer that *whole* cannot read is one that tells nothing.

        What certainly was not carried out is sent again, and what is *repeatable*: AWS does that once however
        often it is asked. A signal waits for the end of a request, at most GRACE_SECONDS, and is heeded
        between two.
        """

        def sent() -> Mapping[str, Any]:
            with seen_through(GRACE_SECONDS) as limit:
                try:
                    answer = self.once(api, method, params, region=region)
                    with reading(f"{api}.{method}"):
                        if whole is not None:
                            whole(answer)
                    return answer  # noqa: TRY300
                except CutShort as cut:
                    if cut.limit is not limit:
                        raise
                    raise Unclear(
                        f"the job was cancelled, and AWS did not answer within {GRACE_SECONDS:g} s",
                        request=f"{api}.{method}",
                    ) from cut

        try:
            with self._patiently():
                return self._retrying(
                    lambda error: _helps(error, repeatable=repeatable), self._heeding_sleep
                )(sent)
        except Passing as error:
            if was_not_carried_out(error):
                raise
            raise Unclear(error.text, code=error.code, request=error.request) from error

    def _heeding_sleep(self, seconds: float) -> None:
        with heeded_signals():
            self._clock.sleep(seconds)

    def _retrying(
        self, helps: Callable[[BaseException], bool], sleep: Callable[[float], None]
    ) -> tenacity.Retrying:
        """Return what tries again while that *helps* and there is time."""
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(helps),
            wait=tenacity.wait_random_exponential(multiplier=1, max=20),
            stop=self._is_over,
            sleep=sleep,
            reraise=True,
        )

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        if self._until is not None and time.monotonic() + state.upcoming_sleep >= self._until:
            return True
        return state.attempt_number >= self._attempts

    def pages(
        self,
        api: str,
        method: str,
        params: Mapping[str, Any],
        member: str,
        *,
        following: str = "nextToken",
        region: str | None = None,
        once: bool = False,
    ) -> Iterator[Any]:
        """Yield what the list *member* of the answers holds, a call a page; raise as `once` does.

        OddAnswer where a page names itself as the next one, HalfAnswer where it lacks the list: AWS sends an
        empty one where there is nothing.

        *following* is the member with which AWS says that there is more, *once*: no page is asked for twice.
        """
        wanted = dict(params)

        def page(answer: Mapping[str, Any]) -> Mapping[str, Any]:
            if answer.get(member) is None:
                raise HalfAnswer(f"the answer has no {member}", request=f"{api}.{method}")
            return answer

        while True:
            answer = self.read(api, method, wanted, page, region=region, once=once)
            yield from answer[member]
            token = answer.get(following)
            if not token:
                return
            if token == wanted.get(following):
                raise OddAnswer("the list never ends: its next page is this one", request=f"{api}.{method}")
            wanted[following] = token


def _incomplete(error: botocore.exceptions.PartialCredentialsError) -> Refused:
    lacking = error.kwargs.get("cred_var", "a part")
    return Refused(
        f"The AWS credentials are incomplete: {lacking} is missing.",
        hint=f"Set {lacking} too, or take the others away where other credentials are meant.",
    )


def _no_profile(core: botocore.session.Session, error: botocore.exceptions.ProfileNotFound) -> InvalidInput:
    wanted = str(error.kwargs.get("profile", ""))
    known = sorted(core.full_config.get("profiles", {}))
    near = nearest(wanted, known)
    there = f"there are {', '.join(known[:10])}" if known else "there are none"
    return InvalidInput(
        f"The AWS configuration has no profile {wanted[:100]!r}; {there}.",
        hint=f"Did you mean {near}?" if near else "Check aws-profile, AWS_PROFILE and AWS_CONFIG_FILE.",
    )


def _helps(error: BaseException, *, repeatable: bool) -> bool:
    """Say whether a request that changes something is sent again after *error*."""
    return isinstance(error, Passing) and (repeatable or was_not_carried_out(error))


def _ending(error: AwsError) -> Refused | None:
    """Return our error where going on makes no sense with these credentials."""
    code, text = error.code, error.text
    if code in _EXPIRED or "security token included in the request is expired" in text.lower():
        return CredentialsExpired(
            f"The AWS credentials have expired ({code}: {text}).",
            hint="Let the action get them itself (role-to-assume): then they are renewed during the wait. "
            "Credentials from another step live one hour unless role-duration-seconds says more.",
            diagnosis_code="credentials-expired",
        )
    if code in _BAD_CREDENTIALS:
        return Refused(
            f"AWS does not accept the credentials ({code}: {text.partition('. ')[0].rstrip('.')}).",
            hint="Check the role, the keys and the clock of the runner.",
            diagnosis_code="credentials-expired",
        )
    return None
