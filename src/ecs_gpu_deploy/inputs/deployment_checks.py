"""The settings of a deployment of ECS's, checked as far as that goes without the service."""

from __future__ import annotations

from ecs_gpu_deploy.core.judge.deployment_settings import LONGEST_BAKE_MINUTES, DeploymentSettings
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.values import Values


def deployment_settings(values: Values) -> DeploymentSettings:
    """Return what is to be set in the service's deployment configuration."""
    if values.alarms and values.alarm_action == "disabled":
        raise InvalidInput("alarm-action is disabled, and alarms names some.", hint="Leave one of them out.")
    if values.early_success == "disabled" and values.early_success_percent is not None:
        raise InvalidInput(
            "early-success is disabled, and early-success-percent says when it comes.",
            hint="Leave one of them out.",
        )
    return DeploymentSettings(
        strategy=values.strategy,
        bake_time=_whole_minutes(values.bake_time, "bake-time"),
        step_percent=values.step_percent,
        step_bake_time=_whole_minutes(values.step_bake_time, "step-bake-time"),
        alarms=values.alarms,
        alarm_action=values.alarm_action,
        circuit_breaker=values.circuit_breaker,
        breaker_threshold=values.breaker_threshold,
        early_success=values.early_success,
        early_success_percent=values.early_success_percent,
    )


def _whole_minutes(seconds: float | None, name: str) -> int | None:
    """Return the minutes of a duration in seconds; InvalidInput for what AWS cannot be told."""
    if seconds is None:
        return None
    if seconds % 60 or seconds > LONGEST_BAKE_MINUTES * 60:
        raise InvalidInput(
            f"{name} is {seconds:g} s, and AWS takes whole minutes, at most {LONGEST_BAKE_MINUTES}.",
            hint=f"Write such as {name}: 10m.",
        )
    return int(seconds // 60)
