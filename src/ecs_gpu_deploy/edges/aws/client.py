"""The way to AWS: one session, its clients, retries on our clock, errors turned into ours, calls counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import botocore
import botocore.config
import botocore.exceptions
import botocore.parsers
import botocore.session
import tenacity

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.edges.aws.clock_skew import ClockSkew
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.errors import CredentialsExpired, InvalidInput, Refused

T = TypeVar("T")

EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "TokenRefreshRequired",
    }
)
BAD_CREDENTIALS = frozenset(
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
DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized"}
)
THROTTLED = frozenset(
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
NOT_OFFERED = frozenset(
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
_UNREACHABLE = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ResponseStreamingError,
    botocore.parsers.ResponseParserError,
)


def error_code(error: Exception) -> str:
    """Return AWS's error code of *error*, or ""."""
    if isinstance(error, botocore.exceptions.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def error_text(error: Exception) -> str:
    """Return AWS's own message of *error* on one line."""
    if isinstance(error, botocore.exceptions.ClientError):
        return " ".join(str(error.response.get("Error", {}).get("Message", "") or error).split())
    return " ".join(str(error).split())


def is_denied(error: Exception) -> bool:
    """Say whether AWS refused for want of a permission."""
    return error_code(error) in DENIED


def is_not_offered(error: Exception) -> bool:
    """Say whether the endpoint does not know the operation (an older or a partial AWS)."""
    return error_code(error) in NOT_OFFERED


def is_passing(error: BaseException) -> bool:
    """Say whether trying again may help: throttling, 5xx, a broken connection or answer."""
    if isinstance(error, _UNREACHABLE):
        return not isinstance(error, botocore.exceptions.ProxyConnectionError)
    if not isinstance(error, botocore.exceptions.ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error_code(error)
    if code in THROTTLED:
        return True
    if code == "InvalidParameterException" and "request limit exceeded" in error_text(error).lower():
        return True
    return status in {500, 502, 503, 504} and not is_not_offered(error)


def is_throttled(error: Exception) -> bool:
    """Say whether AWS throttled us, in all its words (docs/aws-facts.md#throttle-wording)."""
    return error_code(error) in THROTTLED or "request limit exceeded" in error_text(error).lower()


class Aws:
    """One AWS account and Region, seen with one set of credentials that renews itself.

    Retries are ours, not botocore's, so that they pass on the clock that is given: tenacity with random
    exponential waits up to 20 s, as botocore's standard mode does. botocore's own session is enough: boto3
    adds resources and S3 transfers to it, and a third of the time that the program needs to start.
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
        self._core = botocore_session or botocore.session.Session()
        try:
            if region:
                self._core.set_config_variable("region", region)
            found = self._core.get_config_variable("region")
        except botocore.exceptions.BotoCoreError as error:
            raise InvalidInput(f"The AWS configuration cannot be used: {error_text(error)}") from error
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
                client = self._core.create_client(service, region_name=key[1], config=config)
            except botocore.exceptions.BotoCoreError as error:
                raise InvalidInput(f"No client for {service}: {error_text(error)}") from error
            except ValueError as error:
                raise InvalidInput(
                    f"The endpoint or the region {key[1]!r} is not valid: {error_text(error)}",
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
        """Call AWS one time; botocore's errors come through, save those that end everything.

        What AWS refuses for the time of its signature is sent again with AWS's own time.
        """
        try:
            return cast("Mapping[str, Any]", getattr(self.client(api, region=region), method)(**params))
        except botocore.exceptions.ClientError as error:
            if self._skew.learned_from(error):
                return self.once(api, method, params, region=region)
            raise _ending(error) or error from error
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
            raise Refused(f"The AWS credentials cannot be had: {error_text(error)}") from error
        except botocore.exceptions.ParamValidationError as error:
            raise InvalidInput(f"{method} refuses its parameters: {error_text(error)}") from error

    def call(
        self, api: str, method: str, params: Mapping[str, Any], *, region: str | None = None
    ) -> Mapping[str, Any]:
        """Call AWS, trying again while that may help; botocore's last error comes through."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_passing),
            wait=tenacity.wait_random_exponential(multiplier=1, max=20),
            stop=tenacity.stop_after_attempt(self._attempts),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(self.once, api, method, params, region=region)


def _ending(error: botocore.exceptions.ClientError) -> Refused | None:
    """Return our error where going on makes no sense with these credentials."""
    code, text = error_code(error), error_text(error)
    if code in EXPIRED or "security token included in the request is expired" in text.lower():
        return CredentialsExpired(
            f"The AWS credentials have expired ({code}: {text}).",
            hint="Let the action get them itself (role-to-assume): then they are renewed during the wait. "
            "Credentials from another step live one hour unless role-duration-seconds says more.",
            diagnosis_code="credentials-expired",
        )
    if code in BAD_CREDENTIALS:
        return Refused(
            f"AWS does not accept the credentials ({code}: {text.partition('. ')[0].rstrip('.')}).",
            hint="Check the role, the keys and the clock of the runner.",
            diagnosis_code="credentials-expired",
        )
    return None


def refused(error: Exception, doing: str) -> Refused:
    """Return the error with which we end when AWS did not let us *doing* ("describe the service")."""
    code, text = error_code(error), error_text(error)
    if is_denied(error):
        return Refused(
            f"AWS refused to {doing}: {text}", hint="Add the permission it names to the role's policy."
        )
    if is_throttled(error):
        return Refused(
            f"AWS throttled us to the end when we wanted to {doing} ({code}: {text}).",
            hint="Run fewer deployments at once (a concurrency group), or raise poll-interval.",
            diagnosis_code="throttled",
        )
    if is_passing(error):
        return Refused(
            f"AWS did not answer when we wanted to {doing} ({code or type(error).__name__}: {text}).",
            hint="Check region, AWS_ENDPOINT_URL and the network of the runner; then run the job again.",
        )
    return Refused(f"AWS refused to {doing} ({code or type(error).__name__}: {text}).")
