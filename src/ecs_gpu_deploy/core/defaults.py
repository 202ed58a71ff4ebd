"""What ECS does where nobody said: one home for the defaults that several rooms need.

The judge, the ECS model, the comparison of task definitions and the sandbox read them here; what AWS's own
answers leave out is filled in by `model.py`. A source stands at each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CLUSTER: Final = "default"
"""The cluster that is meant where nobody names one (API Reference, UpdateService, "cluster")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The bounds of a setting, both included, and its default; None where it is off."""

    least: int
    most: int
    default: int | None


HEALTH_CHECK: Final[Mapping[str, Setting]] = {
    "interval": Setting(least=5, most=300, default=30),
    "timeout": Setting(least=2, most=60, default=5),
    "retries": Setting(least=1, most=10, default=3),
    "startPeriod": Setting(least=0, most=300, default=None),
}
"""A container's healthCheck, in seconds but for the retries (docs/aws-facts.md#container-health-check)."""

STOP_TIMEOUT_SECONDS: Final = 30
"""How long a container has between SIGTERM and SIGKILL (docs/aws-facts.md#agent-timeouts)."""

UNCHECKED_SECONDS: Final = 40.0
"""How long a task without a check must run to be healthy (docs/aws-facts.md#healthy-after-40-seconds)."""

ALARM_BAKE_SECONDS: Final = 300.0
"""How long alarms watch a finished rolling deployment without a time of its own: unconfirmed.

Source: docs/aws-facts.md#alarm-bake-time.
"""


def health_check_number(check: Mapping[str, Any], name: str) -> int:
    """Return a number of a raw healthCheck, in seconds but for `retries`; 0 for one that is off.

    Source: docs/aws-facts.md#container-health-check.
    """
    value = check.get(name)
    return int((HEALTH_CHECK[name].default or 0) if value is None else value)


def stop_timeout(container: Mapping[str, Any]) -> float:
    """Return the seconds between SIGTERM and SIGKILL of a raw container definition.

    Source: docs/aws-facts.md#agent-timeouts.
    """
    return float(container.get("stopTimeout") or STOP_TIMEOUT_SECONDS)


def bake_seconds(minutes: float, *, strategy: str, alarms: bool) -> float:
    """Return for how many seconds a finished deployment is watched before ECS calls it complete.

    *minutes* is `bakeTimeInMinutes`, 0 where it is not said: DescribeServices shows 0 for a service that
    never set one. A rolling deployment bakes only where *alarms* watch it. Source:
    docs/aws-facts.md#alarm-bake-time.
    """
    own = minutes * 60.0
    if strategy not in {"", "ROLLING"}:
        return own
    return (own or ALARM_BAKE_SECONDS) if alarms else 0.0
