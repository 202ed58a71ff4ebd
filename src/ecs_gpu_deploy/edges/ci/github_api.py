"""GitHub's REST API: JSON in, JSON out, with the job's token."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException
from typing import Any, Final

import tenacity

from ecs_gpu_deploy.core.definition.secret_text import MASK
from ecs_gpu_deploy.core.text import is_variable, plain
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.errors import InvalidInput

PUBLIC_URL: Final = "https://api.github.com"
_VERSION: Final = "2022-11-28"
_LONGEST_ANSWER: Final = 16 * 1024 * 1024
_MOVED: Final = frozenset({301, 302, 307, 308})
_MOST_MOVES: Final = 3
_A_PAGE: Final = 100
_MOST_PAGES: Final = 30


class GitHubError(Exception):
    """GitHub did not do what it was asked; `status` is 0 where it gave no answer.

    The text is half a sentence, `hint` says what the token lacks, where GitHub tells. It ends no run: who
    asks says what it means.
    """

    def __init__(self, message: str, *, status: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint


class _TryAgain(GitHubError):
    """It may go well later: after `pause` seconds, where GitHub says so."""

    pause: float = 0.0


class _Moved(Exception):
    """What was asked for has another address."""


def staying_opener() -> urllib.request.OpenerDirector:
    """Return what opens addresses of the web with the proxies of now, and follows no redirect by itself.

    The token would go along to any host, and urllib reads the new address before anybody can look at it.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubApi:
    """The API at `url`, asked with `token` ("" asks as anybody may); paths begin with a slash.

    Source: GitHub "Getting started with the REST API", "Rate limits for the REST API", "Best practices for
    using the REST API" (redirects, Retry-After).
    """

    clock: Clock
    token: str = field(default="", repr=False)
    url: str = PUBLIC_URL
    timeout: float = 10.0
    attempts: int = 4
    longest_pause: float = 60.0

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, given: str, clock: Clock, mask: Callable[[str], None]
    ) -> GitHubApi:
        """Return the API of the server that the job runs on: GITHUB_API_URL, or GitHub's own.

        *given* is the token, or the name of the variable that holds it; without it it is GITHUB_TOKEN's.
        Raise InvalidInput where there is no such variable.
        """
        token = given or environment.get("GITHUB_TOKEN", "")
        if is_variable(given):
            if not environment.get(given):
                raise InvalidInput(
                    f"github-token names {given}, and there is no environment variable {given}.",
                    hint=f"Set {given} in the step's env, or leave github-token out for GITHUB_TOKEN.",
                )
            token = environment[given]
        mask(token)
        return cls(clock=clock, token=token, url=environment.get("GITHUB_API_URL", "") or PUBLIC_URL)

    def get(self, path: str, query: Mapping[str, str] = {}) -> Any:
        """Return what GitHub answers to GET; raise GitHubError."""
        return self._asked("GET", path + (f"?{urllib.parse.urlencode(query)}" if query else ""), None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return what GitHub answers to POST; raise GitHubError, and after a lost answer do not ask again."""
        return self._asked("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return what GitHub answers to PATCH; raise GitHubError."""
        return self._asked("PATCH", path, body)

    def listed(self, path: str, query: Mapping[str, str] = {}) -> Iterator[Any]:
        """Yield the elements of a list, page by page, up to 3,000; raise GitHubError."""
        for page in range(1, _MOST_PAGES + 1):
            found = self.get(path, {**query, "per_page": str(_A_PAGE), "page": str(page)})
            if not isinstance(found, list):
                raise GitHubError(f"GitHub answered GET {path} with no list")
            yield from found
            if len(found) < _A_PAGE:
                return

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            told = error.pause if isinstance(error, _TryAgain) else 0.0
            return told or tenacity.wait_random_exponential(multiplier=1, max=10)(state)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgain),
            wait=wait,
            stop=tenacity.stop_after_attempt(self.attempts),
            sleep=self.clock.sleep,
            reraise=True,
        )
        return retrying(self._once, method, path, body)

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        base = self.url.rstrip("/")
        if urllib.parse.urlsplit(base).scheme not in {"https", "http"}:
            raise GitHubError(f"GITHUB_API_URL is no web address ({plain(base, limit=100)})")
        address = base + path
        for _ in range(_MOST_MOVES):
            try:
                return self._sent(method, address, path, body)
            except _Moved as moved:
                address = _joined(address, str(moved))
                if _origin(address) != _origin(base):
                    raise GitHubError(f"GitHub sends {method} {path} to another host") from moved
        raise GitHubError(f"GitHub sends {method} {path} in a circle")

    def _sent(self, method: str, address: str, path: str, body: Mapping[str, Any] | None) -> Any:
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": _VERSION,
            "User-Agent": "ecs-gpu-deploy",
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310  (looked at)
        what = f"{method} {path}"
        try:
            with staying_opener().open(request, timeout=self.timeout) as response:
                text = response.read(_LONGEST_ANSWER)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in _MOVED and (place := error.headers.get("Location", "")):
                    raise _Moved(place) from error
                raise self._refusal(what, error.code, error.headers, _body_of(error)) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            is_late = isinstance(reason, TimeoutError)
            why = f"did not answer within {self.timeout:g} s" if is_late else f"gave no answer ({reason})"
            # Who refuses the connection has done nothing; else it may have been done.
            is_safe = method != "POST" or isinstance(reason, ConnectionRefusedError)
            kind = _TryAgain if is_safe else GitHubError
            raise kind(f"GitHub {why} to {what}") from error
        except ValueError:
            # Python's own text holds the header, and with it the token.
            told = f"no request can hold the token or the address of {what}"
            raise GitHubError(told, hint="Set the token without blanks and line breaks.") from None
        try:
            return json.loads(text) if text.strip() else None
        except (ValueError, RecursionError) as error:
            raise GitHubError(f"GitHub answered {what} with no JSON") from error

    def _refusal(self, what: str, status: int, headers: Message, body: bytes) -> GitHubError:
        """Return the error of an answer that is none of success, with what GitHub says about it."""
        said = _message_in(body)
        if self.token:
            said = said.replace(self.token, MASK)
        said = plain(said, limit=300).rstrip(".")
        message = f"GitHub answered {what} with {status}" + (f": {said}" if said else "")
        pause = _seconds(headers.get("Retry-After", ""))
        is_spent = headers.get("X-RateLimit-Remaining") == "0" or "rate limit" in said.lower()
        is_limit = status == 429 or (status == 403 and (pause > 0 or is_spent))
        if status >= 500 or is_limit:
            if pause > self.longest_pause or (status == 403 and not pause):
                hint = "Its rate limit is reached: try again later." if is_limit else ""
                return GitHubError(message, status=status, hint=hint)
            later = _TryAgain(message, status=status)
            later.pause = pause
            return later
        accepted = plain(headers.get("X-Accepted-GitHub-Permissions", ""), limit=100)
        hint = ""
        if status in {401, 403, 404} and accepted:
            hint = f"The token needs the permission {accepted.replace('=', ': ')} (permissions of the job)."
        return GitHubError(message, status=status, hint=hint)


def _joined(address: str, place: str) -> str:
    """Return where *place* leads, seen from *address*; "" for what is no address."""
    try:
        return urllib.parse.urljoin(address, place)
    except ValueError:
        return ""


def _origin(address: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(address)
    return parts.scheme, parts.netloc


def _body_of(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_LONGEST_ANSWER)
    except (OSError, HTTPException):
        return b""


def _message_in(body: bytes) -> str:
    """Return what GitHub says went wrong; "" where it says it in another shape."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(told.get("message", "")) if isinstance(told, dict) else ""


def _seconds(text: str) -> float:
    return float(text) if text.strip().isdecimal() else 0.0
