"""The way to AWS: one session, its clients, retries on our clock, calls counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import boto3.session
import botocore
import botocore.config
import botocore.exceptions
import botocore.parsers
import botocore.session
import tenacity

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.edges.aws.answers import AwsError, OddAnswer, Passing, one_line, translated
from ecs_gpu_deploy.edges.aws.clock_skew import ClockSkew
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.errors import CredentialsExpired, InvalidInput, Refused

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


class Aws:
    """One AWS account and Region, seen with one set of credentials that renews itself.

    Retries are ours, not botocore's, so that they pass on the clock that is given: tenacity with random
    exponential waits up to 20 s, as botocore's standard mode does. The clients are boto3's, over a botocore
    session that may hold credentials of ours.
    """

    def __init__(
        self,
        *,
        region: str | None,
        clock: Clock,
        botocore_session: botocore.session.Session | None = None,
        attempts: int = 8,
        trace: Callable[[str], None] | None = None,
        calls: Counter[str] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._skew = ClockSkew(say)
        self.calls: Counter[str] = Counter() if calls is None else calls
        self._clock = clock
        self._attempts = attempts
        self._trace = trace
        self._clients: dict[tuple[str, str], Any] = {}
        core = botocore_session or botocore.session.Session()
        try:
            if region:
                core.set_config_variable("region", region)
            self._session: Any = boto3.session.Session(botocore_session=core)
            found = self._session.region_name
        except botocore.exceptions.BotoCoreError as error:
            raise InvalidInput(f"The AWS configuration cannot be used: {one_line(error)}") from error
        if not found:
            raise InvalidInput(
                "The region is missing.",
                hint="Set the input region (flag --region), or AWS_REGION in the environment.",
            )
        self.region: str = found

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
            except botocore.exceptions.BotoCoreError as error:
                raise InvalidInput(f"No client for {service}: {one_line(error)}") from error
            except ValueError as error:
                raise InvalidInput(
                    f"The endpoint or the region {key[1]!r} is not valid: {one_line(error)}",
                    hint="Check region and AWS_ENDPOINT_URL.",
                ) from error
            client.meta.events.register(f"before-call.{service}", self._count)
            self._skew.heed(client)
            self._clients[key] = client
        return self._clients[key]

    def _count(self, model: Any, **_: Any) -> None:
        name = f"{model.service_model.service_name}.{model.name}"
        self.calls[name] += 1
        if self._trace:
            self._trace(name)

    def once(
        self, api: str, method: str, params: Mapping[str, Any], *, region: str | None = None
    ) -> Mapping[str, Any]:
        """Call AWS one time; raise AwsError, or an error of `errors` for what ends everything.

        What AWS refuses for the time of its signature is sent again with AWS's own time.
        """
        client = self.client(api, region=region)
        request = f"{api}.{client.meta.method_to_api_mapping[method]}"
        try:
            return cast("Mapping[str, Any]", getattr(client, method)(**params))
        except botocore.exceptions.ClientError as error:
            if self._skew.learned_from(error):
                return self.once(api, method, params, region=region)
            ours = translated(error, request)
            raise _ending(ours) or ours from error
        except botocore.exceptions.NoCredentialsError as error:
            raise Refused(
                "There are no AWS credentials.",
                hint="Set role-to-assume (with `permissions: id-token: write` in the job), or run "
                "aws-actions/configure-aws-credentials before.",
                diagnosis_code="credentials-expired",
            ) from error
        except (
            botocore.exceptions.PartialCredentialsError,
            botocore.exceptions.CredentialRetrievalError,
            botocore.exceptions.TokenRetrievalError,
            botocore.exceptions.SSOError,
        ) as error:
            raise Refused(f"The AWS credentials cannot be had: {one_line(error)}") from error
        except botocore.exceptions.ParamValidationError as error:
            raise InvalidInput(f"{method} refuses its parameters: {one_line(error)}") from error
        except (botocore.exceptions.BotoCoreError, botocore.parsers.ResponseParserError) as error:
            raise translated(error, request) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # botocore's parser does not expect a member of another type.
            raise translated(error, request) from error

    def call(
        self, api: str, method: str, params: Mapping[str, Any], *, region: str | None = None
    ) -> Mapping[str, Any]:
        """Call AWS, trying again while that may help; raise as `once` does."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Passing),
            wait=tenacity.wait_random_exponential(multiplier=1, max=20),
            stop=tenacity.stop_after_attempt(self._attempts),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(self.once, api, method, params, region=region)

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

        OddAnswer where a page names itself as the next one.

        *following* is the member with which AWS says that there is more, *once*: no page is asked for twice.
        """
        call, wanted = self.once if once else self.call, dict(params)
        while True:
            answer = call(api, method, wanted, region=region)
            yield from answer.get(member) or ()
            token = answer.get(following)
            if not token:
                return
            if token == wanted.get(following):
                raise OddAnswer("the list never ends: its next page is this one", request=f"{api}.{method}")
            wanted[following] = token


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
