"""What a deployment sets in the service's deployment configuration, checked against what the service has.

UpdateService takes `deploymentConfiguration` as one structure, so what nobody named is sent as it is shown.
Sources: API Reference, DeploymentConfiguration and what it holds; docs/aws-facts.md#deployment-settings.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import LINEAR_STEP_PERCENT, Api, Service

Strategy = Literal["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"]
Action = Literal["disabled", "enabled", "rollback"]
EarlySuccess = Literal["disabled", "BLOCKING", "DEFERRED"]
LONGEST_BAKE_MINUTES: Final = 1440
_STEPS: Final = {
    "LINEAR": ("linearConfiguration", "stepPercent", "stepBakeTimeInMinutes", 3.0),
    "CANARY": ("canaryConfiguration", "canaryPercent", "canaryBakeTimeInMinutes", 0.1),
}
"""Strategy → its member, the names of percent and minutes in that, and the least percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """At how many failed tasks the circuit breaker acts (API Reference, ThresholdConfiguration)."""

    type: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """What is to be set; what is None, or empty, stays as the service has it. Times are whole minutes."""

    strategy: Strategy | None = None
    bake_time: int | None = None
    step_percent: float | None = None
    step_bake_time: int | None = None
    alarms: tuple[str, ...] = ()
    alarm_action: Action | None = None
    circuit_breaker: Action | None = None
    breaker_threshold: Threshold | None = None
    early_success: EarlySuccess | None = None
    early_success_percent: int | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Return the options that somebody gave."""
        return tuple(
            each.name.replace("_", "-") for each in fields(self) if getattr(self, each.name) not in (None, ())
        )


def with_settings(service: Service, wish: DeploymentSettings) -> Service:
    """Return the service as it will be; InvalidInput for what does not go with what it has.

    Source: docs/aws-facts.md#deployment-settings.
    """
    if not wish.given:
        return service
    if service.deployment_controller != "ECS" or service.is_express:
        how = (
            "is one of Express Mode"
            if service.is_express
            else f"is deployed by {service.deployment_controller}"
        )
        raise InvalidInput(
            f"The service {service.name!r} {how}, and {wish.given[0]} is of deployments by ECS itself.",
            hint=f"Leave {wish.given[0]} out.",
        )
    configuration = copy.deepcopy(dict(service.deployment_configuration))
    strategy = wish.strategy or service.strategy or "ROLLING"
    _set_strategy(configuration, service, wish, strategy)
    _set_alarms(configuration, service, wish)
    _set_breaker(configuration, service, wish)
    _set_bake(configuration, service, wish, strategy)
    _set_steps(configuration, wish, strategy)
    _set_early_success(configuration, service, wish, strategy)
    return service.with_configuration(configuration)


def settings_changed(before: Service, after: Service) -> tuple[str, ...]:
    """Return what differs in the deployment configuration: `bakeTimeInMinutes 5 → 10`."""
    old, new = dict(_leaves(before.deployment_configuration)), dict(_leaves(after.deployment_configuration))
    names = [*old, *(name for name in new if name not in old)]
    return tuple(
        f"{name} {old.get(name, 'not set')} → {new.get(name, 'not set')}"
        for name in names
        if old.get(name) != new.get(name)
    )


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        yield path, ", ".join(map(str, value)) or "none"
    else:
        yield path, str(value).lower() if isinstance(value, bool) else str(value)


def _set_strategy(
    configuration: dict[str, Any], service: Service, wish: DeploymentSettings, strategy: str
) -> None:
    """Set the strategy, and leave out what goes with another one only."""
    if wish.strategy is None or strategy == (service.strategy or "ROLLING"):
        return
    if strategy != "ROLLING" and not service.shifts_traffic:
        raise InvalidInput(
            f"strategy is {strategy}, and a load balancer of the service {service.name!r} has no alternate "
            "target group for it.",
            hint="Give its loadBalancers an advancedConfiguration (alternate target group, role) first.",
        )
    if service.strategy in {"", "ROLLING"} and wish.bake_time is None:
        raise InvalidInput(
            f"strategy is {strategy}, which needs a bake-time, and the service {service.name!r} has none.",
            hint="Set bake-time: how long both revisions run after the traffic was shifted.",
        )
    configuration["strategy"] = strategy
    for of, (member, *_) in _STEPS.items():
        if of != strategy:
            configuration.pop(member, None)
    if strategy != "ROLLING":
        configuration.pop("earlySuccessCriteria", None)


def _set_alarms(configuration: dict[str, Any], service: Service, wish: DeploymentSettings) -> None:
    if not wish.alarms and wish.alarm_action is None:
        return
    old: Api = configuration.get("alarms") or {}
    names = list(wish.alarms or old.get("alarmNames") or ())
    if not names:
        raise InvalidInput(
            f"alarm-action is {wish.alarm_action}, and the service {service.name!r} has no alarms.",
            hint="Name them with alarms.",
        )
    rollback = bool(old.get("rollback")) if old.get("enable") else True
    configuration["alarms"] = {
        "alarmNames": names,
        "enable": wish.alarm_action != "disabled",
        "rollback": rollback if wish.alarm_action is None else wish.alarm_action == "rollback",
    }


def _set_breaker(configuration: dict[str, Any], service: Service, wish: DeploymentSettings) -> None:
    if wish.circuit_breaker is None and wish.breaker_threshold is None:
        return
    breaker = {"enable": False, "rollback": False, **(configuration.get("deploymentCircuitBreaker") or {})}
    if wish.circuit_breaker is not None:
        breaker["enable"] = wish.circuit_breaker != "disabled"
        breaker["rollback"] = wish.circuit_breaker == "rollback"
    if wish.breaker_threshold is not None:
        if not breaker["enable"]:
            raise InvalidInput(
                f"breaker-threshold is given, and the circuit breaker of {service.name!r} is off.",
                hint="Set circuit-breaker to rollback or enabled.",
            )
        threshold = wish.breaker_threshold
        breaker["thresholdConfiguration"] = {"type": threshold.type, "value": threshold.value}
    configuration["deploymentCircuitBreaker"] = breaker


def _set_bake(
    configuration: dict[str, Any], service: Service, wish: DeploymentSettings, strategy: str
) -> None:
    if wish.bake_time is None:
        return
    if strategy == "ROLLING" and not (configuration.get("alarms") or {}).get("enable"):
        raise InvalidInput(
            f"bake-time is {wish.bake_time} min, and a rolling deployment of the service {service.name!r} "
            "bakes only where alarms watch it.",
            hint="Name alarms, or leave bake-time out.",
        )
    configuration["bakeTimeInMinutes"] = wish.bake_time


def _set_steps(configuration: dict[str, Any], wish: DeploymentSettings, strategy: str) -> None:
    given = [name for name in wish.given if name.startswith("step-")]
    if not given:
        return
    if strategy not in _STEPS:
        raise InvalidInput(
            f"{given[0]} is of the strategies LINEAR and CANARY, and this deployment is {strategy}.",
            hint=f"Set strategy, or leave {given[0]} out.",
        )
    member, percent, minutes, least = _STEPS[strategy]
    steps = dict(configuration.get(member) or {})
    if wish.step_percent is not None:
        tenths = wish.step_percent * 10
        if not least <= wish.step_percent <= 100 or not math.isclose(tenths, round(tenths)):
            raise InvalidInput(
                f"step-percent is {wish.step_percent:g}, and {strategy} takes {least:g} to 100 in tenths.",
                hint=f"Write such as step-percent: {LINEAR_STEP_PERCENT:g}.",
            )
        steps[percent] = wish.step_percent
    if wish.step_bake_time is not None:
        steps[minutes] = wish.step_bake_time
    configuration[member] = steps


def _set_early_success(
    configuration: dict[str, Any], service: Service, wish: DeploymentSettings, strategy: str
) -> None:
    given: Sequence[str] = [name for name in wish.given if name.startswith("early-")]
    if not given:
        return
    if strategy != "ROLLING" and wish.early_success != "disabled":
        raise InvalidInput(
            f"{given[0]} is of the strategy ROLLING, and this deployment is {strategy}.",
            hint=f"Leave {given[0]} out.",
        )
    old: Api = configuration.get("earlySuccessCriteria") or {}
    if wish.early_success == "disabled":
        configuration["earlySuccessCriteria"] = {**old, "enable": False}
        if strategy != "ROLLING":  # it is off there, and AWS takes the member with ROLLING alone
            configuration.pop("earlySuccessCriteria")
        return
    percent = old.get("healthyPercent") if wish.early_success_percent is None else wish.early_success_percent
    if percent is None:
        raise InvalidInput(
            f"early-success is {wish.early_success}, and how many tasks it takes is not said.",
            hint="Set early-success-percent, such as 50.",
        )
    least = service.minimum_healthy_percent
    if not least <= percent <= 100:
        raise InvalidInput(
            f"early-success-percent is {percent}, and AWS takes the service's minimumHealthyPercent "
            f"({least}) to 100.",
            hint="Set it higher, or the service's minimumHealthyPercent lower."
            if percent < least
            else "It is a share of the desired count: 100 is all of it.",
        )
    configuration["earlySuccessCriteria"] = {
        "enable": True,
        "healthyPercent": percent,
        "sourceServiceRevisionCleanup": wish.early_success
        or old.get("sourceServiceRevisionCleanup")
        or "BLOCKING",
    }
