"""GitHub's OIDC token endpoint: a fresh token whenever one is wanted."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException

import tenacity

from ecs_gpu_deploy.edges.ci.github_api import staying_opener
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.errors import Refused

NO_PERMISSION = (
    "Add to the job (or to the workflow):\n  permissions:\n    id-token: write\n    contents: read"
)
_ATTEMPTS = 5
_LONGEST_ANSWER = 256 * 1024
_PROXY_WANTS_A_PASSWORD = 407


class _TryAgain(Exception):
    """The endpoint gave no token, but may give one later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """Where this job gets its tokens; `bearer` is the runner's secret for asking.

    Source: docs/aws-facts.md#oidc-token.
    """

    url: str
    bearer: str
    clock: Clock
    mask: Callable[[str], None]
    timeout: float = 10.0

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, clock: Clock, mask: Callable[[str], None]
    ) -> TokenEndpoint:
        """Read the runner's variables; raise Refused with the lines to add where the job has none."""
        url = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
        bearer = environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
        if not url or not bearer:
            if environment.get("GITHUB_ACTIONS") == "true":
                what, hint = "GitHub gives this job no OIDC token: it lacks the permission id-token.", ""
            else:
                what = "There is no OIDC token here: role-to-assume needs a job of GitHub Actions."
                hint = (
                    "\nOutside GitHub Actions leave role-to-assume out, or name the role in role-chain: it is"
                    " then assumed with the credentials that are there."
                )
            raise Refused(what, hint=NO_PERMISSION + hint, diagnosis_code="credentials-expired")
        if urllib.parse.urlsplit(url).scheme not in {"https", "http"}:
            raise Refused("ACTIONS_ID_TOKEN_REQUEST_URL is no web address.", hint=NO_PERMISSION)
        return cls(url=url, bearer=bearer, clock=clock, mask=mask)

    def token(self, audience: str) -> str:
        """Fetch a token for *audience*: up to five attempts of ten seconds each; Refused without one.

        Tokens live five minutes, so each is used at once and never kept.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgain),
            wait=tenacity.wait_random_exponential(multiplier=1, max=10),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            sleep=self.clock.sleep,
            reraise=True,
        )
        try:
            token = retrying(self._fetch, audience)
        except _TryAgain as error:
            raise Refused(
                f"GitHub's token endpoint gave no token in {_ATTEMPTS} attempts: {error}.",
                hint="It is GitHub's or the network's fault: run the job again, and see githubstatus.com.",
                diagnosis_code="credentials-expired",
            ) from error
        self.mask(token)
        return token

    def _fetch(self, audience: str) -> str:
        separator = "&" if "?" in self.url else "?"
        request = urllib.request.Request(  # noqa: S310  (the scheme was looked at)
            f"{self.url}{separator}audience={urllib.parse.quote(audience, safe='')}",
            headers={"Authorization": f"bearer {self.bearer}", "Accept": "application/json"},
        )
        try:
            with staying_opener().open(request, timeout=self.timeout) as response:
                body = response.read(_LONGEST_ANSWER)
        except urllib.error.HTTPError as error:
            with error:
                code = error.code
            if code == _PROXY_WANTS_A_PASSWORD:
                raise _stopped_by_proxy(error) from error
            if code in {408, 429} or code >= 500:
                raise _TryAgain(f"it answered {code}") from error
            raise Refused(
                f"GitHub's token endpoint refused to give a token (it answered {code}).",
                hint=NO_PERMISSION,
                diagnosis_code="credentials-expired",
            ) from error
        except TimeoutError as error:
            raise _TryAgain(f"it did not answer within {self.timeout:g} s") from error
        except urllib.error.URLError as error:
            if f"{_PROXY_WANTS_A_PASSWORD}" in str(error.reason):
                raise _stopped_by_proxy(error) from error
            late = isinstance(error.reason, (TimeoutError, socket.timeout))
            why = f"it did not answer within {self.timeout:g} s" if late else f"{error.reason}"
            raise _TryAgain(why) from error
        except (OSError, HTTPException) as error:
            raise _TryAgain(f"the connection broke ({type(error).__name__})") from error
        except ValueError:
            # Python's own text holds the header, and with it the runner's secret.
            raise Refused(
                "No request can hold the runner's ACTIONS_ID_TOKEN_REQUEST_TOKEN or _URL.",
                hint="Leave both to the runner.",
                diagnosis_code="credentials-expired",
            ) from None
        try:
            token = json.loads(body)["value"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            kind = "HTML" if body.lstrip()[:1] == b"<" else "something else"
            raise _TryAgain(f"it answered {kind} instead of a token") from error
        if not isinstance(token, str) or not token:
            raise _TryAgain("its answer has no token")
        return token


def _stopped_by_proxy(error: urllib.error.URLError) -> Refused:
    return Refused(
        "The proxy did not let us ask GitHub for a token: it wants a user and a password, or other ones "
        f"({error.reason}).",
        hint="The proxy is that of HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT); what NO_PROXY names goes "
        "past it.",
        diagnosis_code="credentials-expired",
    )
