"""The clock: the machine's own, or the sandbox's when ECS_GPU_DEPLOY_CLOCK names it.

Only tests and the demo set that variable. The sandbox's clock is either *stepped*: it moves when someone
sleeps on it, so a rollout of 20 minutes passes in milliseconds; or *scaled*: wall time times a factor.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from ecs_gpu_deploy.errors import InvalidInput

VARIABLE = "ECS_GPU_DEPLOY_CLOCK"


class Clock(Protocol):
    """Now in epoch seconds, and sleeping."""

    def now(self) -> float:
        """Return the time in epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""


class WallClock:
    """The clock of this machine. Steps of the system time don't touch it: it runs on the monotonic one."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return self._offset + time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        time.sleep(max(seconds, 0.0))


class SandboxClock:
    """The clock that a sandbox serves over HTTP, on loopback only."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise InvalidInput(
                f"{VARIABLE} must be an http address on loopback.",
                hint=f"Unset {VARIABLE}: only tests and the demo set it.",
            )
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=30)
        self._speed = 1.0
        self._stepped = True
        self._stands_at: float | None = None

    def now(self) -> float:
        """Return the time of the sandbox in epoch seconds.

        A stepped clock stands where our last sleep left it: that needs no question.
        """
        if self._stands_at is not None:
            return self._stands_at
        state = self._exchange("GET", None)
        self._stepped = state.get("mode") == "stepped"
        self._speed = float(state.get("speed") or 1.0)
        return float(state["now"])

    def sleep(self, seconds: float) -> None:
        """Let *seconds* of the sandbox's time pass: by advancing it, or by waiting the scaled time."""
        if self._stepped:
            self._stands_at = None
            self._stands_at = float(self._exchange("POST", {"advance": max(seconds, 0.0)})["now"])
        else:
            time.sleep(max(seconds, 0.0) / self._speed)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _exchange(self, method: str, body: Mapping[str, float] | None) -> Mapping[str, Any]:
        payload = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, self._path, payload, {"Content-Type": "application/json"})
            answer = self._connection.getresponse().read()
            return dict(json.loads(answer))
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._connection.close()
            raise InvalidInput(
                f"The sandbox's clock does not answer ({type(error).__name__}).",
                hint=f"Is the sandbox still running? Otherwise unset {VARIABLE}.",
            ) from error
        except BaseException:
            # A cancelled job asks once more for the time: not on a connection with half an exchange.
            self._connection.close()
            raise


def clock_from_environment(environment: Mapping[str, str] = os.environ) -> WallClock | SandboxClock:
    """Return the sandbox's clock where the environment names one, otherwise the machine's."""
    url = environment.get(VARIABLE, "")
    if not url:
        return WallClock()
    clock = SandboxClock(url)
    clock.now()
    return clock
